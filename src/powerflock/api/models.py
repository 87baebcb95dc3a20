"""What the API says, as msgspec Structs: the JSON of every response has exactly these fields.

Invariants: `_mw`, `_mwh`, `_per_mwh` are generation-positive (the market's sign, + = export to the grid); `_kw`,
`_kwh` are passive (+ = into the site); ratios are 0–1; times are RFC 3339 UTC text unless named `_us`. Unknown is null,
never zero: a float NaN encodes as null, so a view may hand over NaN or None. Must not know FastAPI or where the numbers
come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from powerflock.api.alarm_models import AlarmCounts
from powerflock.domain.outcomes import Outcome

Number = float | None
Phase = Literal["recovering", "waiting", "running"]
FreshnessName = Literal["fresh", "stale", "silent"]
FRESHNESS_NAMES: tuple[FreshnessName, ...] = ("fresh", "stale", "silent")
LinkName = Literal["unknown", "up", "down"]
LINK_NAMES: tuple[LinkName, ...] = ("unknown", "up", "down")
CommandName = Literal["none", "waiting", "unconfirmed", "applied", "refused", "expired"]
COMMAND_NAMES: tuple[CommandName, ...] = ("none", "waiting", "unconfirmed", "applied", "refused", "expired")


class Output(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The plant as the market sees it, MW, + = export; `target_mw` is null when there is no award."""

    target_mw: Number
    delivered_mw: Number
    up_mw: Number
    down_mw: Number


class Storage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All batteries together."""

    stored_mwh: Number
    capacity_mwh: Number
    soc_ratio: Number


class Coverage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many sites are known now; `ratio` is fresh of all, null with no sites."""

    fresh: int
    stale: int
    silent: int
    ratio: Number


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The market's price, A$/MWh, and the plant's own clearing (coordination) price, A$/kWh."""

    spot_per_mwh: Number
    clearing_per_kwh: Number


class Band(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`quantity_mw` more generation is offered at `price_per_mwh` or above."""

    price_per_mwh: float
    quantity_mw: float


class Bid(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One interval's bid: output is `base_mw` below the first band and grows band by band; bands ascend in price."""

    interval_start: str
    bands: Sequence[Band]
    base_mw: float
    award_mw: Number


class Account(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The market account since the start; money in `currency`, + = to the fleet; `owner_payments` is paid out of it."""

    intervals: int | None
    awarded_mwh: Number
    delivered_mwh: Number
    market_revenue: Number
    earned: Number
    owner_payments: Number
    fleet_margin: Number
    currency: str = "A$"


class Ring(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the plant itself is doing."""

    readings_per_s: Number
    tick_ms: Number
    plan_ms: Number
    log_entries: int
    started: str


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything the console's head shows, once a second."""

    time: str
    utc_offset_minutes: int
    speed: float
    simulated: bool
    price_source: str
    generated_prices: bool
    phase: Phase
    interval_start: str
    interval_end: str
    sites: int
    output: Output
    battery: Storage
    coverage: Coverage
    price: Price
    bid: Bid | None
    account: Account
    alarms: AlarmCounts
    ring: Ring


class History(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Equally long columns, oldest first, `time_us` strictly increasing; at most about 2,000 rows."""

    time_us: Sequence[int]
    target_mw: Sequence[Number]
    delivered_mw: Sequence[Number]
    up_mw: Sequence[Number]
    down_mw: Sequence[Number]
    soc_ratio: Sequence[Number]
    coverage_ratio: Sequence[Number]
    spot_per_mwh: Sequence[Number]


class SiteRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One site in a list; `power_kw` is the net at the grid, `up_kw` what it can still give, `down_kw` take.

    `command` is what became of its last command; `desired_kw` the net power it should hold, `applied_kw` what its edge
    confirmed. `deviation_kw` ≥ 0 is how far the meter is from that, `unapplied_kw` ≥ 0 how far desired and applied are.
    """

    site: str
    feeder: str
    region: str
    freshness: FreshnessName
    link: LinkName
    reachable: bool
    command: CommandName
    age_s: Number
    power_kw: Number
    battery_kw: Number
    solar_kw: Number
    load_kw: Number
    soc_ratio: Number
    up_kw: Number
    down_kw: Number
    desired_kw: Number
    applied_kw: Number
    deviation_kw: Number
    unapplied_kw: Number


SITE_COLUMNS = tuple(name for name, kind in SiteRow.__annotations__.items() if kind == "Number")
"""The numbers of a SiteRow: each can be bounded and sorted by."""


class SitePage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sites in the order asked for; `total` counts all that match; `next_page_token` is null on the last page."""

    sites: Sequence[SiteRow]
    total: int
    next_page_token: str | None


class SiteTimes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When each of a site's powers was known; null for never.

    `desired`: the last command was given, to hold until `expires`; `applied`: the edge last answered a command;
    `metered`: the meter was last read.
    """

    desired: str | None
    expires: str | None
    applied: str | None
    metered: str | None


class DeviceRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One device as it last `reported`. Commands are for the site's connection, so a device has none of its own.

    `energy_kwh` is what a battery stores, for every other device its register; null is unknown.
    """

    device: str
    kind: str
    freshness: FreshnessName
    reported: str | None
    power_kw: Number
    energy_kwh: Number


class SiteDetail(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One site with its owner's terms, the command in force, its devices, and `why` in the owner's terms.

    `times` say when each of `now.desired_kw`, `now.applied_kw` and `now.power_kw` was known.
    """

    now: SiteRow
    stored_kwh: Number
    capacity_kwh: Number
    reserve_ratio: Number
    tariff: str
    import_per_kwh: Number
    export_per_kwh: Number
    setpoint_kw: Number
    setpoint_price_per_kwh: Number
    setpoint_expires: str | None
    times: SiteTimes
    devices: Sequence[DeviceRow]
    why: Sequence[str]


class BidRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One interval's bid as placed, and the price that decided it."""

    interval_start: str
    interval_end: str
    bands: Sequence[Band]
    base_mw: float
    award_mw: Number
    spot_per_mwh: Number


class AccountRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One settled interval: `coverage_ratio` of the sites were metered; a `revision` has what was told late."""

    interval_start: str
    interval_end: str
    awarded_mwh: Number
    delivered_mwh: Number
    spot_per_mwh: Number
    market_revenue: Number
    earned: Number
    owner_payments: Number
    fleet_margin: Number
    coverage_ratio: Number
    revision: int
    currency: str = "A$"


class EnrolResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The devices' tokens by site, and what became of each site of the request."""

    tokens: dict[str, str]
    outcome: Outcome


class Health(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`live`: the process works; `ready`: it may serve totals; `checks` says what is wrong, by part.

    A plant whose `snapshots` fail is ready: they only make the next start shorter.
    """

    live: bool
    ready: bool
    checks: dict[str, str]
