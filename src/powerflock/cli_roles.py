"""`powerflock gateway`, `twins`, `autobidder`, `historian` and `api`: the plant as processes of their own.

As `cli`: imports only what it runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from powerflock.settings import Settings

ConfigFile = Annotated[Path | None, typer.Option("--config", help="TOML file of settings.", show_default=False)]
LogUrl = Annotated[str | None, typer.Option("--log", help="The plant's log: kafka://HOST:PORT.", show_default=False)]
DataDir = Annotated[Path | None, typer.Option(help="Folder of the plant's data.", show_default=False)]
Name = Annotated[str | None, typer.Option(help="This process's own name.", show_default=False)]
HealthPort = Annotated[int | None, typer.Option(help="Port of health and metrics.", show_default=False)]
Port = Annotated[int | None, typer.Option(help="Port to serve.", show_default=False)]


def add_to(app: typer.Typer) -> None:
    """Add the roles to the command line."""
    for role in (gateway, twins, autobidder, historian, api):
        app.command()(role)


def gateway(
    log: LogUrl = None, data_dir: DataDir = None, name: Name = None, health_port: HealthPort = None,
    port: Port = None, config: ConfigFile = None,
) -> None:  # fmt: skip
    """Run a gateway: the devices' door to a plant of many processes."""
    settings = _settings(config, log, data_dir, name, health_port, {"gateway.port": port})
    from powerflock.compose.roles.gateway import GatewayRole
    from powerflock.compose.roles.process import run_role

    run_role(settings, "gateway", GatewayRole)


def twins(
    log: LogUrl = None, data_dir: DataDir = None, name: Name = None, health_port: HealthPort = None,
    config: ConfigFile = None,
) -> None:  # fmt: skip
    """Run a twins process: it owns the partitions that its group gives it."""
    settings = _settings(config, log, data_dir, name, health_port, {})
    from powerflock.compose.roles.process import run_role
    from powerflock.compose.roles.twins import Twins

    run_role(settings, "twins", Twins)


def autobidder(
    log: LogUrl = None, data_dir: DataDir = None, name: Name = None, health_port: HealthPort = None,
    config: ConfigFile = None,
) -> None:  # fmt: skip
    """Run an autobidder: one owns the portfolio, any others stand by."""
    settings = _settings(config, log, data_dir, name, health_port, {})
    from powerflock.compose.roles.autobidder import Autobidder
    from powerflock.compose.roles.process import run_role

    run_role(settings, "autobidder", Autobidder)


def historian(
    log: LogUrl = None, data_dir: DataDir = None, name: Name = None, health_port: HealthPort = None,
    config: ConfigFile = None,
) -> None:  # fmt: skip
    """Run a historian: one keeps readings and group series in Delta tables, any others stand by."""
    settings = _settings(config, log, data_dir, name, health_port, {})
    from powerflock.compose.roles.historian import HistorianRole
    from powerflock.compose.roles.process import run_role

    run_role(settings, "historian", HistorianRole)


def api(
    log: LogUrl = None, data_dir: DataDir = None, name: Name = None, health_port: HealthPort = None,
    port: Port = None, config: ConfigFile = None,
) -> None:  # fmt: skip
    """Run an API process: page, REST and stream of a plant of many processes."""
    settings = _settings(config, log, data_dir, name, health_port, {"api.port": port})
    from powerflock.compose.roles.api import Api
    from powerflock.compose.roles.process import run_role

    run_role(settings, "api", Api)


def _settings(
    config: Path | None, log: str | None, data_dir: Path | None, name: str | None, health_port: int | None,
    more: dict[str, object],
) -> Settings:  # fmt: skip
    from powerflock.settings import load

    overrides: dict[str, object] = {
        "log.url": log,
        "plant.data_dir": data_dir,
        "process.name": name,
        "process.port": health_port,
        **more,
    }
    return load(config=config, overrides=overrides).settings
