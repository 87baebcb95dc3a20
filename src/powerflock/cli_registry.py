"""`powerflock registry …`: the database of who is enrolled, without a plant having to run.

As `cli`: imports only what it runs.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from powerflock.registry.store import SiteRecord, Store
    from powerflock.settings import Settings

app = typer.Typer(help="The database of who is enrolled.", no_args_is_help=True)

ConfigFile = Annotated[Path | None, typer.Option("--config", help="TOML file of settings.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.command()
def migrate(as_json: AsJson = False, config: ConfigFile = None) -> None:
    """Bring the database to this program's version."""
    from powerflock import console
    from powerflock.compose.registry import registry_url
    from powerflock.registry.database import Database

    database = Database(registry_url(_settings(config)))
    row = {"registry": database.shown, "before": database.version(), "now": database.migrate()}
    if as_json:
        console.print_json(row)
    else:
        console.print_table([row], title="Registry")


@app.command("list")
def list_sites(
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="At most this many.")] = 100,
    after: Annotated[str, typer.Option(help="Only ids after this one.", show_default=False)] = "",
    as_json: AsJson = False,
    config: ConfigFile = None,
) -> None:
    """List enrolled sites by id."""
    from itertools import islice

    from powerflock import console

    rows = [_row(record) for record in islice(_store(config).records(after=after), limit)]
    if as_json:
        console.print_json(rows)
    else:
        console.print_table(rows, title="Enrolled sites")


@app.command()
def show(
    site: Annotated[str, typer.Argument(help="The site's id.")], as_json: AsJson = False, config: ConfigFile = None
) -> None:
    """Show all that is known of a site."""
    import msgspec

    from powerflock import console

    record = _store(config).record(site)
    if as_json:
        console.print_json(msgspec.to_builtins(record))
    else:
        console.print_table([{"field": name, "value": value} for name, value in _row(record).items()], title=site)


@app.command()
def export(
    file: Annotated[Path | None, typer.Argument(help="File to write [default: standard output].")] = None,
    config: ConfigFile = None,
) -> None:
    """Write the whole registry as lines of JSON."""
    from powerflock.registry.portable import lines

    store = _store(config)
    if file is None:
        sys.stdout.buffer.writelines(lines(store))
        return
    temporary = file.with_name(f"{file.name}.tmp")
    with temporary.open("wb") as target:
        target.writelines(lines(store))
    temporary.replace(file)


@app.command("import")
def import_sites(
    file: Annotated[Path, typer.Argument(help="File that `export` wrote.")], config: ConfigFile = None
) -> None:
    """Fill an empty database with an export: the same rows, numbers and devices."""
    from powerflock.domain.errors import InvalidInput
    from powerflock.registry.portable import read

    if not file.is_file():
        raise InvalidInput("FILE", str(file), "there is no such file")
    with file.open("rb") as source:
        registry = read(source)
    _store(config).adopt(registry)
    sys.stderr.write(f"powerflock: {registry.sites} sites imported\n")


def _settings(config: Path | None) -> Settings:
    from powerflock.settings import load

    return load(config=config).settings


def _store(config: Path | None) -> Store:
    from powerflock.compose.registry import registry_store
    from powerflock.domain.clock import SystemClock

    return registry_store(_settings(config), SystemClock().now_us)


def _row(record: SiteRecord) -> dict[str, object]:
    from powerflock.domain.clock import to_rfc3339

    return {
        "site": record.site,
        "partition": record.partition,
        "row": record.row,
        "devices": " ".join(map(str, record.devices)),
        "feeder": record.spec.feeder,
        "region": record.spec.region,
        "version": record.version,
        "enrolled": to_rfc3339(record.enrolled_us),
        "updated": to_rfc3339(record.updated_us),
    }
