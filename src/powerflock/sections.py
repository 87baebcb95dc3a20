"""The sections of a plant's settings: each field's meaning, bounds and default.

Must not know where a value comes from: `settings` layers them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from platformdirs import user_data_path
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Region = Literal["NSW1", "QLD1", "SA1", "TAS1", "VIC1"]
Port = Annotated[int, Field(ge=0, le=65535)]


def _path_or_none(value: object) -> object:
    return None if value == "" else value


OptionalPath = Annotated[Path | None, BeforeValidator(_path_or_none)]


class Section(BaseModel):
    """A table of the TOML file; unknown keys are refused and values cannot change."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


class PlantSettings(Section):
    """The plant as a whole: where its data lives and how its time passes."""

    data_dir: Path = Field(
        default=user_data_path("powerflock"), description="Folder of the log, snapshots, secrets and history."
    )
    partitions: int = Field(
        default=4, ge=1, le=1024, description="Shards of the fleet; fixed once the first site is enrolled."
    )
    interval_s: int = Field(
        default=300, ge=60, le=3600, description="Length of a market interval in the plant's seconds."
    )
    tick_s: float = Field(default=1.0, ge=0.05, le=60.0, description="Wall seconds between two passes of the ring.")
    speed: float = Field(
        default=1.0, ge=0.1, le=3600.0, description="Plant seconds that pass in a wall second; 60 in the demo."
    )
    region: Region = Field(default="VIC1", description="Market region whose prices the plant bids against.")


class GatewaySettings(Section):
    """The devices' front door: WebSocket sessions, batching and flow control."""

    host: str = Field(default="127.0.0.1", min_length=1, description="Address on which devices are served.")
    port: Port = Field(default=8741, description="Port on which devices are served; 0 takes a free one.")
    batch_ms: int = Field(
        default=50, ge=1, le=10_000, description="Longest time a reading waits for its batch, wall milliseconds."
    )
    batch_rows: int = Field(
        default=10_000, ge=1, le=1_000_000, description="Readings after which a batch is closed at once."
    )
    max_frame_bytes: int = Field(
        default=65_536, ge=1_024, le=1_048_576, description="Largest frame taken from a device."
    )
    credits: int = Field(default=512, ge=1, le=65_536, description="Readings a session may have unacknowledged.")
    number: int = Field(default=0, ge=0, le=2**31 - 1, description="This gateway's number among those of the plant.")


class ApiSettings(Section):
    """The page, the REST resources and the stream."""

    host: str = Field(
        default="127.0.0.1", min_length=1, description="Address on which the page and the REST API are served."
    )
    port: Port = Field(default=8740, description="Port on which they are served; 0 takes a free one.")


class ProcessSettings(Section):
    """One process of a plant that runs as many: its name, and where it answers for itself."""

    name: str = Field(
        default="",
        max_length=200,
        description="This process's own name, the same after a restart; empty: role and host.",
    )
    host: str = Field(default="127.0.0.1", min_length=1, description="Address of its health and metrics.")
    port: Port = Field(default=8742, description="Port of its health and metrics; 0 takes a free one.")
    advertise: str = Field(
        default="",
        max_length=200,
        description="Name under which others reach `process.host`, the same after a restart; empty: the host itself.",
    )
    view_s: float = Field(
        default=5.0, ge=0.2, le=600.0, description="How often twins publish their sites' numbers for lists, seconds."
    )


class SecuritySettings(Section):
    """Secrets that the processes of one plant share, by file."""

    secret_file: OptionalPath = Field(
        default=None, description="Signs device tokens, 64 hexadecimal digits; empty: made in the data folder."
    )
    enrol_key_file: OptionalPath = Field(
        default=None, description="Opens enrolment, 64 hexadecimal digits; empty: made in the data folder."
    )


class LogSettings(Section):
    """The durable log between the gateway and the twins."""

    url: str = Field(
        default="",
        pattern=r"^(|memory:|sqlite:.+|kafka://.+)$",
        description="`sqlite:PATH`, `kafka://HOST:PORT[,HOST:PORT]` or `memory:`; empty: SQLite in the data folder.",
    )


class KafkaSettings(Section):
    """How the brokers in `log.url` are used, where it names a Kafka cluster."""

    topic_prefix: str = Field(
        default="powerflock.", max_length=100, description="Begins the name of each topic, group and transaction."
    )
    replication: int = Field(default=1, ge=1, le=9, description="Brokers that keep each topic, where it is made.")
    min_insync_replicas: int = Field(
        default=1, ge=1, le=9, description="Brokers that have an entry before it is acknowledged, at least."
    )
    production: bool = Field(default=False, description="Refuse to start where the cluster could lose or leak entries.")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="Whether links are encrypted and users prove who they are."
    )
    sasl_mechanism: Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="", description="How a user proves it."
    )
    username: str = Field(default="", description="The user.")
    password_file: OptionalPath = Field(default=None, description="File whose first line is the user's password.")
    ca_file: OptionalPath = Field(default=None, description="Certificates to trust, PEM; empty: the machine's.")
    certificate_file: OptionalPath = Field(default=None, description="This client's certificate, PEM.")
    key_file: OptionalPath = Field(default=None, description="Its private key, PEM.")
    patience_s: float = Field(default=30.0, ge=1.0, le=600.0, description="How long to wait for the brokers, seconds.")
    transaction_s: float = Field(
        default=30.0, ge=1.0, le=600.0, description="How long an owner may pause within a transaction, seconds."
    )
    session_s: float = Field(
        default=6.0, ge=1.0, le=600.0, description="Silence after which a member's partitions go to others, seconds."
    )


class RegistrySettings(Section):
    """The database of who is enrolled."""

    url: str = Field(
        default="",
        description="sqlite:///PATH or postgresql+psycopg://USER@HOST/NAME; empty: registry.sqlite in the data folder.",
    )
    url_file: OptionalPath = Field(
        default=None, description="File that holds the URL instead, for one with a password."
    )


class StorageSettings(Section):
    """Where snapshots and history are kept."""

    url: str = Field(
        default="", pattern=r"^(s3://[^/]+(/.*)?)?$", description="s3://BUCKET/PREFIX; empty: the data folder."
    )
    endpoint: str = Field(default="", description="Host:port or URL of an S3 server that is not Amazon's.")
    region: str = Field(default="us-east-1", min_length=1, description="Region of the bucket.")
    access_key_file: OptionalPath = Field(default=None, description="File of the access key; empty: as AWS tools do.")
    secret_key_file: OptionalPath = Field(default=None, description="File of the secret key; empty: as AWS tools do.")
    allow_http: bool = Field(default=False, description="Speak to the endpoint without TLS.")


class PlanSettings(Section):
    """When and how far ahead the fleet is planned."""

    every_intervals: int = Field(default=6, ge=1, le=288, description="Market intervals between two full re-plans.")
    policy_intervals: int = Field(
        default=36, ge=1, le=288, description="Market intervals between two policies sent to each home."
    )
    horizon_h: float = Field(default=24.0, ge=1.0, le=72.0, description="How far ahead each site is planned, hours.")


class NetworkSettings(Section):
    """What the network allows at the head of every feeder."""

    feeder_import_limit_kw: float | None = Field(
        default=None, ge=0.0, le=1e7, description="Most a feeder may draw, kW; empty means no limit."
    )
    feeder_export_limit_kw: float | None = Field(
        default=None, ge=0.0, le=1e7, description="Most a feeder may send back, kW; empty means no limit."
    )


class MarketSettings(Section):
    """Which prices the plant meets."""

    prices: OptionalPath = Field(
        default=None, description="Price file (AEMO CSV or Parquet); empty means a generated series."
    )
    seed: int = Field(default=1, ge=0, le=2**31 - 1, description="Seed of the generated prices and homes.")
    promise: Literal["firm", "expected"] = Field(
        default="expected", description="Bid all that is expected, or what is left after the largest failure."
    )


class ProgrammeSettings(Section):
    """What a kWh at a site is worth to the fleet, and how its gain is shared."""

    kind: Literal["front_of_meter", "aggregator", "retailer"] = Field(
        default="aggregator", description="How the fleet is paid."
    )
    reimbursement_per_kwh: float = Field(
        default=0.08, ge=-1.0, le=10.0, description="What an aggregator pays the retailer, $/kWh."
    )
    loss_factor_ratio: float = Field(
        default=1.0, ge=0.5, le=1.5, description="Energy at the market's node per kWh at the site."
    )
    owner_share_ratio: float = Field(
        default=0.2, ge=0.0, le=1.0, description="Owners' share of the gain above their own cost."
    )


class EstimateSettings(Section):
    """When a device's last reading stops being trusted."""

    stale_after_s: float = Field(
        default=30.0, gt=0.0, le=86_400.0, description="Wall seconds until a reading is stale."
    )
    silent_after_s: float = Field(
        default=120.0, gt=0.0, le=86_400.0, description="Wall seconds until a device is silent."
    )
    slow_factor: float = Field(
        default=10.0, ge=1.0, le=1000.0, description="How many times longer chargers and switched loads are trusted."
    )

    def stale_by_kind_s(self) -> tuple[float, ...]:
        """`stale_after_s` for each kind of device: battery, solar, meter, car charger, load."""
        return (self.stale_after_s,) * 3 + (self.stale_after_s * self.slow_factor,) * 2

    def silent_by_kind_s(self) -> tuple[float, ...]:
        """`silent_after_s` for each kind of device."""
        return (self.silent_after_s,) * 3 + (self.silent_after_s * self.slow_factor,) * 2


class AlarmSettings(Section):
    """When sites out of contact are a matter for the control room; docs/alarms.md has the rules."""

    least_sites: int = Field(default=5, ge=1, le=1_000_000, description="Fewest affected sites that make an alarm.")
    least_ratio: float = Field(
        default=0.05, gt=0.0, le=1.0, description="Smallest share of a group's sites that makes an alarm."
    )
    settle_s: float = Field(
        default=120.0, ge=0.0, le=86_400.0, description="Wall seconds after a start in which no lost contact is told."
    )
    clear_s: float = Field(
        default=60.0,
        ge=0.0,
        le=86_400.0,
        description="Wall seconds until an alarm that is no longer true clears.",
    )
    usual_after_s: float = Field(
        default=43_200.0,
        gt=0.0,
        le=31_536_000.0,
        description="Wall seconds until a site's silence is nothing new.",
    )
    return_s: float = Field(
        default=600.0, gt=0.0, le=86_400.0, description="Wall seconds of contact until losing it again is news."
    )
    keep_days: float = Field(
        default=7.0, gt=0.0, le=365.0, description="Days of plant time that a cleared alarm waits to be acknowledged."
    )


class HistorySettings(Section):
    """What is kept of readings and groups in the storage, beside the log; seconds of wall time but where it says so."""

    enabled: bool = Field(default=True, description="Keep readings and group series.")
    batch_s: float = Field(default=10.0, ge=0.1, le=600.0, description="Seconds between two appends.")
    batch_rows: int = Field(default=500_000, ge=1_000, le=10_000_000, description="Readings in one append, at most.")
    groups_every_s: float = Field(default=10.0, ge=1.0, le=86_400.0, description="Plant seconds between group rows.")
    compact_every_s: float = Field(default=900.0, ge=10.0, le=86_400.0, description="Seconds between compactions.")
    retention_days: int = Field(default=30, ge=1, le=36_500, description="Days of readings kept.")
    series_retention_days: int = Field(default=1_100, ge=1, le=36_500, description="Days of groups' rows kept.")
    lag_entries: int = Field(default=100_000, ge=0, le=10**8, description="Log entries that wait for it, at most.")
