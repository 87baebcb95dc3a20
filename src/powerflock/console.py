"""How the command line shows things: tables for people, JSON for programs, progress on stderr.

Invariants: only `print_json` and `print_table` write to stdout; unknown (NaN or None) shows as `–`, and as null in
JSON. Must not know where the data come from.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

UNKNOWN = "–"


def print_json(data: object) -> None:
    """One JSON document, indented; NaN becomes null, since JSON has no other word for unknown."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(data), indent=2).decode() + "\n")


def print_table(rows: Sequence[Mapping[str, object]], *, title: str) -> None:
    """A table with a column per key of the first row; in a pipe it is as wide as its content."""
    table = Table(title=title, title_justify="left", header_style="bold")
    names = list(rows[0]) if rows else ["nothing"]
    for name in names:
        numeric = bool(rows) and all(_is_number(row[name]) or row[name] is None for row in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_text(row[name]) for name in names))
    width = None if sys.stdout.isatty() else 10_000
    console = Console(file=sys.stdout, markup=False, highlight=False, width=width)
    console.print(table)


@contextmanager
def progress(what: str) -> Iterator[Callable[[float], None]]:
    """A bar on stderr; the value is called with the share done, 0 to 1. Silent where stderr is no terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    with bar:
        task = bar.add_task(what, total=1.0)

        def advance(done_ratio: float) -> None:
            bar.update(task, completed=done_ratio)

        yield advance


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if isinstance(value, float):
        return f"{value + 0.0:.6g}"
    return str(value)
