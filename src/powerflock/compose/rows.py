"""Groups, bids, accounts and metrics as the API's rows; each a plain mapping, signs as the models say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from powerflock.api import models
from powerflock.api.group_models import CoverageKw, GroupDetail, GroupRow, LevelName
from powerflock.autobidder.records import Counts, IntervalBegan, known
from powerflock.autobidder.saving import Saving
from powerflock.domain.clock import to_rfc3339
from powerflock.domain.errors import NotFound
from powerflock.groups.firm import NONE, FirmCapacity
from powerflock.groups.hierarchy import Hierarchy, Level
from powerflock.groups.sums import GroupTable
from powerflock.market.account import Settlement
from powerflock.market.bids import dispatched_mw

LEVELS: dict[Level, LevelName] = {
    Level.PORTFOLIO: "portfolio", Level.REGION: "region", Level.AREA: "area", Level.FEEDER: "feeder", Level.SET: "set",
}  # fmt: skip
_GROUP_NUMBERS = (
    "power_kw", "std_kw", "stored_kwh", "capacity_kwh", "up_kw", "down_kw", "up_h", "down_h", "raise_kw", "lower_kw",
    "coverage_kw_ratio",
)  # fmt: skip


def coverage(groups: GroupTable, group: int) -> models.Coverage:
    """How much of one group is known now."""
    return models.Coverage(
        int(groups.fresh[group]), int(groups.stale[group]), int(groups.silent[group]),
        known(float(groups.coverage_ratio[group])),
    )  # fmt: skip


def group_rows(
    hierarchy: Hierarchy, groups: GroupTable, firm: FirmCapacity, wanted: Sequence[int] | None = None
) -> list[GroupRow]:
    """The `wanted` groups, or all that the table knows, each followed by those within it; sets come last."""
    columns = {name: getattr(groups, name).tolist() for name in _GROUP_NUMBERS}
    return [
        GroupRow(
            group=hierarchy.names[group],
            parent=hierarchy.names[hierarchy.parent[group]] if hierarchy.parent[group] >= 0 else None,
            level=LEVELS[Level(int(hierarchy.level[group]))],
            depth=int(hierarchy.depth[group]),
            sites=int(groups.sites[group]),
            unreachable=int(groups.unreachable[group]),
            firm_up_kw=float(firm.up_kw[group]),
            firm_down_kw=float(firm.down_kw[group]),
            worst_failure=firm.names[firm.worst[group]] if firm.worst[group] != NONE else None,
            coverage=coverage(groups, group),
            **{name: known(column[group]) for name, column in columns.items()},
        )
        for group in (_in_order(hierarchy, groups.sites.size) if wanted is None else wanted)
    ]


def _in_order(hierarchy: Hierarchy, count: int) -> list[int]:
    """The ids of the first `count` groups, depth first."""
    within: dict[int, list[int]] = {}
    for group, parent in enumerate(hierarchy.parent[:count].tolist()):
        within.setdefault(parent, []).append(group)
    order, ahead = [], within.get(-1, [])[::-1]
    while ahead:
        order.append(group := ahead.pop())
        ahead += within.get(group, [])[::-1]
    return order


def group_detail(hierarchy: Hierarchy, groups: GroupTable, firm: FirmCapacity, name: str) -> GroupDetail:
    """One group of the table and how much of it is known, or `NotFound`."""
    group = hierarchy.id_of.get(name)
    if group is None or group >= groups.sites.size:
        msg = f"no group is called {name!r}"
        raise NotFound(msg)
    row = group_rows(hierarchy, groups, firm, [group])[0]
    coverage_kw = CoverageKw(
        float(groups.fresh_kw[group]),
        float(groups.stale_kw[group]),
        float(groups.silent_kw[group]),
        float(groups.unreachable_kw[group]),
        known(float(groups.coverage_kw_ratio[group])),
    )
    return GroupDetail(row, coverage_kw, int(groups.unreachable[group]), int(groups.known[group]))


def bid_row(event: IntervalBegan, length_us: int) -> models.BidRow:
    """The bid that stood when an interval began, with what its price dispatched."""
    bid = event.bid
    assert bid is not None, "only intervals with a bid have a bid row"
    bands = [models.Band(*band) for band in zip(bid.price_per_mwh, bid.quantity_mw, strict=True)]
    start = event.interval * length_us
    award = dispatched_mw(bid, event.spot_per_mwh)
    return models.BidRow(
        to_rfc3339(start), to_rfc3339(start + length_us), bands, bid.base_mw, award, event.spot_per_mwh
    )


def account_row(item: Settlement, length_us: int) -> models.AccountRow:
    """One settled interval."""
    return models.AccountRow(
        to_rfc3339(item.interval_us),
        to_rfc3339(item.interval_us + length_us),
        item.awarded_mwh if item.award_mw is not None else None,
        item.delivered_mwh,
        item.spot_per_mwh,
        item.market_revenue,
        item.earned,
        item.owner_payments + item.top_up,
        item.earned - item.owner_payments - item.top_up,
        item.coverage_ratio,
        item.revision,
    )


def prometheus(
    state: models.State,
    counts: Counts | None,
    saving: Saving | None,
    commands_issued: int,
    command_acks: Mapping[str, int],
) -> str:
    """The plant's own metrics in Prometheus' text format; never a site id as a label."""
    rows: list[tuple[str, str, str, float | None]] = [
        ("powerflock_output_mw", "gauge", "Metered output, MW, + = export", state.output.delivered_mw),
        ("powerflock_target_mw", "gauge", "Award in force, MW, + = export", state.output.target_mw),
        ("powerflock_coverage_ratio", "gauge", "Share of sites that are fresh", state.coverage.ratio),
        ("powerflock_soc_ratio", "gauge", "State of charge of all batteries", state.battery.soc_ratio),
        ("powerflock_sites", "gauge", "Enrolled sites", float(state.sites)),
        ("powerflock_tick_milliseconds", "gauge", "One turn of the ring", state.ring.tick_ms),
        ("powerflock_settled_intervals_total", "counter", "Intervals settled", _float(state.account.intervals)),
    ]
    if counts is not None:
        rows += [
            ("powerflock_readings_applied_total", "counter", "Readings in effect", float(counts.applied)),
            ("powerflock_readings_repeated_total", "counter", "Readings dropped as repeats", float(counts.repeated)),
            ("powerflock_readings_refused_total", "counter", "Readings refused", float(counts.refused)),
        ]
    if saving is not None:
        rows += [
            ("powerflock_snapshots_saved_total", "counter", "Partitions' snapshots written", float(saving.saved)),
            ("powerflock_snapshots_failed_total", "counter", "Snapshots not written", float(saving.failed)),
            ("powerflock_snapshots_skipped_total", "counter", "Savings left out: too slow", float(saving.skipped)),
        ]
    rows.append(("powerflock_commands_issued_total", "counter", "Commands made durable", float(commands_issued)))
    lines = [
        f"# HELP {name} {text}.\n# TYPE {name} {kind}\n{name} {'NaN' if value is None else repr(value)}\n"
        for name, kind, text, value in rows
    ]
    name = "powerflock_command_acks_total"
    lines.append(f"# HELP {name} What edges say became of commands.\n# TYPE {name} counter\n")
    lines += [f'{name}{{status="{status}"}} {count}\n' for status, count in sorted(command_acks.items())]
    return "".join(lines)


def _float(count: int | None) -> float | None:
    return None if count is None else float(count)
