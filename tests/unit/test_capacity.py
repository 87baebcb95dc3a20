"""What a plant of so many sites needs: each figure has a source that a test holds it to, and the sums add up."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import msgspec
import numpy as np
import pytest

from powerflock import cli
from powerflock.capacity import FIGURES, Demand, Prices, size
from powerflock.domain.batches import encode
from powerflock.domain.columns import TELEMETRY
from powerflock.domain.errors import InvalidInput
from powerflock.registry.database import Database
from powerflock.registry.store import Store
from tests.data import ROOT
from tests.unit.plant.small import homes

BENCHMARKED = {name: figure for name, figure in FIGURES.items() if figure.kind == "benchmark"}


def measured(section: str, row: str) -> set[tuple[float, str]]:
    """Ours, with its unit, in the rows of that name of docs/benchmarks.md."""
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    own = page.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    cells = [line.split(" | ")[:2] for line in own.splitlines() if line.startswith(f"| {row} |")]
    found = [re.match(r"([\d.,e-]+) (.*)", ours) for _, ours in cells]
    return {(float(match[1].replace(",", "")), match[2].partition("/")[0]) for match in found if match}


@pytest.mark.parametrize("name", BENCHMARKED)
def test_a_measured_figure_is_the_one_that_its_benchmark_shows(name: str) -> None:
    figure = BENCHMARKED[name]
    section, _, row = figure.source.partition(": ")
    assert measured(section, row) == {(figure.value, figure.unit.partition("/")[0])}


def test_a_row_that_is_gone_would_be_noticed() -> None:
    assert measured("twins", "a row that nobody measured") == set()


def test_the_registrys_size_is_no_less_than_what_a_database_takes(tmp_path: Path) -> None:
    store = Store(Database(f"sqlite:///{tmp_path}/registry.sqlite"), 1, lambda: 0)
    empty = sum(file.stat().st_size for file in tmp_path.glob("registry.sqlite"))
    store.enrol(homes(400))
    store.database.close()
    each = (sum(file.stat().st_size for file in tmp_path.glob("registry.sqlite")) - empty) / 400
    assert each <= FIGURES["registry_bytes"].value <= 3 * each


def test_more_sites_need_more_of_everything_and_the_whole_is_the_sum_of_its_parts() -> None:
    small, large = size(Demand(1e6)), size(Demand(1e7))
    for plan in (small, large):
        assert plan.cores == sum(need.cores for need in plan.needs)
        assert plan.disk_gb == pytest.approx(sum(need.disk_gb for need in plan.needs))
    assert small.readings_per_s == 300_000.0
    own, around = FIGURES["reading_bytes"].value, FIGURES["entry_bytes"].value / 50
    assert small.log_gb_per_day == pytest.approx(300_000 * (own + around) * 86_400 / 1e9)
    for less, more in zip(small.needs, large.needs, strict=True):
        assert less.processes <= more.processes
        assert less.memory_gib <= more.memory_gib
    assert large.partitions == 40


def test_one_process_is_enough_exactly_up_to_where_it_is_full() -> None:
    for index, need in enumerate(size(Demand(1e5)).needs):
        if need.component not in {"gateways", "twins", "history"}:
            continue
        assert need.full_at_sites is not None
        below, above = (size(Demand(need.full_at_sites * ratio)).needs[index] for ratio in (0.99, 1.01))
        assert below.processes == below.cores == 1
        assert above.cores == 2


def test_the_first_bottleneck_follows_from_what_is_asked() -> None:
    assert size(Demand(1e6)).first_full == "gateways"
    hurried = size(Demand(1e6, report_period_s=0.1)).needs[0]
    each_s = 1 / 83_200 + FIGURES["entry_write"].value / 1e6 / 50
    assert hurried.full_at_sites == pytest.approx(0.5 / each_s / 30), "readings fill a gateway before its sessions do"
    crowded = size(Demand(1e7, groups=300_000))
    assert crowded.wall == "coordinator"
    assert crowded.wall_at_sites < size(Demand(1e7)).wall_at_sites


def test_readings_wait_the_longer_the_more_gateways_write_to_the_more_partitions() -> None:
    small, large = size(Demand(1e6)), size(Demand(1e7))
    assert small.batch_ms == pytest.approx(1_000 * 50 * small.needs[0].processes * small.partitions / 300_000)
    assert large.batch_ms == pytest.approx(10 * small.batch_ms)
    assert large.wall_at_sites == pytest.approx(1e7 * 1_000 / large.batch_ms), "there they wait for a whole tick"
    assert size(Demand(1e7, entry_readings=100)).batch_ms == pytest.approx(2 * large.batch_ms)
    assert size(Demand(1e7, entry_readings=5)).needs[2].cores > large.needs[2].cores, "small entries cost processors"


def test_a_log_entry_has_as_much_around_its_readings_as_is_counted() -> None:
    around = [len(encode(np.zeros(rows, TELEMETRY))) - rows * TELEMETRY.itemsize for rows in (8, 50, 1_000)]
    assert set(around) == {FIGURES["entry_bytes"].value}


def test_money_is_told_only_where_prices_are_given() -> None:
    assert size(Demand(1e6)).dollars_per_month is None
    plan = size(Demand(1e6), Prices(20.0, 3.0, 0.1))
    assert plan.dollars_per_month == pytest.approx(20 * plan.cores + 3 * plan.memory_gib + 0.1 * plan.disk_gb)


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_what_makes_no_plant_is_refused(value: float) -> None:
    with pytest.raises(InvalidInput, match="report_period_s"):
        size(Demand(1e6, report_period_s=value))


def test_the_command_sizes_each_number_of_sites(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["capacity", "--sites", "1e6,1e7", "--json"]) == 0
    plans = json.loads(capsys.readouterr().out)
    assert plans == [json.loads(msgspec.json.encode(size(Demand(sites)))) for sites in (1e6, 1e7)]
    assert cli.run(["capacity", "--sites", "many"]) == 2
    assert cli.run(["capacity", "--core-price", "20"]) == 2
    capsys.readouterr()


def test_the_page_shows_what_the_command_says(capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs" / "capacity.md").read_text(encoding="utf-8")
    for sites in (1e6, 1e7, 1e8):
        plan = size(Demand(sites))
        row = f"| {sites:,.0f} | {plan.readings_per_s:,.0f} | {plan.partitions:,} | {plan.cores:,.0f} |"
        assert row in page
    for figure in FIGURES.values():
        assert f"| {figure.value:,.10g} {figure.unit} | {figure.kind} | {figure.source} |" in page
