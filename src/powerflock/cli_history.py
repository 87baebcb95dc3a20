"""`powerflock history …`: the past of a plant, read from its storage, whether or not the plant runs.

Invariants as the command line's: data on stdout, progress on stderr, one sentence for an error. Must not import
anything heavy at its top.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from powerflock.domain.errors import InvalidInput

if TYPE_CHECKING:
    from powerflock.history.words import Span, Subject
    from powerflock.settings import Settings

app = typer.Typer(help="The past: readings of devices and series of groups.", no_args_is_help=True)


class Method(StrEnum):
    """How a series is made of its rows."""

    RAW = "raw"
    MINMAX = "minmax"
    LTTB = "lttb"
    MEAN = "mean"


class Format(StrEnum):
    """What a file is."""

    ARROW = "arrow"
    PARQUET = "parquet"
    CSV = "csv"


GroupName = Annotated[str | None, typer.Option("--group", help="Group, e.g. portfolio.", show_default=False)]
Site = Annotated[str | None, typer.Option("--site", help="Site, for one of its devices.", show_default=False)]
DeviceName = Annotated[str, typer.Option("--device", help="Device of the site.")]
Start = Annotated[str, typer.Option("--from", help="First moment: a date or RFC 3339 time.", show_default=False)]
End = Annotated[str, typer.Option("--to", help="Moment after the last: a date or RFC 3339 time.", show_default=False)]
DataDir = Annotated[Path | None, typer.Option(help="Folder of the plant's data [default: from the settings].")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="TOML file of settings.", show_default=False)]


@app.command()
def query(
    start: Start,
    end: End,
    group: GroupName = None,
    site: Site = None,
    device: DeviceName = "meter",
    column: Annotated[str, typer.Option(help="Column of the group or device.")] = "power_kw",
    points: Annotated[int, typer.Option(min=8, max=20_000, help="At most this many points.")] = 100,
    method: Annotated[Method, typer.Option(help="How points are made of rows.")] = Method.MINMAX,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    config: ConfigFile = None,
) -> None:
    """Print one column of a group or device over time (+ = into it)."""
    subject, span = _subject(group, site, device), _span(start, end)
    place = _place(_settings(data_dir, config))
    from powerflock import console
    from powerflock.domain.clock import to_rfc3339
    from powerflock.history.query import History

    found = History(*place).series(subject, column, span, points, method.value)
    if as_json:
        console.print_json({"rows": found.rows, "time_us": found.time_us.tolist(), column: found.value.tolist()})
        return
    pairs = zip(found.time_us.tolist(), found.value.tolist(), strict=True)
    rows = [{"time": to_rfc3339(time_us), column: value} for time_us, value in pairs]
    console.print_table(rows, title=f"{group or f'{site}/{device}'}, from {found.rows} rows, + = into it")


@app.command()
def export(
    start: Start,
    end: End,
    group: GroupName = None,
    site: Site = None,
    device: DeviceName = "meter",
    kind: Annotated[Format, typer.Option("--format", help="What to write.")] = Format.CSV,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write [default: standard output].")
    ] = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
) -> None:
    """Write all columns and rows of a group or device as a file."""
    subject, span = _subject(group, site, device), _span(start, end)
    place = _place(_settings(data_dir, config))
    if output is None and kind is not Format.CSV and sys.stdout.isatty():
        bound = f"is a terminal, and {kind.value} is not text"
        raise InvalidInput("--output", "standard output", bound, "Name a file.")
    from powerflock.history.export import encoded
    from powerflock.history.query import History

    schema, batches = History(*place).batches(subject, span)
    pieces = encoded(schema, batches, kind.value)
    first = next(pieces)  # fails, if it does, before the file is made
    size = 0
    with _opened(output) as file:
        for piece in chain((first,), pieces):
            size += file.write(piece)
    sys.stderr.write(f"powerflock: wrote {size} bytes\n")


@app.command()
def revisions(
    start: Start,
    end: End,
    name: Annotated[str | None, typer.Option(help="Only of this site or group.", show_default=False)] = None,
    since: Annotated[str | None, typer.Option(help="Only hours revised after this moment.", show_default=False)] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    config: ConfigFile = None,
) -> None:
    """List the hours for which readings came late, and when they came."""
    span, since_us = _span(start, end), 0 if since is None else _time_us("--since", since)
    place = _place(_settings(data_dir, config))
    from powerflock import console
    from powerflock.domain.clock import to_rfc3339
    from powerflock.history.query import History

    found = History(*place).revisions(span, name, since_us).to_pylist()
    rows = [
        {
            "scope": row["scope"],
            "name": row["name"],
            "hour": to_rfc3339(row["hour_us"]),
            "revised": to_rfc3339(row["revised_us"]),
            "readings": row["readings"],
        }
        for row in found
    ]
    if as_json:
        console.print_json(rows)
    else:
        console.print_table(rows, title="Revised hours")


@app.command()
def compact(
    expire: Annotated[
        bool, typer.Option("--expire", help="Also drop days older than the settings keep, and unused files.")
    ] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    config: ConfigFile = None,
) -> None:
    """Join small files, and sort the days that are over; safe while the plant runs.

    The newest day in the history counts as today.
    """
    settings = _settings(data_dir, config)
    place = _place(settings)
    from powerflock import console
    from powerflock.history.upkeep import compact as join
    from powerflock.history.upkeep import newest_us, retain

    now_us, kept = newest_us(*place), settings.history
    with console.progress("compacting") as advance:
        done = join(*place, now_us, advance)
    expired = (
        retain(*place, now_us, readings_days=kept.retention_days, series_days=kept.series_retention_days)
        if expire
        else []
    )
    rows: list[dict[str, object]] = [
        {"table": each.table, "day": str(each.day), "files_before": each.files_before, "files_after": each.files_after}
        for each in done
    ]
    dropped = [
        {"table": each.table, "before": str(each.first_day), "expired": each.expired, "deleted": each.deleted}
        for each in expired
    ]
    if as_json:
        console.print_json({"compacted": rows, "expired": dropped})
        return
    console.print_table(rows, title="Days rewritten")
    if expire:
        console.print_table(dropped, title="Files dropped")


def _settings(data_dir: Path | None, config: Path | None) -> Settings:
    from powerflock.settings import load

    return load(config=config, overrides={"plant.data_dir": data_dir}).settings


def _place(settings: Settings) -> tuple[str, dict[str, str]]:
    """The history's address and deltalake's options."""
    from powerflock.compose.files import storage_of
    from powerflock.compose.past import NAME

    storage = storage_of(settings)
    return storage.uri(NAME), storage.delta_options()


def _subject(group: str | None, site: str | None, device: str) -> Subject:
    if (group is None) == (site is None):
        raise InvalidInput("--group and --site", f"{group} and {site}", "exactly one must be given")
    from powerflock.history.words import Device, Group

    return Group(group) if group is not None else Device(site or "", device)


def _span(start: str, end: str) -> Span:
    from powerflock.history.words import Span

    return Span(_time_us("--from", start), _time_us("--to", end))


def _time_us(option: str, text: str) -> int:
    from powerflock.domain.clock import from_rfc3339

    try:
        return from_rfc3339(f"{text}T00:00:00Z" if len(text) == len("2026-01-02") else text)
    except InvalidInput as error:
        raise InvalidInput(option, text, error.bound, error.remedy) from error


def _opened(output: Path | None) -> BinaryIO:
    if output is None:
        return sys.stdout.buffer
    try:
        return output.open("wb")
    except OSError as error:
        raise InvalidInput("--output", str(output), f"cannot be written: {error.strerror}") from error
