"""The simulation's report: one HTML file that explains itself, with plots inside and nothing fetched from anywhere.

Invariants: power and energy are shown in the market's sign (+ = export); money is what a row says, in A$; nothing is
rounded before it is summed. Words and layout are in `report.html.j2`, plots in `plots`. Must not run anything itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from powerflock.domain.arrays import F64
from powerflock.domain.clock import MICROS_PER_S
from powerflock.domain.errors import InvalidInput
from powerflock.market.account import Account, Settlement
from powerflock.sim.plots import bills_plot, delivery_plot, power_plot
from powerflock.sim.prices import MARKET_TIME_US
from powerflock.sim.simulate import DayBills, Run

WITHIN_RATIO = 0.05
_TEMPLATE = "report.html.j2"
_WORTH_NAMING = 1e-4
"""A hundredth of a cent: less is rounding, not money."""


def write_report(
    path: Path, run: Run, account: Account, summary: dict[str, object], settled: Sequence[Settlement]
) -> None:
    """Write `path`: the `run`, its `account`, the `summary` printed beside it, and its `settled` intervals.

    Raises `InvalidInput` where the file cannot be written.
    """
    page = render(run, account, summary, settled)
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise InvalidInput("report file", str(path), f"cannot be written: {error.strerror}") from error


def render(run: Run, account: Account, summary: dict[str, object], settled: Sequence[Settlement]) -> str:
    """The page as text; the same inputs give the same text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - only a report needs it
    from markupsafe import Markup  # noqa: PLC0415 - as above

    environment = Environment(
        loader=PackageLoader("powerflock", "sim"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"money": money, "number": number, "share": share}
    awarded = [item for item in settled if item.award_mw is not None]
    before, after = bill_changes(run)
    times = run.series.time_us
    return environment.get_template(_TEMPLATE).render(
        summary=summary,
        account=account,
        days=[_day_row(day) for day in run.days],
        within=_within_ratio(awarded),
        awarded=len(awarded),
        shown=len(settled),
        missed=account.intervals - len(settled),
        lowest=float(after.min(initial=0.0)),
        highest=float(after.max(initial=0.0)),
        median=float(np.median(after)) if after.size else 0.0,
        begin=_local(times[0]).strftime("%A %-d %B %Y") if times else "no time at all",
        power=Markup(power_plot(run.series, MARKET_TIME_US)),  # noqa: S704 - our own plots, of numbers only
        bills=Markup(bills_plot(before, after)),  # noqa: S704 - as above
        delivery=Markup(delivery_plot(awarded)) if awarded else "",  # noqa: S704 - as above
    )


def bill_changes(run: Run) -> tuple[F64, F64]:
    """(S,) $ each over the whole run: bill with the plant − bill alone, before and after what each day's end added."""
    before = np.sum([day.vpp - day.paid - day.alone for day in run.days], axis=0)
    return before, before - np.sum([day.top_up + day.share for day in run.days], axis=0)


def money(value: float | None) -> str:
    """`A$1,234.50`, with a true minus sign; a dash where unknown."""
    if value is None or np.isnan(value):
        return "–"
    text = f"{abs(value):,.2f}"
    return f"−A${text}" if value < 0 and text.strip("0.,") else f"A${text}"


def number(value: float | None, digits: int = 1) -> str:
    """Thousands separated, with a true minus sign; a dash where unknown."""
    if value is None or np.isnan(value):
        return "–"
    text = f"{abs(value):,.{digits}f}"
    return f"−{text}" if value < 0 and text.strip("0.,") else text


def share(value: float | None, digits: int = 0) -> str:
    """A ratio as a percentage; a dash where unknown."""
    return "–" if value is None or np.isnan(value) else f"{number(value * 100.0, digits)} %"


def _day_row(day: DayBills) -> dict[str, object]:
    """One day of the bills' table, $ over all homes."""
    return {
        "date": _local(day.day_us).strftime("%a %Y-%m-%d"),
        "alone": float(day.alone.sum()),
        "vpp": float(day.vpp.sum()),
        "paid": float(day.paid.sum()),
        "top_up": float(day.top_up.sum()),
        "share": float(day.share.sum()),
        "after": float((day.vpp - day.paid - day.top_up - day.share).sum()),
        "covered": int((day.top_up > _WORTH_NAMING).sum()),
    }


def _within_ratio(awarded: Sequence[Settlement]) -> float:
    """Share of intervals whose energy was within 5% of the award's."""
    inside = [abs(item.delivered_mwh - item.awarded_mwh) <= WITHIN_RATIO * abs(item.awarded_mwh) for item in awarded]
    return float(np.mean(inside)) if inside else float("nan")


def _local(time_us: int) -> datetime:
    """Market time, UTC+10, without its label."""
    return datetime.fromtimestamp(time_us / MICROS_PER_S, UTC) + timedelta(microseconds=MARKET_TIME_US)
