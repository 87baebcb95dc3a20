"""The console over the real plant: what somebody sees who has just run `powerflock up --demo`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.acceptance.processes import Plant, until
from tests.browser import console_checks as checks

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """The demo with 60 homes, a few intervals old."""
    checks.need(
        (checks.STATIC / "index.html").is_file(), f"the page is not built into {checks.STATIC}; run `make setup`"
    )
    plant = Plant(tmp_path_factory.mktemp("plant"), "--demo", "--homes", "60")
    plant.start()
    until("every home to report", plant.covered, 60.0)
    until("intervals to be settled", lambda: plant.intervals() >= 4, 40.0)
    yield plant
    plant.end()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with checks.chromium() as browser:
        yield browser


def test_the_real_plant_is_live_on_a_desk(plant: Plant, browser: Browser, tmp_path: Path) -> None:
    page, watch = checks.open_console(browser, plant.url, 1440, 900)
    checks.check_simulated_banner(page)
    checks.check_numbers_live_and_moving(page, ("delivered", "soc", "clock", "target", "spot", "margin"))
    checks.check_charts_drawn(page)
    checks.check_no_sideways_scroll(page)
    checks.shoot(page, tmp_path, "plant-1440")
    checks.shoot(page, tmp_path, "plant-1440-full", full=True)
    checks.check_keyboard(page)
    watch.check()
    page.close()


def test_the_real_plant_fits_a_phone(plant: Plant, browser: Browser, tmp_path: Path) -> None:
    page, watch = checks.open_console(browser, plant.url, 390, 844, "light")
    checks.check_simulated_banner(page)
    checks.check_numbers_live_and_moving(page)
    checks.check_no_sideways_scroll(page)
    checks.shoot(page, tmp_path, "plant-390")
    checks.shoot(page, tmp_path, "plant-390-full", full=True)
    watch.check()
    page.close()


def test_a_site_of_the_real_plant_explains_itself(plant: Plant, browser: Browser, tmp_path: Path) -> None:
    page, watch = checks.open_console(browser, plant.url, 1440, 900)
    sites = page.get_by_role("region", name="Sites")
    expect(sites).to_contain_text("of 60")
    sites.locator("tbody button").first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Why")
    expect(dialog).to_contain_text(re.compile(r"\d kW"))
    checks.shoot(page, tmp_path, "plant-site")
    watch.check()
    page.close()
