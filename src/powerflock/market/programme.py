"""How the fleet is paid: the programme turns a spot price into the coordination price, and shares what it earns.

λ is the fleet's own marginal value of a kWh at a site: spot with losses less what the programme must pay back for that
kWh (nothing in front of the meter, the reimbursement for an aggregator paid on deviation, the energy part of the tariff
for a retailer, which it collects anyway).
"""

from __future__ import annotations

import msgspec
import numpy as np

from powerflock.domain.arrays import F64
from powerflock.domain.errors import InvalidInput

KINDS = ("front_of_meter", "aggregator", "retailer")


class Programme(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One programme. `owner_share_ratio`: the owner's share of what a deviation earns beyond its cost to the owner."""

    kind: str = "front_of_meter"
    reimbursement_per_kwh: float = 0.0
    loss_factor_ratio: float = 1.0
    owner_share_ratio: float = 0.2


def check_programme(programme: Programme) -> Programme:
    """The programme itself, or `InvalidInput` naming the field."""
    if programme.kind not in KINDS:
        raise InvalidInput("programme.kind", programme.kind, f"must be one of {', '.join(KINDS)}")
    if programme.kind == "front_of_meter" and programme.reimbursement_per_kwh != 0:
        raise InvalidInput(
            "programme.reimbursement_per_kwh", programme.reimbursement_per_kwh, "must be 0 in front of the meter",
            "Choose the kind aggregator or retailer to reimburse.",
        )  # fmt: skip
    return programme


def coordination_per_kwh(programme: Programme, spot_per_mwh: F64) -> F64:
    """Spot prices in $/MWh → coordination prices in $/kWh, any shape."""
    return np.asarray(spot_per_mwh * (programme.loss_factor_ratio / 1000.0) - programme.reimbursement_per_kwh)


def spot_per_mwh(programme: Programme, price_per_kwh: F64) -> F64:
    """Coordination prices in $/kWh → the spot prices in $/MWh at which they arise."""
    return np.asarray((price_per_kwh + programme.reimbursement_per_kwh) * (1000.0 / programme.loss_factor_ratio))
