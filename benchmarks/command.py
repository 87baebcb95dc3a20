"""What `python -m benchmarks` does: list, run one, run all, write the page. Results to stdout, the rest to stderr."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, cast

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks import BENCHMARKS
from benchmarks.rows import Row

UNKNOWN_NAME = 2


class Peer(Protocol):
    """A peer that is asked only where it is named."""

    def __call__(self, measured: list[Row], *, quick: bool) -> list[Row]:
        """More rows: what was measured, held against the peer; none, with the reason on stderr, where it cannot run."""


class Benchmark(Protocol):
    """A module of this package that measures something; one with peers of its own also has `AGAINST`."""

    NAME: str
    SUMMARY: str

    def run(self, *, quick: bool) -> list[Row]:
        """Measure; with `quick` in less than 40 s."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 2 for a name that is no benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Powerflock's benchmarks.")
    parser.add_argument("name", nargs="?", help="the benchmark to run; without it, they are listed")
    parser.add_argument("--quick", action="store_true", help="end in less than 40 s")
    parser.add_argument("--against", metavar="PEER", help="also hold it against this peer, e.g. pekko for twins")
    parser.add_argument("--json", action="store_true", help="print only a JSON list of rows")
    parser.add_argument("--all", action="store_true", help="run every benchmark")
    parser.add_argument("--write", type=Path, metavar="FILE", help="also write the results into a Markdown page")
    parser.add_argument("--date", default=f"{datetime.now(UTC):%Y-%m-%d}", help="the page's date, today by default")
    asked = parser.parse_args(arguments)
    if asked.name is not None and asked.all:
        parser.error("give a NAME or --all, not both")
    if asked.name is not None and asked.name not in BENCHMARKS:
        sys.stderr.write(f"{asked.name!r} is no benchmark; there are:\n{_listing()}")
        return UNKNOWN_NAME
    if asked.against is not None and (asked.name is None or asked.against not in peers_of(asked.name)):
        known = {name: sorted(peers_of(name)) for name in BENCHMARKS if peers_of(name)}
        sys.stderr.write(f"{asked.against!r} is no peer of {asked.name!r}; there are: {known}\n")
        return UNKNOWN_NAME
    if asked.name is None and not asked.all:
        sys.stdout.write(_listing())
        return 0
    results = _run(BENCHMARKS if asked.all else (asked.name,), quick=asked.quick)
    if asked.against is not None:
        results[asked.name] += peers_of(asked.name)[asked.against](results[asked.name], quick=asked.quick)
    _print(results, as_json=asked.json)
    if asked.write is not None:
        before = asked.write.read_text(encoding="utf-8") if asked.write.exists() else ""
        asked.write.write_text(page(results, date=asked.date, how=_how(asked), before=before), encoding="utf-8")
        sys.stderr.write(f"wrote {asked.write}\n")
    return 0


def load(name: str) -> Benchmark:
    """The benchmark's module, imported now."""
    return cast("Benchmark", importlib.import_module(f"benchmarks.{name}"))


def peers_of(name: str) -> Mapping[str, Peer]:
    """The peers that the benchmark is held against only where they are named."""
    found: Mapping[str, Peer] = getattr(load(name), "AGAINST", {})
    return found


def page(results: dict[str, list[Row]], *, date: str, how: str, before: str = "") -> str:
    """The results as Markdown: the machine, a section for each benchmark, when (`date`) and `how` it was run.

    Sections of `before`, the page until now, that were not measured again stay as they are.
    """
    head = [
        "# Benchmarks",
        "",
        f"Measured on {machine()}; each section says when, and with which command.",
        "Each figure is the median of several runs on one core, after a warm-up, and so is what it is held against,",
        "unless its row says otherwise. Times better is above 1 where ours is better.",
    ]
    sections = {part.partition("\n")[0]: part.strip() for part in before.split("\n## ")[1:]}
    for name, rows in results.items():
        lines = [name, "", f"{load(name).SUMMARY}. Measured on {date} with `python -m benchmarks {name}{how}`.", ""]
        lines += ["| what | ours | against | theirs | times better |", "|---|--:|---|--:|--:|"]
        sections[name] = "\n".join([*lines, *("| " + " | ".join(_cells(row)) + " |" for row in rows)])
    return "\n\n## ".join(["\n".join(head), *(sections[name] for name in BENCHMARKS if name in sections)]) + "\n"


def _how(asked: argparse.Namespace) -> str:
    return f"{' --quick' if asked.quick else ''}{f' --against {asked.against}' if asked.against else ''}"


def machine() -> str:
    """The machine in a few words: processor, cores, system, Python."""
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{_processor()}, {os.cpu_count()} cores, {system}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or "unknown processor")


def _listing() -> str:
    width = max(len(name) for name in BENCHMARKS)
    return "".join(f"{name:<{width}}  {load(name).SUMMARY}\n" for name in BENCHMARKS)


def _run(names: Sequence[str], *, quick: bool) -> dict[str, list[Row]]:
    console = Console(stderr=True)
    results = {}
    for name in names:
        with console.status(f"measuring {name}"):
            results[name] = load(name).run(quick=quick)
    return results


def _print(results: dict[str, list[Row]], *, as_json: bool) -> None:
    rows = [row for measured in results.values() for row in measured]
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(rows)).decode() + "\n")
        return
    table = Table(box=None)
    for title, justify in (
        ("what", "left"),
        ("ours", "right"),
        ("against", "left"),
        ("theirs", "right"),
        ("×", "right"),
    ):
        table.add_column(title, justify=justify, overflow="fold")  # type: ignore[arg-type]  # rich's literal type
    for row in rows:
        table.add_row(*_cells(row))
    Console().print(table)


def _cells(row: Row) -> tuple[str, str, str, str, str]:
    theirs = "" if row.against_value is None else f"{_number(row.against_value)} {row.unit}"
    ratio = "" if row.ratio is None else _number(row.ratio)
    return (row.metric, f"{_number(row.value)} {row.unit}", row.against or "", theirs, ratio)


def _number(value: float) -> str:
    return f"{float(f'{value:.3g}'):,.10g}"
