"""The console in a real Chromium over a fake plant that moves: what an operator sees first."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.browser import console_checks as checks

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]
expect.set_options(timeout=20_000)  # a shared machine draws slowly


class Server:
    """The fake plant in its own process, at a fixed port, so that it can die and come back."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.origin = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        command = [sys.executable, "-m", "tests.fake_server", "--port", str(self.port), *options]
        self.process = subprocess.Popen(command, cwd=ROOT)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{self.origin}/healthz").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
        pytest.fail("the fake plant did not start within 30 s")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with checks.chromium() as browser:
        yield browser


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    server = Server()

    def start(*options: str) -> Server:
        server.start(*options)
        return server

    yield start
    server.kill()


def test_the_console_is_live_and_asks_nobody_else(
    browser: Browser, serve: Callable[..., Server], tmp_path: Path
) -> None:
    server = serve()
    page, watch = checks.open_console(browser, server.origin, 1440, 900)
    checks.check_simulated_banner(page)
    checks.check_numbers_live_and_moving(page)
    checks.check_charts_drawn(page)
    checks.check_no_sideways_scroll(page)
    checks.check_keyboard(page)
    page.get_by_label("24 h").check()
    page.wait_for_timeout(500)
    checks.shoot(page, tmp_path, "console-1440")
    watch.check()
    page.close()


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_the_console_fits_a_phone(browser: Browser, serve: Callable[..., Server], tmp_path: Path, scheme: str) -> None:
    server = serve()
    page, watch = checks.open_console(browser, server.origin, 390, 844, scheme)
    checks.check_numbers_live_and_moving(page)
    checks.check_no_sideways_scroll(page)
    checks.check_simulated_banner(page)
    checks.shoot(page, tmp_path, f"console-390-{scheme}", full=True)
    watch.check()
    page.close()


def test_stale_numbers_are_never_shown_as_live(browser: Browser, serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve()
    page, _ = checks.open_console(browser, server.origin, 1440, 900)
    checks.check_turns_stale(page, server.kill)
    checks.shoot(page, tmp_path, "console-stale")
    server.start()
    expect(page.get_by_test_id("link")).to_have_text("Live", timeout=15_000)
    expect(page.get_by_test_id("live")).to_have_css("filter", "none")
    page.close()


def test_the_account_adds_up_before_the_readers_eyes(browser: Browser, serve: Callable[..., Server]) -> None:
    server = serve()
    page, watch = checks.open_console(browser, server.origin, 1440, 900)
    account = page.get_by_role("region", name="Account")
    expect(account).to_contain_text("against the same homes on their own")
    shown = account.locator(".sum dd").all_inner_texts()
    earned, paid, margin = (float(text.replace("−", "-").replace("A$", "").replace(",", "")) for text in shown)
    assert earned - paid == pytest.approx(margin, abs=0.011)
    watch.check()
    page.close()


@pytest.mark.parametrize(
    ("phase", "words"), [("waiting", "Waiting for the first reading"), ("recovering", "is recovering")]
)
def test_what_is_not_known_yet_is_a_dash_with_its_reason(
    browser: Browser, serve: Callable[..., Server], tmp_path: Path, phase: str, words: str
) -> None:
    server = serve("--phase", phase)
    page, watch = checks.open_console(browser, server.origin, 1440, 900)
    expect(page.get_by_role("status").filter(has_text=words)).to_be_visible()
    expect(page.get_by_test_id("link")).to_have_text(phase.capitalize())
    expect(page.get_by_role("region", name="Charts")).to_contain_text("No past yet")
    for name in ("target", "delivered", "soc", "spot", "margin"):
        expect(page.get_by_test_id(name)).to_have_text(re.compile(r"^–"))
    checks.shoot(page, tmp_path, f"console-{phase}")
    watch.check()
    page.close()


def test_sites_are_searched_filtered_and_paged(browser: Browser, serve: Callable[..., Server]) -> None:
    server = serve()
    page, watch = checks.open_console(browser, server.origin, 1440, 900)
    sites = page.get_by_role("region", name="Sites")
    expect(sites).to_contain_text("1–12 of 1,000")
    sites.get_by_label("Next page").click()
    expect(sites).to_contain_text("13–24 of 1,000")
    sites.get_by_label("Search sites").fill("home-099")
    expect(sites).to_contain_text("1–10 of 10")
    sites.get_by_label("Search sites").fill("")
    sites.get_by_label("State").select_option("Silent")
    expect(sites.locator("tbody tr").first).to_contain_text("silent")
    expect(sites.locator("tbody tr").first).to_contain_text("–")
    sites.get_by_label("Search sites").fill("nowhere")
    expect(sites).to_contain_text("No site matches")
    watch.check()
    page.close()


def test_sites_are_sorted_by_the_head_that_is_clicked(browser: Browser, serve: Callable[..., Server]) -> None:
    server = serve()
    page, watch = checks.open_console(browser, server.origin, 1440, 900)
    sites = page.get_by_role("region", name="Sites")
    head = sites.get_by_role("columnheader", name="Deviation")
    shown = sites.locator("tbody tr td:nth-last-child(2)")
    expect(shown).to_have_count(12)
    for order in ("descending", "ascending"):
        before = shown.all_inner_texts()
        head.get_by_role("button").click()
        expect(head).to_have_attribute("aria-sort", order)
        expect(shown.first).not_to_have_text(before[0], timeout=20_000)
        values = [float(text) for text in shown.all_inner_texts()]
        assert values == sorted(values, reverse=order == "descending")
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "none")
    expect(sites.locator("tbody tr").first).to_contain_text("home-0000")
    sites.get_by_label("State").select_option("Refused")
    expect(sites.locator("tbody tr").first).to_contain_text("refused")
    watch.check()
    page.close()


def test_an_alarm_is_one_sentence_and_acknowledged_with_name_and_key(
    browser: Browser, serve: Callable[..., Server], tmp_path: Path
) -> None:
    server = serve()
    page, watch = checks.open_console(browser, server.origin, 1440, 900)
    expect(page.get_by_test_id("alarms")).to_contain_text(re.compile(r"Critical\s*alarm"))
    alarms = page.get_by_role("region", name="Alarms")
    expect(alarms.get_by_role("listitem")).to_have_count(2)
    lost, derated = alarms.get_by_role("listitem").all()
    expect(lost).to_contain_text("Contact lost with 17 of 51 sites")
    expect(derated).to_contain_text("cleared")
    lost.get_by_role("button", name="home-0014").click()
    expect(page.get_by_role("dialog")).to_contain_text("home-0014")
    page.keyboard.press("Escape")
    lost.get_by_role("button", name="Acknowledge").click()
    lost.get_by_label("Your name").fill("Ana")
    lost.get_by_label("Plant key").fill("guess")
    lost.get_by_role("button", name="Acknowledge").click()
    expect(lost.get_by_role("alert")).to_contain_text("this plant's key")
    assert [text for text in watch.complaints if "401" not in text] == [], "the browser itself notes the refusal"
    watch.complaints.clear()
    lost.get_by_label("Plant key").fill("fake-enrol-key")
    lost.get_by_role("button", name="Acknowledge").click()
    expect(lost).to_contain_text("Seen by Ana")
    derated.get_by_role("button", name="Acknowledge").click()
    expect(alarms.get_by_role("listitem")).to_have_count(1)
    checks.shoot(page, tmp_path, "console-alarm")
    watch.check()
    page.close()


def test_groups_say_what_is_firm_and_what_costs_most(browser: Browser, serve: Callable[..., Server]) -> None:
    server = serve()
    page, watch = checks.open_console(browser, server.origin, 1440, 900)
    groups = page.get_by_role("region", name="Groups")
    for words in ("Firm up", "Costs most if lost", "provider northnet", "out of reach", "set trial"):
        expect(groups).to_contain_text(words)
    watch.check()
    page.close()
