"""How much of what a plant of so many sites needs, and what is full first: a pure function of measured figures.

Invariants: every figure is in `FIGURES` with its unit and its source: a row of docs/benchmarks.md (a test compares),
the program's own column types, or an assumption that says so. Counts are rounded up; half of each core and disk is kept
free. Must not know settings: what is asked comes in `Demand`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

import msgspec

from powerflock.domain.columns import TELEMETRY
from powerflock.domain.errors import InvalidInput
from powerflock.domain.registry import TABLE_COLUMNS
from powerflock.twins.columns import DEVICE, SITE

SECONDS_PER_DAY = 86_400.0
GIB, GB = 2.0**30, 1e9
BUSY_RATIO = 0.5
"""Share of a core, disk or tick that is planned for; the rest is for failover, bursts and growth."""


class Figure(NamedTuple):
    """A number, its unit and where it comes from: `benchmark` (section: row), `program` or `assumed` (why)."""

    value: float
    unit: str
    kind: Literal["benchmark", "program", "assumed"]
    source: str


def _bytes(names: Mapping[str, str], *, device: bool) -> float:
    return float(sum(int(dtype[-1]) for name, dtype in names.items() if name.startswith("device_") == device))


FIGURES: dict[str, Figure] = {
    "gateway_readings": Figure(
        83_200, "readings/s", "benchmark", "end_to_end: most readings acknowledged, 1,000 homes at once"
    ),
    "apply": Figure(
        15_200_000, "readings/s", "benchmark",
        "twins: readings applied, 1,000,000 sites with 2,498,782 devices in random order, batches of 10,000, "
        "decoded from the log's Arrow bytes",
    ),
    "estimate": Figure(52.2, "ms", "benchmark", "groups: site estimates from 2,498,782 devices"),
    "sums": Figure(
        27.2, "ms", "benchmark", "groups: group sums, all GroupTable columns of 1,000,000 sites in 2,110 groups"
    ),
    "curves": Figure(
        67.3, "ms", "benchmark", "groups: curve sums, 1,000,000 sites × 41 prices, failure classes included"
    ),
    "plan": Figure(7.65, "s", "benchmark", "site_optimiser: 1,000,000 homes, a day of half-hours, one thread"),
    "policy_bytes": Figure(216, "bytes", "benchmark", "policy: real homes, 48 intervals: a policy"),
    "policy_write": Figure(84, "µs", "benchmark", "policy: real homes, 48 intervals: writing a policy"),
    "entry_write": Figure(284, "µs", "benchmark", "scale: writing an entry, beside its readings"),
    "entry_read": Figure(77.2, "µs", "benchmark", "scale: reading an entry, beside its readings"),
    "entry_bytes": Figure(1_112, "bytes", "program", "what an Arrow batch has around its readings; tested"),
    "reading_bytes": Figure(float(TELEMETRY.itemsize), "bytes", "program", "one row of TELEMETRY in an Arrow batch"),
    "device_bytes": Figure(
        DEVICE.itemsize + _bytes(TABLE_COLUMNS, device=True), "bytes", "program", "a device's columns in its twin"
    ),
    "site_bytes": Figure(
        SITE.itemsize + _bytes(TABLE_COLUMNS, device=False), "bytes", "program", "a site's columns in its twin"
    ),
    "spec_bytes": Figure(
        40_000, "bytes", "assumed",
        "a site's spec as Python objects, and its plan: of that, 33,000 by the sizes of its arrays, seen once for "
        "2,000 simulated homes, 24 h of 5-minute intervals",
    ),
    "registry_bytes": Figure(5_000, "bytes", "assumed", "a site's row and first event in the database; tested"),
    "sessions": Figure(10_000, "sessions", "assumed", "open sessions of one gateway process; only 1,000 are measured"),
    "session_bytes": Figure(50_000, "bytes", "assumed", "memory of a session: socket buffers, credits, TLS in front"),
    "process_bytes": Figure(300e6, "bytes", "assumed", "a process before any site: Python, numpy, compiled kernels"),
    "partition_sites": Figure(250_000, "sites", "assumed", "most sites of a partition, so that a takeover stays short"),
    "broker_write": Figure(100e6, "bytes/s", "assumed", "what one broker's disk and network write for ever"),
    "broker_bytes": Figure(4e9, "bytes", "assumed", "a broker's memory: heap and page cache"),
    "history_bytes": Figure(8, "bytes", "assumed", "a reading in the columnar history, compressed"),
}  # fmt: skip


class Demand(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a plant is asked to do. A report is `readings_per_device` readings of each of a site's devices.

    Gateways wait until an entry of the log has `entry_readings`.
    """

    sites: float
    report_period_s: float = 10.0
    devices_per_site: float = 3.0
    readings_per_device: float = 1.0
    entry_readings: float = 50.0
    log_days: float = 1.0
    history_days: float = 30.0
    tick_s: float = 1.0
    plan_period_s: float = 1_800.0
    policy_period_s: float = 10_800.0
    groups: float = 3_000.0
    prices: float = 41.0
    replication: int = 3


class Need(msgspec.Struct, frozen=True):
    """One component: its processes and what they need together; one of them is full at `full_at_sites`, None: never."""

    component: str
    processes: int
    cores: float
    memory_gib: float
    disk_gb: float
    network_mb_per_s: float
    full_at_sites: float | None
    scales_out: bool


class Plan(msgspec.Struct, frozen=True):
    """The whole plant. `first_full` is full at the fewest sites; `wall` is what more processes do not mend.

    `batch_ms` is how long readings wait at gateways for entries of the size asked for: each writes to every partition.
    """

    sites: float
    readings_per_s: float
    partitions: int
    batch_ms: float
    log_gb_per_day: float
    history_gb_per_day: float
    needs: tuple[Need, ...]
    first_full: str
    wall: str
    wall_at_sites: float
    cores: float
    memory_gib: float
    disk_gb: float
    dollars_per_month: float | None


class Prices(msgspec.Struct, frozen=True):
    """What the user pays a month, $: for a core, a GiB of memory, a GB of disk."""

    core: float
    memory_gib: float
    disk_gb: float


def size(demand: Demand, prices: Prices | None = None) -> Plan:
    """Size a plant for `demand`; a cost is given only where `prices` are. `InvalidInput` for what is not positive."""
    for name, value in msgspec.structs.asdict(demand).items():
        if not 0 < value < math.inf:
            raise InvalidInput(name, value, "must be greater than 0")
    rate = demand.sites * demand.devices_per_site * demand.readings_per_device / demand.report_period_s
    partitions = _partitions(demand, rate)
    needs = (
        _gateways(demand, rate),
        _brokers(demand, rate),
        _twins(demand, rate, partitions),
        _coordinator(demand, partitions),
        _registry(demand),
        _history(demand, rate),
    )
    cores, memory, disk = (sum(getattr(need, name) for need in needs) for name in ("cores", "memory_gib", "disk_gb"))
    wait_s = demand.entry_readings * needs[0].processes * partitions / rate
    walls = {need.component: _full_at(need) for need in needs if not need.scales_out}
    walls["every gateway's entries for every partition"] = demand.sites * demand.tick_s / wait_s
    wall = min(walls, key=walls.__getitem__)
    return Plan(
        sites=demand.sites,
        readings_per_s=rate,
        partitions=partitions,
        batch_ms=1_000.0 * wait_s,
        log_gb_per_day=_logged(demand, rate) * SECONDS_PER_DAY / GB,
        history_gb_per_day=rate * _value("history_bytes") * SECONDS_PER_DAY / GB,
        needs=needs,
        first_full=min(needs, key=_full_at).component,
        wall=wall,
        wall_at_sites=walls[wall],
        cores=cores,
        memory_gib=memory,
        disk_gb=disk,
        dollars_per_month=None
        if prices is None
        else cores * prices.core + memory * prices.memory_gib + disk * prices.disk_gb,
    )


def _full_at(need: Need) -> float:
    return math.inf if need.full_at_sites is None else need.full_at_sites


def _value(name: str) -> float:
    return FIGURES[name].value


def _logged(demand: Demand, rate: float) -> float:
    """Bytes/s of readings in the log, one copy: their own, and what is around each entry."""
    return rate * (_value("reading_bytes") + _value("entry_bytes") / demand.entry_readings)


def _read_s(demand: Demand) -> float:
    """Core seconds to read a reading from the log and apply it, its share of its entry included."""
    return 1.0 / _value("apply") + _value("entry_read") / 1e6 / demand.entry_readings


def _tick_s_per_site(demand: Demand) -> float:
    """Core seconds of one tick for one site: estimate, group sums, curve sums."""
    curves = _value("curves") * demand.prices / 41.0
    return (_value("estimate") + _value("sums") + curves) / 1_000.0 / 1e6


def _partitions(demand: Demand, rate: float) -> int:
    each_s = _tick_s_per_site(demand) + demand.tick_s * rate / demand.sites * _read_s(demand)
    in_a_tick = BUSY_RATIO * demand.tick_s / each_s
    return math.ceil(demand.sites / min(_value("partition_sites"), in_a_tick))


def _gateways(demand: Demand, rate: float) -> Need:
    written_s = 1.0 / _value("gateway_readings") + _value("entry_write") / 1e6 / demand.entry_readings
    load = max(demand.sites / _value("sessions"), rate * written_s / BUSY_RATIO)
    memory = demand.sites * _value("session_bytes") + math.ceil(load) * _value("process_bytes")
    network = _logged(demand, rate) + demand.sites * _value("policy_bytes") / demand.policy_period_s
    return Need(
        component="gateways",
        processes=math.ceil(load),
        cores=float(math.ceil(load)),
        memory_gib=memory / GIB,
        disk_gb=0.0,
        network_mb_per_s=network / 1e6,
        full_at_sites=demand.sites / load,
        scales_out=True,
    )


def _brokers(demand: Demand, rate: float) -> Need:
    written = _logged(demand, rate) * demand.replication
    load = written / (BUSY_RATIO * _value("broker_write"))
    processes = max(demand.replication, math.ceil(load))
    return Need(
        component="brokers",
        processes=processes,
        cores=float(processes),
        memory_gib=processes * _value("broker_bytes") / GIB,
        disk_gb=written * SECONDS_PER_DAY * demand.log_days / GB,
        network_mb_per_s=written / 1e6,
        full_at_sites=demand.sites / load,
        scales_out=True,
    )


def _twins(demand: Demand, rate: float, partitions: int) -> Need:
    """Readings, ticks, plans and policies of all sites; a process has one core and whole partitions."""
    each_s = _tick_s_per_site(demand) / demand.tick_s + _value("plan") / 1e6 / demand.plan_period_s
    each_s += _value("policy_write") / 1e6 / demand.policy_period_s
    load = (rate * _read_s(demand) + demand.sites * each_s) / BUSY_RATIO
    processes = min(math.ceil(load), partitions)
    columns = _value("site_bytes") + _value("spec_bytes") + demand.devices_per_site * _value("device_bytes")
    snapshots = 2.0 * demand.sites * (_value("site_bytes") + demand.devices_per_site * _value("device_bytes"))
    return Need(
        component="twins",
        processes=processes,
        cores=float(math.ceil(load)),
        memory_gib=(demand.sites * columns + processes * _value("process_bytes")) / GIB,
        disk_gb=snapshots / GB,
        network_mb_per_s=_logged(demand, rate) / 1e6,
        full_at_sites=demand.sites / load,
        scales_out=True,
    )


def _coordinator(demand: Demand, partitions: int) -> Need:
    """One process adds every partition's groups × prices each tick: the one part that more processes do not mend."""
    numbers = partitions * demand.groups * demand.prices
    add_s = _value("curves") / 1_000.0 / (1e6 * 41.0)
    load = numbers * add_s / (BUSY_RATIO * demand.tick_s)
    return Need(
        component="coordinator",
        processes=1,
        cores=float(math.ceil(load)),
        memory_gib=(numbers * 8.0 * 2.0 + _value("process_bytes")) / GIB,
        disk_gb=0.0,
        network_mb_per_s=numbers * 8.0 / demand.tick_s / 1e6,
        full_at_sites=demand.sites / load,
        scales_out=False,
    )


def _registry(demand: Demand) -> Need:
    """Disk grows with sites; enrolments are rare, so one server with two cores and a spare is enough."""
    stored = demand.sites * _value("registry_bytes")
    return Need(
        component="registry",
        processes=2,
        cores=4.0,
        memory_gib=2.0 * max(1.0, stored / 4.0 / GIB),
        disk_gb=2.0 * stored / GB,
        network_mb_per_s=0.0,
        full_at_sites=None,
        scales_out=True,
    )


def _history(demand: Demand, rate: float) -> Need:
    """One writer's work is reading and decoding, at the pace of applying; what it keeps is the retention."""
    load = rate * _read_s(demand) / BUSY_RATIO
    written = rate * _value("history_bytes")
    processes = math.ceil(load)
    return Need(
        component="history",
        processes=processes,
        cores=float(processes),
        memory_gib=processes * 4.0 * _value("process_bytes") / GIB,
        disk_gb=written * SECONDS_PER_DAY * demand.history_days / GB,
        network_mb_per_s=written / 1e6,
        full_at_sites=demand.sites / load,
        scales_out=True,
    )
