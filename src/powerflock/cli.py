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

from powerflock import cli_roles
from powerflock.cli_capacity import capacity
from powerflock.cli_history import app as history_app
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
groups_app = typer.Typer(help="The groups of a running plant.", no_args_is_help=True)
alarms_app = typer.Typer(help="What is wrong at a running plant.", no_args_is_help=True)
config_app = typer.Typer(help="The settings in use.", no_args_is_help=True)
app.add_typer(sites_app, name="sites")
app.add_typer(bids_app, name="bids")
app.add_typer(groups_app, name="groups")
app.add_typer(alarms_app, name="alarms")
app.add_typer(config_app, name="config")
app.add_typer(registry_app, name="registry")
cli_roles.add_to(app)
app.command()(capacity)
app.add_typer(history_app, name="history")


class Forecast(StrEnum):
    """What a simulation plans on."""

    REAL = "real"
    PERFECT = "perfect"


class Codec(StrEnum):
    """How the fleet encodes its frames."""

    JSON = "json"
    MSGPACK = "msgpack"


SITE_TABLE = (
    "site", "feeder", "freshness", "link", "command", "power_kw", "battery_kw", "solar_kw", "load_kw", "soc_ratio",
    "up_kw", "down_kw", "desired_kw", "applied_kw", "deviation_kw",
)  # fmt: skip
COMMANDS_HELP = "Only where the last command is none, waiting, unconfirmed, applied, refused or expired."

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
    log: Annotated[
        str | None, typer.Option(help="sqlite:PATH, kafka://HOST:PORT or memory:", show_default=False)
    ] = None,
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
        "log.url": log,
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
    sort: Annotated[str, typer.Option(help="By site or a number; - before it: greatest first.")] = "site",
    freshness: Annotated[str | None, typer.Option(help="Only fresh, stale or silent ones.", show_default=False)] = None,
    link: Annotated[
        str | None, typer.Option(help="Only with this link: up, down, unknown.", show_default=False)
    ] = None,
    reachable: Annotated[
        bool | None, typer.Option("--reachable/--unreachable", help="Only ones that commands reach.")
    ] = None,
    command: Annotated[str | None, typer.Option(help=COMMANDS_HELP, show_default=False)] = None,
    group: Annotated[str | None, typer.Option(help="Only sites of this group, by name.", show_default=False)] = None,
    search: Annotated[str | None, typer.Option(help="Only with this in id, feeder or region.")] = None,
    least: Annotated[list[str] | None, typer.Option("--min", help="A number's least value: power_kw=3.")] = None,
    most: Annotated[list[str] | None, typer.Option("--max", help="Its greatest: soc_ratio=0.2.")] = None,
    as_json: AsJson = False,
    config: ConfigFile = None,
) -> None:
    """List sites with their power now (kW, + = into the site)."""
    from powerflock import console, rest

    bounds = _bounds("--min", least or []) | _bounds("--max", most or [])
    reach = None if reachable is None else str(reachable).lower()
    wanted = {"sort": sort, "freshness": freshness, "link": link, "reachable": reach, "command": command}
    rows = rest.sites(
        _plant(url, config), limit=limit, **wanted, group=group, search=search, **bounds
    )  # fmt: skip
    if as_json:
        console.print_json(rows)
        return
    table = [{name: row.get(name) for name in SITE_TABLE} for row in rows]
    console.print_table(table, title="Sites, kW, + = into the site")


@sites_app.command("show")
def sites_show(
    site: Annotated[str, typer.Argument(help="The site's id.")],
    url: Url = None,
    as_json: AsJson = False,
    config: ConfigFile = None,
) -> None:
    """Show one site: what was desired, applied and reported, and when; its devices; why."""
    from powerflock import console, rest

    found = rest.site(_plant(url, config), site)
    if as_json:
        console.print_json(found.whole)
        return
    for part, title in ((found.now, "kW, + = into the site"), (found.times, "when its powers were known")):
        console.print_table([{"what": key, "value": part[key]} for key in part], title=f"{site}, {title}")
    console.print_table(found.devices, title="Devices, kW, + = into the device")
    sys.stdout.writelines(f"- {sentence}\n" for sentence in found.why)


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


@groups_app.command("list")
def groups_list(url: Url = None, as_json: AsJson = False, config: ConfigFile = None) -> None:
    """List groups with what they do, can do, and can promise (kW, + = into the group)."""
    from powerflock import console, rest

    rows = rest.groups(_plant(url, config))
    if as_json:
        console.print_json(rows)
        return
    columns = (
        "group", "level", "sites", "coverage_kw_ratio", "unreachable", "power_kw", "up_kw", "down_kw", "up_h", "down_h",
        "firm_up_kw", "firm_down_kw", "worst_failure", "raise_kw", "lower_kw",
    )  # fmt: skip
    console.print_table([{name: row.get(name) for name in columns} for row in rows], title="Groups, kW")


@alarms_app.command("list")
def alarms_list(url: Url = None, as_json: AsJson = False, config: ConfigFile = None) -> None:
    """List what is wrong, one line for each cause: true now first, the gravest and newest first."""
    from powerflock import console, rest

    rows = rest.alarms(_plant(url, config))
    if as_json:
        console.print_json(rows)
        return
    columns = ("severity", "state", "since", "acknowledged_by", "id", "sentence")
    console.print_table([{name: row.get(name) for name in columns} for row in rows], title="Alarms")


@alarms_app.command("acknowledge")
def alarms_acknowledge(
    alarm: Annotated[str, typer.Argument(help="The alarm's id, as `alarms list` shows it.", show_default=False)],
    by: Annotated[str, typer.Option("--by", help="Who has seen it.", show_default=False)],
    enrol_key_file: Annotated[
        Path | None, typer.Option(help="File with the plant's enrol key [default: in its data folder].")
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
    config: ConfigFile = None,
) -> None:
    """Say who has seen an alarm. A cleared one leaves the list."""
    file = enrol_key_file or _load(config).settings.plant.data_dir / "enrol.key"
    from powerflock import console, rest

    try:
        key = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(
            "--enrol-key-file", str(file), "cannot be read", "Give the file enrol.key of the plant's data folder."
        ) from error
    row = rest.acknowledge(_plant(url, config), alarm=alarm, by=by, key=key)
    if as_json:
        console.print_json(row)
    else:
        sys.stdout.write(f"{row.get('id')} acknowledged by {row.get('acknowledged_by')}\n")


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


def _bounds(option: str, texts: Sequence[str]) -> dict[str, str]:
    """`NAME=NUMBER` of the option as the plant's parameter; it knows the names and checks the numbers."""
    found = {}
    for text in texts:
        name, given, value = text.partition("=")
        if not name or not given or not value:
            raise InvalidInput(option, text, "must be NAME=NUMBER", "For example power_kw=3.")
        found[f"{option.removeprefix('--')}_{name}"] = value
    return found


def _bands(bands: object) -> str:
    if not isinstance(bands, list):
        return ""
    return " ".join(f"{band['quantity_mw']:.3g}@{band['price_per_mwh']:.0f}" for band in bands)


if __name__ == "__main__":
    main()
