"""What is asked of homes together, as rows on a tree: groups' limits, a target, reserves.

Must not know how the homes' plans are found.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from powerflock.domain.arrays import F64, I32, I64, Bools
from powerflock.domain.errors import InvalidInput
from powerflock.optimise.check import constant_limits
from powerflock.optimise.interior_point.network import Network
from powerflock.optimise.problem import SiteProblems


@dataclass(frozen=True, slots=True)
class Groups:
    """A tree of G groups: `parent` (G,) int32, −1 for a root and else a group before it; `group` (S,) of each home.

    `import_limit_kw` and `export_limit_kw` (G, T) ≥ 0 bound the sum of all homes below; infinite where there is none.
    """

    parent: I32
    group: I32
    import_limit_kw: F64
    export_limit_kw: F64


@dataclass(frozen=True, slots=True)
class Reserve:
    """What all homes together must hold ready, (T,) kW ≥ 0: raise (less net power) and lower, each for `hours`."""

    raise_kw: F64
    lower_kw: F64
    hours: float


@dataclass(frozen=True, slots=True)
class Asked:
    """R rows on a tree: `network` with nodes for reserves and target above the groups, which begin at node `first`.

    `at` (R,) the rows' nodes; each wants its channel's sum within `low_kw` and `high_kw` (R, T), and can be missed by
    `most_kw`.
    """

    network: Network
    first: int
    at: I64
    low_kw: F64
    high_kw: F64
    most_kw: F64

    def spread(self, values: F64) -> F64:
        """(N, T) by node of what is (R, T) by row."""
        spread = np.zeros((self.network.parent.size, values.shape[1]))
        spread[self.at] = values
        return spread


def ask(problems: SiteProblems, groups: Groups, target_kw: F64 | None, reserve: Reserve | None) -> Asked:
    """The rows for what is asked."""
    steps = problems.intervals
    limited = np.isfinite(groups.import_limit_kw).any(axis=1) | np.isfinite(groups.export_limit_kw).any(axis=1)
    limited &= _inhabited(groups)
    wide, deep = _room(problems)
    above: list[tuple[int, F64, F64, F64]] = []
    for kind in range(channels_of(reserve) - 1, 0, -1):
        assert reserve is not None, "more than one channel"
        wanted = reserve.raise_kw if kind == 1 else reserve.lower_kw
        most = np.maximum(deep.sum(axis=0), wanted + 1.0)
        above.append((kind, wanted, most, most))
    if target_kw is not None:
        above.append((0, target_kw, target_kw, wide.sum(axis=0) + np.abs(target_kw)))
    chain, nodes = len(above), np.flatnonzero(limited)
    parent = np.concatenate([np.arange(-1, chain - 1), np.where(groups.parent < 0, chain - 1, groups.parent + chain)])
    channel = np.concatenate([[row[0] for row in above], np.where(limited, 0, -1)]).astype(np.int32)
    network = Network(parent.astype(np.int32), channel)
    spans = np.zeros((parent.size, 1, steps))
    np.add.at(spans[:, 0], groups.group + chain, wide)
    span = network.up(spans)[nodes + chain, 0]
    low, high = np.maximum(-groups.export_limit_kw[nodes], -span), np.minimum(groups.import_limit_kw[nodes], span)
    below = (low, high, np.maximum(np.abs(low), np.abs(high)) + span)
    low, high, most = (
        np.concatenate([np.reshape([row[1 + column] for row in above], (chain, steps)), below[column]])
        for column in range(3)
    )
    return Asked(network, chain, np.concatenate([np.arange(chain), nodes + chain]), low, high, most)


def channels_of(reserve: Reserve | None) -> int:
    """How many of net power, raise and lower are asked for: lower alone needs raise beside it."""
    if reserve is None or not (reserve.raise_kw.any() or reserve.lower_kw.any()):
        return 1
    return 3 if reserve.lower_kw.any() else 2


def _inhabited(groups: Groups) -> Bools:
    """(G,) which groups have homes below them."""
    found = np.bincount(groups.group, minlength=groups.parent.size) > 0
    for node in range(groups.parent.size - 1, -1, -1):
        if groups.parent[node] >= 0:
            found[groups.parent[node]] |= found[node]
    return found


def _room(problems: SiteProblems) -> tuple[F64, F64]:
    """(S, T) kW that a home's connection spans, and that all its storages together do."""
    table = (problems.homes, problems.intervals)
    limits = problems.limits or constant_limits(problems.batteries)
    wide = np.broadcast_to(limits.import_limit_kw + limits.export_limit_kw, table)
    deep = np.broadcast_to(limits.charge_limit_kw + limits.discharge_limit_kw, table).copy()
    if problems.devices is not None:
        own = problems.devices.limits or constant_limits(problems.devices.batteries)
        np.add.at(deep, problems.devices.home, own.charge_limit_kw + own.discharge_limit_kw)
    return wide, deep


def check_asks(problems: SiteProblems, groups: Groups, target_kw: F64 | None, reserve: Reserve | None) -> None:
    """Refuse wrong shapes, unknown values, negative limits and least powers with `InvalidInput`."""
    devices = problems.devices
    for cells, home in ((problems.batteries, None), *([] if devices is None else [(devices.batteries, devices.home)])):
        least = np.maximum(cells.least_charge_kw, cells.least_discharge_kw)
        if (least > 0).any():
            row = int(least.argmax())
            raise InvalidInput(
                f"home {row if home is None else int(home[row])}: least power", float(least[row]),
                "must be 0 in a fleet: on or off is not convex", "Plan this home alone, with `plan_sites`.",
            )  # fmt: skip
    count, steps = groups.parent.size, problems.intervals
    shapes: list[tuple[str, F64 | I32, tuple[int, ...]]] = [
        ("group", groups.group, (problems.homes,)), ("import_limit_kw", groups.import_limit_kw, (count, steps)),
        ("export_limit_kw", groups.export_limit_kw, (count, steps)),
    ]  # fmt: skip
    shapes += [] if target_kw is None else [("target_kw", target_kw, (steps,))]
    if reserve is not None:
        shapes += [("raise_kw", reserve.raise_kw, (steps,)), ("lower_kw", reserve.lower_kw, (steps,))]
        if not 0.0 <= reserve.hours < np.inf:
            raise InvalidInput("reserve.hours", reserve.hours, "must be 0 or more")
    for name, values, shape in shapes:
        if values.shape != shape:
            raise InvalidInput(f"shape of {name}", values.shape, f"must be {shape} for these homes and groups")
        if np.isnan(values).any() or (name != "target_kw" and (values < 0).any()):
            raise InvalidInput(name, float(np.nanmin(values)), "must be numbers, 0 or more")
    if not count or (groups.parent >= np.arange(count)).any() or (groups.parent < -1).any():
        raise InvalidInput("parent", groups.parent.tolist()[:8], "must name a group before it, or be -1 for a root")
    if (groups.group >= count).any():
        raise InvalidInput("group", int(groups.group.max()), f"must be one of the {count} groups")
