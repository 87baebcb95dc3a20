"""What must hold of the console in a real browser, whatever plant is behind it: the fake one or the real one."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

import powerflock.api

STATIC = Path(powerflock.api.__file__).parent / "static"
LIVE_NUMBERS = ("delivered", "soc", "clock")


def need(present: object, reason: str) -> None:
    """Skip with the reason, but fail in CI, where everything must be there."""
    if not present:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    need(path, "no Chromium on the PATH; install the package `chromium`")
    need((STATIC / "index.html").is_file(), f"the page is not built into {STATIC}; run `make setup`")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@dataclass(slots=True)
class Watch:
    """What a page complained of and asked for since it was opened."""

    origin: str
    complaints: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def said(self, kind: str, text: str) -> None:
        """Note a console message that is a complaint."""
        if kind in {"error", "warning"}:
            self.complaints.append(text)

    def asked(self, url: str) -> None:
        """Note a request that leaves the plant's own origin."""
        parts = urlsplit(url)
        if f"{parts.scheme}://{parts.netloc}" != self.origin:
            self.foreign.append(url)

    def check(self) -> None:
        """No console error or warning, and nothing asked of anybody else."""
        assert self.complaints == []
        assert self.foreign == []


def open_console(browser: Browser, origin: str, width: int, height: int, scheme: str = "dark") -> tuple[Page, Watch]:
    """The console, opened and watched, once it hears from the plant."""
    light = scheme == "light"
    page = browser.new_page(
        viewport={"width": width, "height": height}, color_scheme="light" if light else "dark", reduced_motion="reduce"
    )
    watch = Watch(origin)
    page.on("console", lambda message: watch.said(message.type, message.text))
    page.on("pageerror", lambda error: watch.complaints.append(str(error)))
    page.on("request", lambda request: watch.asked(request.url))
    page.goto(f"{origin}/")
    expect(page.get_by_test_id("link")).to_have_text(re.compile("Live|Waiting|Recovering"), timeout=20_000)
    return page, watch


def check_numbers_live_and_moving(page: Page, names: tuple[str, ...] = LIVE_NUMBERS, within_s: float = 30.0) -> None:
    """Each named number is known, and changes within the time."""
    for name in names:
        expect(page.get_by_test_id(name)).to_have_text(re.compile(r"\d"), timeout=within_s * 1000)
    before = {name: page.get_by_test_id(name).inner_text() for name in names}
    for name in names:
        expect(page.get_by_test_id(name)).not_to_have_text(before[name], timeout=within_s * 1000)


def check_charts_drawn(page: Page) -> None:
    """Three plots, each with coloured pixels, and the same canvas a moment later: they are never made anew."""
    expect(page.locator(".uplot canvas")).to_have_count(3)
    drawn = """() => [...document.querySelectorAll('.uplot canvas')].map((canvas) => {
        canvas.dataset.seen = 'yes';
        const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        return data.some((value, at) => at % 4 === 3 && value > 200);
    })"""
    assert page.evaluate(drawn) == [True, True, True]
    page.wait_for_timeout(2500)
    expect(page.locator(".uplot canvas[data-seen]")).to_have_count(3)


def check_simulated_banner(page: Page) -> None:
    """A simulated plant says so, with where its prices come from and how fast its time runs."""
    banner = page.get_by_test_id("simulated")
    expect(banner).to_be_visible()
    expect(banner).to_contain_text("SIMULATED")
    expect(banner).to_contain_text(re.compile(r"(Generated|Real) prices: \S+"))
    expect(banner).to_contain_text("real time")


def check_no_sideways_scroll(page: Page) -> None:
    """The page is no wider than the window, and nothing sticks out of its panel."""
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    outside = (
        "[...document.querySelectorAll('.panel *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1)"
    )
    assert page.evaluate(f"{outside}.map((e) => e.outerHTML.slice(0, 80))") == []


def check_keyboard(page: Page) -> None:
    """Tab reaches the window chooser, the search and a site; Enter opens its drawer and Escape closes it."""
    page.evaluate("document.activeElement.blur()")
    reached: list[str] = []
    describe = "(document.activeElement.ariaLabel ?? document.activeElement.name) || document.activeElement.className"
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.append(str(page.evaluate(describe)))
        if "open" in reached[-1].split():
            break
    assert {"window", "Search sites", "State"} <= set(reached), reached
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    expect(dialog).to_contain_text("Why")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def check_turns_stale(page: Page, stop: Callable[[], None]) -> None:
    """When the plant is gone the page says since when, greys its numbers, and never calls them live."""
    stop()
    link = page.get_by_test_id("link")
    expect(link).to_have_text(re.compile(r"Reconnecting · last data \d+ s ago"), timeout=10_000)
    expect(page.get_by_test_id("live")).to_have_css("filter", "grayscale(1)")
    expect(page.get_by_role("status").filter(has_text="not live")).to_be_visible()


def shoot(page: Page, folder: Path, name: str, *, full: bool = False) -> Path:
    """A picture of the page, for people to look at."""
    path = folder / f"{name}.png"
    page.screenshot(path=path, full_page=full)
    assert path.stat().st_size > 10_000
    return path
