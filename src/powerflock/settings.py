"""Every setting of a plant: its meaning, its bounds, its default, and where the value in use came from.

Layers, later ones win: defaults < the demo's choices < TOML file < environment `POWERFLOCK_<SECTION>_<FIELD>` < command
line. Invariants: an unknown key is refused wherever it appears; every refusal names key, value, bound and origin. The
parts of the plant never import this module: `compose` hands each the plain values it needs.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from powerflock.domain.errors import InvalidInput
from powerflock.sections import (
    AlarmSettings,
    ApiSettings,
    EstimateSettings,
    GatewaySettings,
    HistorySettings,
    KafkaSettings,
    LogSettings,
    MarketSettings,
    NetworkSettings,
    PlanSettings,
    PlantSettings,
    ProcessSettings,
    ProgrammeSettings,
    RegistrySettings,
    Section,
    SecuritySettings,
    StorageSettings,
)

ENV_PREFIX = "POWERFLOCK_"
CONFIG_VARIABLE = "POWERFLOCK_CONFIG"
NOT_SETTINGS = frozenset({CONFIG_VARIABLE, "POWERFLOCK_DATA"})
"""Variables with the prefix that are not settings: the file to read, and where tests find real data."""
DEFAULT_FILE = Path("powerflock.toml")
DEMO: dict[str, object] = {"plant.speed": 60.0}
"""What `up --demo` changes: an hour of the plant's day passes in a minute."""

Plain: TypeAlias = str | float | bool | None


class Settings(BaseSettings):
    """All sections. Build it with `load`, which knows where each value came from."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, env_prefix=ENV_PREFIX)

    plant: PlantSettings = PlantSettings()
    gateway: GatewaySettings = GatewaySettings()
    api: ApiSettings = ApiSettings()
    process: ProcessSettings = ProcessSettings()
    security: SecuritySettings = SecuritySettings()
    log: LogSettings = LogSettings()
    kafka: KafkaSettings = KafkaSettings()
    registry: RegistrySettings = RegistrySettings()
    storage: StorageSettings = StorageSettings()
    plan: PlanSettings = PlanSettings()
    network: NetworkSettings = NetworkSettings()
    market: MarketSettings = MarketSettings()
    programme: ProgrammeSettings = ProgrammeSettings()
    estimate: EstimateSettings = EstimateSettings()
    alarms: AlarmSettings = AlarmSettings()
    history: HistorySettings = HistorySettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load` has merged: a value that came by itself would have no origin."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of `config show --origin`."""

    key: str
    value: Plain
    origin: str
    description: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings in use and, by dotted key, the origin of each that is not a default."""

    settings: Settings
    origins: Mapping[str, str]

    def rows(self) -> list[Setting]:
        """Every key in the order of the sections."""
        values = self.settings.model_dump(mode="json")
        return [
            Setting(key, values[section][name], self.origins.get(key, "default"), field.description or "")
            for section, name, field in _fields()
            for key in [f"{section}.{name}"]
        ]


def load(
    *,
    config: Path | None = None,
    demo: bool = False,
    overrides: Mapping[str, object] | None = None,
) -> Loaded:
    """Merge all layers and check the result.

    Args:
        config: TOML file; else the file in `POWERFLOCK_CONFIG`, else `powerflock.toml` if it is there.
        demo: put the demo's choices below file, environment and command line.
        overrides: dotted key → value from the command line; None means not given.

    Returns:
        The settings with every value's origin.

    Raises:
        InvalidInput: an unknown key, a value out of bounds or an unreadable file; names key, value, bound and origin.
    """
    values: dict[str, object] = {}
    origins: dict[str, str] = {}

    def put(layer: Mapping[str, object], origin: str | None = None) -> None:
        for key, value in layer.items():
            values[key], origins[key] = value, origin or f"environment {variable_of(key)}"

    if demo:
        put(DEMO, "demo")
    file = _file(config)
    if file is not None:
        put(_read_file(file), f"file {file}")
    put(_read_environment())
    put({key: value for key, value in (overrides or {}).items() if value is not None}, "command line")
    settings = _validate(values, origins)
    _check_together(settings, origins)
    return Loaded(settings, origins)


def variable_of(key: str) -> str:
    """`gateway.port` → `POWERFLOCK_GATEWAY_PORT`."""
    return ENV_PREFIX + key.replace(".", "_").upper()


def _file(config: Path | None) -> Path | None:
    named = config or (Path(os.environ[CONFIG_VARIABLE]) if os.environ.get(CONFIG_VARIABLE) else None)
    if named is None:
        return DEFAULT_FILE if DEFAULT_FILE.is_file() else None
    if not named.is_file():
        raise InvalidInput(
            "configuration file", str(named), "there is no such file", "Correct --config or leave it out."
        )
    return named


def _read_file(file: Path) -> dict[str, object]:
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidInput("configuration file", str(file), f"cannot be read as TOML: {error}") from error
    known = {f"{section}.{name}": field for section, name, field in _fields()}
    values: dict[str, object] = {}
    for section, table in tables.items():
        if not isinstance(table, dict):
            raise _unknown(section, known, f"file {file}")
        for name, value in table.items():
            key = f"{section}.{name}"
            if key not in known:
                raise _unknown(key, known, f"file {file}")
            default = known[key].default
            if isinstance(default, int | float) and not isinstance(default, bool) and isinstance(value, str | bool):
                raise InvalidInput(f"{key} (from file {file})", value, "must be a number", "Write it without quotes.")
            values[key] = value
    return values


def _read_environment() -> dict[str, object]:
    variables = {variable_of(f"{section}.{name}") for section, name, _ in _fields()}
    for name in os.environ:
        if name.startswith(ENV_PREFIX) and name not in variables | NOT_SETTINGS:
            raise _unknown(name, variables, "environment")
    source = EnvSettingsSource(Settings, env_nested_delimiter="_", env_nested_max_split=1)
    return {f"{section}.{name}": value for section, table in source().items() for name, value in table.items()}


def _unknown(key: str, known: Iterable[str], origin: str) -> InvalidInput:
    close = difflib.get_close_matches(key, list(known), n=1)
    remedy = f"Did you mean {close[0]}?" if close else "`powerflock config show` lists every setting."
    return InvalidInput("setting", key, f"there is no such setting (from {origin})", remedy)


def _validate(values: Mapping[str, object], origins: Mapping[str, str]) -> Settings:
    nested: dict[str, dict[str, object]] = {}
    for key, value in values.items():
        section, _, name = key.partition(".")
        nested.setdefault(section, {})[name] = value
    try:
        return Settings.model_validate(nested)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"][:2])
        if first["type"] == "extra_forbidden":
            known = [f"{section}.{name}" for section, name, _ in _fields()]
            raise _unknown(key, known, origins.get(key, "unknown")) from error
        value = values.get(key, first["input"])
        bound = first["msg"].removeprefix("Input ").replace("should be", "must be", 1)
        raise InvalidInput(f"{key} (from {origins.get(key, 'default')})", value, bound) from error


def _check_together(settings: Settings, origins: Mapping[str, str]) -> None:
    stale, silent = settings.estimate.stale_after_s, settings.estimate.silent_after_s
    if silent <= stale:
        origin = origins.get("estimate.silent_after_s", "default")
        bound = f"must be greater than estimate.stale_after_s, {stale:g}"
        raise InvalidInput(f"estimate.silent_after_s (from {origin})", silent, bound)
    if 3600 % settings.plant.interval_s:
        origin = origins.get("plant.interval_s", "default")
        bound = "must divide an hour into whole intervals"
        raise InvalidInput(f"plant.interval_s (from {origin})", settings.plant.interval_s, bound)
    ports = settings.api.port, settings.gateway.port
    if ports[0] == ports[1] != 0 and settings.api.host == settings.gateway.host:
        origin = origins.get("gateway.port", "default")
        raise InvalidInput(f"gateway.port (from {origin})", ports[1], "must differ from api.port")


def _fields() -> list[tuple[str, str, FieldInfo]]:
    return [
        (section, name, field)
        for section, holder in Settings.model_fields.items()
        if isinstance(holder.annotation, type) and issubclass(holder.annotation, Section)
        for name, field in holder.annotation.model_fields.items()
    ]
