"""The command line: one subcommand per process, each importing only what it runs.

Invariants: data goes to stdout and everything else to stderr; the exit codes below are stable; an error raised on
purpose is shown as one sentence, never as a traceback. Must not import numpy, numba, pydantic or a web framework at its
top: `--help` answers in under 200 ms.

Exit codes: 0 done · 1 failed at run time · 2 bad input or usage · 3 the plant cannot be reached · 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from powerflock.cli_capacity import capacity
from powerflock.cli_registry import app as registry_app
from powerflock.domain.errors import InvalidInput, PowerflockError

if TYPE_CHECKING:
    from powerflock.settings import Loaded

OK, FAILED, BAD_INPUT, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 130
EXIT_CODES = "Exit codes: 0 done, 1 failed at run time, 2 bad input, 3 plant not reachable, 130 interrupted."

Row = Mapping[str, object]

app = typer.Typer(
    name="powerflock",
    help="An open virtual power plant: curves up, prices down.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
sites_app = typer.Typer(help="The sites of a running plant.", no_args_is_help=True)
bids_app = typer.Typer(help="The bids of a running plant.", no_args_is_help=True)
config_app = typer.Typer(help="The settings in use.", no_args_is_help=True)
app.add_typer(sites_app, name="sites")
app.add_typer(bids_app, name="bids")
app.add_typer(config_app, name="config")
app.add_typer(registry_app, name="registry")
app.command()(capacity)


class Forecast(StrEnum):
    """What a simulation plans on."""

    REAL = "real"
    PERFECT = "perfect"


class Codec(StrEnum):
    """How the fleet encodes its frames."""

    JSON = "json"
    MSGPACK = "msgpack"


ConfigFile = Annotated[Path | None, typer.Option("--config", help="TOML file of settings.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Url = Annotated[str | None, typer.Option("--url", help="Address of the plant's REST API [default: from the settings].")]
HomesFile = Annotated[Path | None, typer.Option("--homes-file", help="Replay the homes in this CSV or Parquet file.")]
Prices = Annotated[Path | None, typer.Option("--prices", help="Price file: AEMO PRICE_AND_DEMAND CSV or Parquet.")]


@app.command()
def up(
    demo: Annotated[
        bool, typer.Option("--demo", help="Add simulated homes and run 60 times as fast as real time.")
    ] = False,
    homes: Annotated[int, typer.Option(min=1, max=1_000_000, help="Simulated homes of the demo.")] = 1000,
    homes_file: HomesFile = None,
    speed: Annotated[float | None, typer.Option(help="Plant seconds per wall second.", show_default=False)] = None,
    prices: Prices = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the plant's data.", show_default=False)] = None,
    port: Annotated[int | None, typer.Option(help="Port of the page and the REST API.", show_default=False)] = None,
    gateway_port: Annotated[int | None, typer.Option(help="Port for devices.", show_default=False)] = None,
    config: ConfigFile = None,
) -> None:
    """Run a plant in one process.

    Gateway, log, twins, plan, market, dispatch, API and page, until interrupted.
    """
    if homes_file is not None and not demo:
        raise InvalidInput(
            "--homes-file", str(homes_file), "needs --demo", "Real homes connect with `powerflock fleet`."
        )
    overrides: dict[str, object] = {
        "plant.speed": speed,
        "plant.data_dir": data_dir,
        "market.prices": prices,
        "api.port": port,
        "gateway.port": gateway_port,
    }
    loaded = _load(config, demo=demo, overrides=overrides)
    from powerflock.compose.live import run_plant

    settings = loaded.settings
    run_plant(
        settings, demo=demo, homes=homes, seed=settings.market.seed, homes_file=_existing("--homes-file", homes_file)
    )


@app.command()
def fleet(
    url: Annotated[str | None, typer.Option(help="WebSocket of the gateway [default: from the settings].")] = None,
    api: Annotated[str | None, typer.Option(help="REST address for enrolment [default: from the settings].")] = None,
    homes: Annotated[int, typer.Option(min=1, max=1_000_000, help="Simulated homes.")] = 1000,
    homes_file: HomesFile = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the simulated homes.")] = 1,
    enrol_key_file: Annotated[
        Path | None, typer.Option(help="File with the plant's enrol key [default: in its data folder].")
    ] = None,
    ledger: Annotated[Path | None, typer.Option(help="Write each reading sent and acknowledged to this file.")] = None,
    state: Annotated[
        Path | None, typer.Option(help="Keep batteries and registers in this file, and go on from it.")
    ] = None,
    leash: Annotated[bool, typer.Option("--leash", help="End when standard input closes.", hidden=True)] = False,
    period_s: Annotated[float, typer.Option(min=0.05, max=3600.0, help="Wall seconds between two readings.")] = 1.0,
    codec: Annotated[Codec, typer.Option(help="How frames are encoded.")] = Codec.MSGPACK,
    config: ConfigFile = None,
) -> None:
    """Run simulated homes that connect to a plant.

    They enrol and speak the public protocol over WebSockets, as real homes do.
    """
    settings = _load(config).settings
    from powerflock.sim.agent import run_fleet

    run_fleet(
        url=url or f"ws://{settings.gateway.host}:{settings.gateway.port}/v1",
        api=api or _api_url(settings.api.host, settings.api.port),
        homes=homes,
        homes_file=_existing("--homes-file", homes_file),
        seed=seed,
        enrol_key_file=enrol_key_file or settings.plant.data_dir / "enrol.key",
        ledger=ledger,
        period_s=period_s,
        codec=codec.value,
        state=state,
        leash=leash,
    )


@app.command()
def simulate(
    homes: Annotated[str, typer.Option(help="A number of generated homes, or a CSV, Parquet or NEM12 file.")] = "1000",
    days: Annotated[int, typer.Option(min=1, max=3660, help="Days to run.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything that is generated.")] = 1,
    prices: Prices = None,
    region: Annotated[str | None, typer.Option(help="Market region.", show_default=False)] = None,
    forecast: Annotated[Forecast, typer.Option(help="What plans are made on.")] = Forecast.REAL,
    start: Annotated[
        str | None, typer.Option(help="First moment: a date or RFC 3339 time.", show_default=False)
    ] = None,
    homes_start: Annotated[
        str | None, typer.Option(help="Take the homes' data from here on.", show_default=False)
    ] = None,
    prices_start: Annotated[str | None, typer.Option(help="Take the prices from here on.", show_default=False)] = None,
    report: Annotated[Path | None, typer.Option(help="Write an HTML report with plots to this file.")] = None,
    as_json: AsJson = False,
    config: ConfigFile = None,
) -> None:
    """Run a plant and its homes in virtual time.

    The same parts without sockets; the same seed gives the same trace hash.
    """
    loaded = _load(config, overrides={"market.prices": prices, "plant.region": region, "market.seed": seed})
    number, file = _homes(homes)
    if homes_start is not None and file is None:
        raise InvalidInput("--homes-start", homes_start, "needs a file in --homes", "Generated homes have no past.")
    if prices_start is not None and loaded.settings.market.prices is None:
        raise InvalidInput("--prices-start", prices_start, "needs --prices", "Generated prices have no past.")
    from powerflock import console
    from powerflock.compose.virtual import run_simulation

    with console.progress("simulating") as advance:
        summary = run_simulation(
            loaded.settings,
            homes=number,
            homes_file=file,
            days=days,
            seed=seed,
            perfect=forecast is Forecast.PERFECT,
            start_us=_time_us("--start", start),
            homes_start_us=_time_us("--homes-start", homes_start),
            prices_start_us=_time_us("--prices-start", prices_start),
            report=report,
            progress=advance,
        )
    if as_json:
        console.print_json(summary)
    else:
        console.print_table([{"result": key, "value": value} for key, value in summary.items()], title="Simulation")


@sites_app.command("list")
def sites_list(
    url: Url = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="At most this many.")] = 100,
    freshness: Annotated[str | None, typer.Option(help="Only fresh, stale or silent ones.", show_default=False)] = None,
    search: Annotated[str | None, typer.Option(help="Only ids that contain this.", show_default=False)] = None,
    as_json: AsJson = False,
    config: ConfigFile = None,
) -> None:
    """List sites with their power now (kW, + = into the site)."""
    from powerflock import console, rest

    rows = rest.sites(_plant(url, config), limit=limit, freshness=freshness, search=search)
    if as_json:
        console.print_json(rows)
        return
    columns = (
        "site",
        "feeder",
        "freshness",
        "power_kw",
        "battery_kw",
        "solar_kw",
        "load_kw",
        "soc_ratio",
        "up_kw",
        "down_kw",
    )
    console.print_table(
        [{name: row.get(name) for name in columns} for row in rows], title="Sites, kW, + = into the site"
    )


@bids_app.command("list")
def bids_list(
    url: Url = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most this many, newest first.")] = 20,
    as_json: AsJson = False,
    config: ConfigFile = None,
) -> None:
    """List bids with their awards (MW, + = export to the grid)."""
    from powerflock import console, rest

    rows = rest.bids(_plant(url, config), limit=limit)
    if as_json:
        console.print_json(rows)
        return
    table = [row | {"bands": _bands(row.get("bands"))} for row in rows]
    console.print_table(table, title="Bids, MW, + = export to the grid")


@config_app.command("show")
def config_show(
    origin: Annotated[bool, typer.Option("--origin", help="Also say where each value comes from.")] = False,
    demo: Annotated[bool, typer.Option("--demo", help="As `up --demo` would see them.")] = False,
    as_json: AsJson = False,
    config: ConfigFile = None,
) -> None:
    """Show every setting in use."""
    loaded = _load(config, demo=demo)
    from powerflock import console

    rows: list[Row] = [
        {"key": row.key, "value": row.value}
        | ({"origin": row.origin} if origin else {})
        | ({} if as_json or origin else {"meaning": row.description})
        for row in loaded.rows()
    ]
    if as_json:
        console.print_json(rows)
    else:
        console.print_table(rows, title="Settings")


@app.command()
def doctor(as_json: AsJson = False, config: ConfigFile = None) -> None:
    """Check that this machine can run a plant.

    With the settings in use; exit code 1 if a check fails.
    """
    loaded = _load(config)
    from powerflock import console
    from powerflock.doctor import examine

    findings = examine(loaded.settings)
    rows: list[Row] = [
        {"check": each.check, "ok": each.ok, "found": each.found, "remedy": each.remedy} for each in findings
    ]
    if as_json:
        console.print_json(rows)
    else:
        console.print_table(rows, title="Doctor")
    if not all(each.ok for each in findings):
        raise typer.Exit(FAILED)


@app.command()
def version(as_json: AsJson = False) -> None:
    """Print the version."""
    from powerflock import __version__

    sys.stdout.write(f'{{"version": "{__version__}"}}\n' if as_json else f"powerflock {__version__}\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with one of the codes above."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; the one place where our errors become exit codes."""
    try:
        app(args=list(arguments), prog_name="powerflock")
    except PowerflockError as error:
        sys.stderr.write(f"powerflock: {error}\n")
        return _exit_code(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else FAILED if done.code else OK
    return OK


def _exit_code(error: PowerflockError) -> int:
    if isinstance(error, InvalidInput):
        return BAD_INPUT
    return UNREACHABLE if error.code == "unreachable" else FAILED


def _load(config: Path | None, *, demo: bool = False, overrides: Mapping[str, object] | None = None) -> Loaded:
    from powerflock.settings import load

    return load(config=config, demo=demo, overrides=overrides)


def _plant(url: str | None, config: Path | None) -> str:
    if url is not None:
        return url
    settings = _load(config).settings
    return _api_url(settings.api.host, settings.api.port)


def _api_url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _existing(option: str, file: Path | None) -> Path | None:
    if file is not None and not file.is_file():
        raise InvalidInput(option, str(file), "there is no such file")
    return file


def _homes(text: str) -> tuple[int, Path | None]:
    if not text.lstrip("+-").isdecimal():
        return 0, _existing("--homes", Path(text))
    if not 1 <= int(text) <= 1_000_000:
        raise InvalidInput("--homes", text, "must be between 1 and 1000000, or a file")
    return int(text), None


def _time_us(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    from powerflock.domain.clock import from_rfc3339

    try:
        return from_rfc3339(f"{text}T00:00:00Z" if len(text) == len("2026-01-02") else text)
    except InvalidInput as error:
        raise InvalidInput(option, text, error.bound, error.remedy) from error


def _bands(bands: object) -> str:
    if not isinstance(bands, list):
        return ""
    return " ".join(f"{band['quantity_mw']:.3g}@{band['price_per_mwh']:.0f}" for band in bands)


if __name__ == "__main__":
    main()
