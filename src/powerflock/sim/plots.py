"""The report's plots: SVG that goes inside a page, drawn in the page's own colours, light or dark.

Every colour used here is a stand-in that becomes a CSS variable of the page. Power is in the market's sign
(+ = export). Must not know where the numbers come from.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from powerflock.domain.arrays import F64, I64
from powerflock.domain.clock import MICROS_PER_HOUR
from powerflock.market.account import Settlement
from powerflock.market.signs import to_market_mw
from powerflock.sim.simulate import Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT, DELIVERED, ALONE, PRICE, CHARGE, WORSE = (
    "#000001", "#000002", "#000003", "#000004", "#000005", "#000006", "#000007"
)  # fmt: skip
_IN_PAGE = {
    INK: "currentColor", FAINT: "var(--faint)", DELIVERED: "var(--delivered)", ALONE: "var(--alone)",
    PRICE: "var(--price)", CHARGE: "var(--charge)", WORSE: "var(--worse)",
}  # fmt: skip
_COLUMNS = 1440
_STYLE = {
    "svg.fonttype": "none", "font.size": 10.0, "text.color": INK, "axes.labelcolor": INK, "xtick.color": INK,
    "ytick.color": INK, "axes.edgecolor": FAINT, "grid.color": FAINT, "grid.linewidth": 0.6, "axes.grid": True,
    "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False, "axes.axisbelow": True,
    "xtick.major.size": 0, "ytick.major.size": 0, "legend.frameon": False, "axes.titlesize": 10.5,
    "axes.titlelocation": "left", "axes.unicode_minus": True, "lines.linewidth": 1.4, "lines.solid_joinstyle": "round",
}  # fmt: skip


def power_plot(series: Series, offset_us: int) -> str:
    """Target, delivered and owner-alone power, the price, and the state of charge over time `offset_us` east of UTC."""
    time_us, columns = _thinned(series)
    hours = (time_us + offset_us) / MICROS_PER_HOUR
    target, delivered, alone = (to_market_mw(columns[name]) for name in ("target_kw", "delivered_kw", "alone_kw"))
    factor, unit = _scale(np.concatenate([target, delivered, alone]))

    def draw(figure: Figure) -> None:
        top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=[3.2, 1.3, 1.1])
        top.plot(hours, alone * factor, color=ALONE, label="owners alone")
        top.plot(hours, delivered * factor, color=DELIVERED, linewidth=1.8, label="delivered")
        top.plot(hours, target * factor, color=INK, linewidth=0.8, alpha=0.7, linestyle=(0, (4, 3)), label="target")
        top.axhline(0.0, color=INK, linewidth=0.6)
        top.set_title(f"Power at the meters, {unit} (+ = export)")
        top.legend(ncols=3, loc="lower right", bbox_to_anchor=(1.0, 0.99), borderaxespad=0.0)
        price = columns["spot_per_mwh"]
        middle.step(hours, price, where="post", color=PRICE)
        middle.axhline(0.0, color=INK, linewidth=0.6)
        if np.abs(price).max(initial=0.0) > 600.0:
            middle.set_yscale("symlog", linthresh=100.0)
        middle.set_title("Spot price, A$/MWh")
        bottom.fill_between(hours, columns["soc_ratio"] * 100.0, color=CHARGE, alpha=0.25, linewidth=0)
        bottom.plot(hours, columns["soc_ratio"] * 100.0, color=CHARGE)
        bottom.set_ylim(0.0, 100.0)
        bottom.set_title("Energy in the batteries, % of capacity")
        _clock_axis(bottom, hours)

    return _svg("power", 11.0, 6.6, draw)


def bills_plot(before: F64, after: F64) -> str:
    """Homes by what the plant changed on their bill, $ each (S,): before and after what the days' ends added."""
    finite = np.concatenate([before, after])
    low, high = min(float(finite.min(initial=0.0)), 0.0), max(float(finite.max(initial=0.0)), 0.0)
    width = _round_step(max(high - low, 0.01) / 24.0)
    first, last = int(np.floor(low / width)), max(int(np.ceil(high / width)), 1)
    edges = np.arange(first, last + 1) * width

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2, sharex=True, sharey=True)
        for axes, change, title in ((left, before, "Before the day’s end"), (right, after, "After it")):
            counts = np.histogram(np.where(np.abs(change) < 1e-4, -1e-9, change), edges)[0]
            colours = [WORSE if edge >= 0.0 else DELIVERED for edge in edges[:-1]]
            axes.bar(edges[:-1], counts, width=width * 0.9, align="edge", color=colours, linewidth=0)
            axes.axvline(0.0, color=INK, linewidth=1.0)
            worse = int((change > 1e-4).sum())
            axes.set_title(f"{title}: {worse} of {change.size} homes pay more")
            axes.set_xlabel("bill with the plant − bill alone, A$ per home")
            axes.grid(visible=False, axis="x")
        left.set_ylabel("homes")

    return _svg("bills", 11.0, 3.1, draw)


def delivery_plot(awarded: Sequence[Settlement]) -> str:
    """What each interval's award asked against what was delivered, and by how much they differ."""
    award = np.array([float(item.award_mw or 0.0) for item in awarded])
    given = np.array([item.delivered_mwh / item.hours for item in awarded])
    factor, unit = _scale(np.concatenate([award, given]))
    award, given = award * factor, given * factor
    size = max(float(np.abs(award).mean()), 1e-9)

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2, width_ratios=[1.0, 1.25])
        ends = [float(min(award.min(), given.min())), float(max(award.max(), given.max()))]
        left.plot(ends, ends, color=INK, linewidth=0.8)
        left.plot(award, given, "o", color=DELIVERED, markersize=4.5, alpha=0.5, markeredgewidth=0, zorder=3)
        left.set_title(f"One dot per interval, mean {unit} (+ = export)")
        left.set_xlabel("awarded")
        left.set_ylabel("delivered")
        off = (given - award) / size * 100.0
        reach = max(float(np.abs(off).max()), 0.01)
        right.hist(off, bins=41, range=(-reach, reach), color=DELIVERED, linewidth=0)
        right.axvline(0.0, color=INK, linewidth=1.0)
        right.set_title("Delivered − awarded, % of the mean award")
        right.set_ylabel("intervals")
        right.grid(visible=False, axis="x")

    return _svg("delivery", 11.0, 3.4, draw)


def _thinned(series: Series) -> tuple[I64, dict[str, F64]]:
    """Times and columns, averaged over equal stretches so that there are at most 1440."""
    names = ("target_kw", "delivered_kw", "alone_kw", "spot_per_mwh", "soc_ratio")
    time_us = np.array(series.time_us, np.int64)
    every = max(1, -(-time_us.size // _COLUMNS))
    starts = np.arange(0, time_us.size, every)
    columns = {}
    for name in names:
        values = np.array(getattr(series, name), np.float64)
        known = np.isfinite(values)
        total = np.add.reduceat(np.where(known, values, 0.0), starts) if starts.size else values
        count = np.add.reduceat(known.astype(np.float64), starts) if starts.size else values
        columns[name] = np.divide(total, count, out=np.full(starts.size, np.nan), where=count > 0)
    return time_us[starts], columns


def _scale(power_mw: F64) -> tuple[float, str]:
    """Factor and unit in which MW read well."""
    return (1.0, "MW") if np.nanmax(np.abs(power_mw), initial=0.0) >= 1.0 else (1000.0, "kW")


def _round_step(least: float) -> float:
    """The smallest 1, 2 or 5 times a power of ten that is at least `least`."""
    power = 10.0 ** np.floor(np.log10(least))
    return float(next(step * power for step in (1.0, 2.0, 5.0, 10.0) if step * power >= least * (1.0 - 1e-9)))


def _clock_axis(axes: Axes, hours: F64) -> None:
    """Hours of the day below the axis; days instead where there are more than three."""
    if not hours.size:
        return
    span = float(hours[-1] - hours[0])
    step = next((step for step, most in ((3, 30), (6, 80), (24, 400)) if span <= most), 24 * max(1, round(span / 288)))
    ticks = np.arange(np.ceil(hours[0] / step - 1e-9) * step, hours[-1] + 0.1, step)
    stamps = ticks.astype(np.int64).astype("datetime64[h]")
    labels = [str(stamp)[5:10] if str(stamp).endswith("T00") else f"{str(stamp)[11:]}:00" for stamp in stamps]
    axes.set_xticks(ticks, labels)
    axes.tick_params(axis="x", pad=7)
    axes.set_xlim(float(hours[0]), float(hours[-1]))


def _svg(name: str, width: float, height: float, draw: Callable[[Figure], None]) -> str:
    """What `draw` draws as an SVG element in the page's colours; ids begin with `name`, so that plots do not clash."""
    from matplotlib import style  # noqa: PLC0415 - only a report needs it, and it takes a while to load
    from matplotlib.figure import Figure  # noqa: PLC0415 - as above

    with style.context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure)
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    for colour, variable in _IN_PAGE.items():
        text = text.replace(colour, variable)
    text = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{name}-", text)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"'DejaVu Sans'[^;\"]*", "inherit", text)
    return re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', "", text, count=1)
