"""The report stands on its own: whole, honest about being simulated, asking no other host, always the same."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from powerflock.domain.errors import InvalidInput
from powerflock.market.account import Account, Settlement
from powerflock.sim.plots import bills_plot
from powerflock.sim.report import bill_changes, money, number, render, share, write_report
from powerflock.sim.simulate import DayBills, Run, Series

START_US = 1_768_399_200_000_000
VOID = {"meta", "br", "img", "link", "input"}


def a_run(minutes: int = 1440, homes: int = 5) -> Run:
    rng = np.random.default_rng(1)
    times = [START_US + minute * 60_000_000 for minute in range(minutes)]
    power = rng.normal(0.0, 800.0, minutes).tolist()
    series = Series(
        times, [float("nan"), *power[1:]], power, rng.normal(80, 60, minutes).tolist(), [0.5] * minutes, power
    )
    zero = np.zeros(homes)
    alone = np.arange(1.0, homes + 1.0)
    day = DayBills(START_US, alone, alone + 0.5, np.linspace(0.0, 2.0, homes), zero + 0.5, zero + 0.1)
    return Run("abc123", (day,), series, 288, 3.0, 2.0, 1.0)


def settled(count: int = 20) -> list[Settlement]:
    return [
        Settlement(
            START_US + at * 300_000_000, 1 / 12, 80.0, at - 9.5 if at else None, (at - 9.4) / 12, 1.0, 0.5, 0.1, 1.0
        )
        for at in range(count)
    ]  # fmt: skip


def summary() -> dict[str, object]:
    return {
        "trace_hash": "abc123", "simulated": True, "homes": 5, "homes_source": "file <homes & co>.csv",
        "price_source": "generated, seed 1", "forecast": "real", "days": 1, "intervals": 288, "bill_alone": 15.0,
        "bill_with_vpp": 12.5, "worse_off_homes": 0, "worse_off_homes_before_top_up": 2,
        "worse_off_home_days_before_top_up": 2, "top_up": 2.5, "owner_payments": 5.0, "market_account": -3.0,
        "earned_on_deviation": 9.0, "fleet_margin": -0.25, "share_of_perfect": None, "awarded_kwh": -10.0,
        "delivered_kwh": -10.1, "delivery_error_ratio": 0.01,
    }  # fmt: skip


def account() -> Account:
    total = Account()
    for item in settled():
        total = total.plus(item)
    return total


class Balance(HTMLParser):
    """Checks that every element that begins also ends, and collects ids."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value or "" for name, value in attrs if name == "id"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page() -> str:
    return render(a_run(), account(), summary(), settled())


def test_the_page_is_whole_and_its_plots_do_not_clash(page: str) -> None:
    parser = Balance()
    parser.feed(page)
    assert parser.open == []
    assert len(parser.ids) == len(set(parser.ids))
    assert page.count("<svg") == 3


def test_it_asks_no_other_host_and_runs_no_script(page: str) -> None:
    assert set(re.findall(r"https?://[^\s\"'<]+", page)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert not re.search(r"<script|<link|<img|@import|url\((?!#)", page)


def test_it_says_that_it_is_simulated_and_how_it_was_made(page: str) -> None:
    assert "SIMULATED" in page
    assert "abc123" in page
    assert "generated, seed 1" in page
    assert "file &lt;homes &amp; co&gt;.csv" in page, "names from outside are text, not markup"


def test_the_top_up_is_shown_and_the_guarantee_stated(page: str) -> None:
    assert "The guarantee." in page
    assert "A$2.50 to 2 homes" in page
    assert "1 of 5 homes pay more" in re.sub(r"\s+", " ", page)
    assert "−A$0.25" in page, "a loss of the fleet is not hidden"


def test_plots_take_the_pages_colours_for_light_and_dark(page: str) -> None:
    assert "var(--delivered)" in page
    assert "currentColor" in page
    assert not re.search(r"#00000[1-7]", page)


def test_the_same_run_gives_the_same_page(page: str) -> None:
    assert render(a_run(), account(), summary(), settled()) == page


def test_weeks_and_runs_without_an_award_are_drawn_too() -> None:
    text = render(a_run(12 * 1440), Account(intervals=3000), summary(), [])
    assert "No interval had an award" in text
    assert len(text) < 400_000


def test_bills_count_everything_the_plant_paid() -> None:
    before, after = bill_changes(a_run())
    np.testing.assert_allclose(before, 0.5 - np.linspace(0.0, 2.0, 5))
    np.testing.assert_allclose(after, before - 0.6)


def test_homes_for_whom_nothing_changed_can_be_drawn() -> None:
    assert "0 of 3 homes pay more" in re.sub(r"\s+", " ", bills_plot(np.zeros(3), np.zeros(3)))


def test_a_report_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="report file"):
        write_report(tmp_path / "nowhere" / "report.html", a_run(10), account(), summary(), settled())


@pytest.mark.parametrize(
    ("value", "text"), [(1234.5, "A$1,234.50"), (-0.25, "−A$0.25"), (-0.001, "A$0.00"), (None, "–")]
)
def test_money_reads_well(value: float | None, text: str) -> None:
    assert money(value) == text


def test_numbers_and_shares_read_well() -> None:
    assert (number(-1234.56), number(float("nan")), share(0.187), share(None)) == ("−1,234.6", "–", "19 %", "–")
