"""Many homes as columns: each with its battery's physics, load, solar, meter registers and edge controller.

Invariants: the same specs, profiles, seed and calls give the same bytes; per-device sequence numbers only grow; physics
goes on while a home is silent. Must not know partitions, sockets or the platform: callers map rows to those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from powerflock.domain.arrays import F64, I64, U8, Bools, Records
from powerflock.domain.clock import MICROS_PER_HOUR
from powerflock.domain.columns import TELEMETRY, DeviceKind
from powerflock.domain.errors import InvalidInput
from powerflock.domain.site import SiteSpec
from powerflock.edge.controller import control
from powerflock.edge.ladder import Policies, Rung, rungs
from powerflock.edge.limits import Limits
from powerflock.edge.safety import MAX_HORIZON_US, Held, Refusal, accept, due
from powerflock.sim import physics
from powerflock.sim.profiles import Profiles

_INITIAL_SHARE = (0.2, 0.8)


HOME_KINDS = (DeviceKind.BATTERY, DeviceKind.SOLAR, DeviceKind.METER)
"""What a simulated home has at most one of."""


@dataclass(frozen=True, slots=True)
class Devices:
    """Device index of each home's battery, solar and meter, (3, S) int64 by `HOME_KINDS`; −1 where it has none."""

    index: I64

    @staticmethod
    def dense(specs: Sequence[SiteSpec]) -> Devices:
        """The numbering of one partition that enrols `specs` in order: battery, solar, meter, without gaps."""
        has = present(specs)
        index = np.cumsum(has.T.ravel()).reshape(has.T.shape).T - 1
        return Devices(np.where(has, index, -1))


def present(specs: Sequence[SiteSpec]) -> Bools:
    """Which devices each home has, (3, S) by `HOME_KINDS`."""
    batteries = [spec.battery is not None for spec in specs]
    solars = [spec.solar_kw > 0.0 for spec in specs]
    return np.array([batteries, solars, [True] * len(specs)])


class SimFleet:
    """Homes that run. Truth columns, (S,) float64, are attributes: power now, energy stored, registers since the start.

    `battery_kw, load_kw, solar_kw, net_kw` are the powers over the last step (passive; at the start: battery idle).
    `stored_kwh`; `import_kwh, export_kwh` (both ≥ 0, growing); `solar_kwh` (≤ 0, falling); `battery_kwh` (net energy
    into the battery's terminals) and `throughput_kwh` (the same, both ways counted). `now_us` is where physics stands;
    `rung` (S,) u1 is where each home stood on the edge's ladder over the last step.
    """

    def __init__(
        self,
        specs: Sequence[SiteSpec],
        profiles: Profiles,
        start_us: int,
        seed: int = 0,
        initial_soc_ratio: float | F64 | None = None,
    ) -> None:
        """Homes at `start_us`; without `initial_soc_ratio` each starts at a seeded charge above its reserve.

        Set `tapers` to False for batteries that keep their nameplate power until they are full or at the reserve.
        """
        homes = len(specs)
        if profiles.load_kw.shape[0] != homes:
            raise InvalidInput("profile rows", profiles.load_kw.shape[0], f"must be {homes}, one per home")
        self.specs, self.profiles, self.now_us = list(specs), profiles, start_us
        self.limits = Limits.of(specs)
        self.tapers = True
        self.held, self.policies = Held.none(homes), Policies(homes)
        self.stored_kwh = self.limits.capacity_kwh * _initial_soc(self.limits, seed, initial_soc_ratio)
        self.battery_kw = np.zeros(homes)
        self.load_kw, self.solar_kw = profiles.at(start_us)
        self.net_kw = self.load_kw + self.solar_kw
        self.import_kwh, self.export_kwh = np.zeros(homes), np.zeros(homes)
        self.solar_kwh, self.battery_kwh, self.throughput_kwh = np.zeros(homes), np.zeros(homes), np.zeros(homes)
        self.setpoint_kw = np.full(homes, np.nan)
        self.rung = np.full(homes, Rung.SELF_CONSUMPTION, np.uint8)
        self.seq = np.zeros((len(HOME_KINDS), homes), dtype=np.int64)
        self.silent = np.zeros(homes, dtype=np.bool_)

    def apply(
        self, commands: Records, now_us: int, rows: I64 | None = None, max_horizon_us: int = MAX_HORIZON_US
    ) -> U8:
        """Give `commands` ((N,) COMMAND) to the edges; returns a `Refusal` per command, (N,) u1.

        `rows` maps a command's `site` to a row here ((sites of the partition,)); without it they are the same.
        """
        sites = commands["site"].astype(np.int64)
        if rows is not None:
            known = sites < rows.size
            sites = np.where(known, rows[np.where(known, sites, 0)], -1)
        self.held, reasons = accept(self.held, commands, sites, now_us, max_horizon_us)
        return reasons

    def take_policy(self, row: int, payload: bytes, epoch: int, now_us: int) -> Refusal:
        """Give a policy to the edge of home `row`; what became of it."""
        return self.policies.take(row, payload, epoch, now_us, int(self.held.epoch[row]))

    def step(self, now_us: int, dt_us: int) -> None:
        """Advance physics over [now, now + dt), in pieces cut where the profile changes; commands hold per piece."""
        if now_us != self.now_us or dt_us < 0:
            bound = f"must start at {self.now_us} µs, where physics stands, and last 0 µs or more"
            raise InvalidInput("fleet step (start, length)", (now_us, dt_us), bound)
        end_us = now_us + dt_us
        while self.now_us < end_us:
            self._piece(min(self.profiles.step_end_us(self.now_us), end_us) - self.now_us)

    def _piece(self, dt_us: int) -> None:
        """One stretch of constant load, solar and battery power."""
        self.load_kw, self.solar_kw = self.profiles.at(self.now_us)
        net_load_kw = self.load_kw + self.solar_kw
        self.setpoint_kw, self.held = due(self.held, self.now_us)
        take_kw, give_kw = self.charge_limit_kw(), self.discharge_limit_kw()
        unbidden = np.isnan(self.setpoint_kw)
        policy_kw = self.policies.power_kw(unbidden, self.now_us, self.stored_kwh, net_load_kw, dt_us)
        self.rung = rungs(self.setpoint_kw, policy_kw)
        asked_kw = control(
            net_load_kw, self.stored_kwh, take_kw, give_kw, self.setpoint_kw, policy_kw, self.limits, dt_us
        )
        self.battery_kw, self.stored_kwh = physics.battery_step(
            self.stored_kwh, asked_kw, self.limits, dt_us, tapers=self.tapers
        )
        self.net_kw = net_load_kw + self.battery_kw
        hours = dt_us / MICROS_PER_HOUR
        self.import_kwh += np.maximum(self.net_kw, 0.0) * hours
        self.export_kwh -= np.minimum(self.net_kw, 0.0) * hours
        self.solar_kwh += self.solar_kw * hours
        self.battery_kwh += self.battery_kw * hours
        self.throughput_kwh += np.abs(self.battery_kw) * hours
        self.now_us += dt_us

    def charge_limit_kw(self) -> F64:
        """What each battery can take now, (S,) kW ≥ 0, taper included."""
        return physics.charge_limit_kw(self.stored_kwh, self.limits, tapers=self.tapers)

    def discharge_limit_kw(self) -> F64:
        """What each battery can give now, (S,) kW ≥ 0, taper included."""
        return physics.discharge_limit_kw(self.stored_kwh, self.limits, tapers=self.tapers)

    def silence(self, mask: Bools) -> None:
        """Homes where `mask` ((S,)) is true send no readings until silenced otherwise; their physics goes on."""
        self.silent = mask.copy()

    def readings(self, now_us: int, devices: Devices, rows: I64 | None = None) -> Records:
        """A TELEMETRY batch: what every device of the homes `rows` (default: all) reads now, the next seq each.

        `devices` numbers this fleet's devices, (3, S); silent homes are left out. `received_us` is set to `now_us`.
        """
        chosen = np.arange(len(self.specs)) if rows is None else rows
        chosen = chosen[~self.silent[chosen]]
        power, energy = self.device_power_kw(), self.device_energy_kwh()
        parts = []
        for kind in HOME_KINDS:
            homes = chosen[devices.index[kind, chosen] >= 0]
            part = np.empty(homes.size, dtype=TELEMETRY)
            part["device"] = devices.index[kind, homes]
            part["seq"] = self.next_seq(kind, homes)
            part["time_us"] = part["received_us"] = now_us
            part["power_kw"], part["energy_kwh"] = power[kind, homes], energy[kind, homes]
            for name in ("charge_limit_kw", "discharge_limit_kw", "capacity_kwh"):
                part[name] = np.nan
            if kind == DeviceKind.BATTERY:
                part["charge_limit_kw"] = self.charge_limit_kw()[homes]
                part["discharge_limit_kw"] = self.discharge_limit_kw()[homes]
                part["capacity_kwh"] = self.limits.capacity_kwh[homes]
            parts.append(part)
        return np.concatenate(parts)

    def next_seq(self, kind: DeviceKind, homes: I64) -> I64:
        """Take the next sequence number of the `kind` device of each of `homes` ((N,) distinct rows)."""
        taken: I64 = self.seq[kind, homes] + 1
        self.seq[kind, homes] = taken
        return taken

    def device_power_kw(self) -> F64:
        """Power of each device over the last step, (3, S) by `HOME_KINDS`, passive."""
        return np.stack([self.battery_kw, self.solar_kw, self.net_kw])

    def device_energy_kwh(self) -> F64:
        """Energy each device reports, (3, S) by `HOME_KINDS`: stored; net solar register; net meter register."""
        return np.stack([self.stored_kwh, self.solar_kwh, self.import_kwh - self.export_kwh])


def _initial_soc(limits: Limits, seed: int, given: float | F64 | None) -> F64:
    """State of charge at the start, (S,) ratio of capacity; the given one, or seeded above each reserve."""
    homes = limits.capacity_kwh.size
    if given is not None:
        soc = np.broadcast_to(np.asarray(given, dtype=np.float64), homes).copy()
        if not ((soc >= 0.0) & (soc <= 1.0)).all():
            raise InvalidInput("initial state of charge", given, "must lie between 0 and 1 in every home")
        return soc
    capacity = limits.capacity_kwh
    reserve = np.divide(limits.reserve_kwh, capacity, out=np.zeros(homes), where=capacity > 0.0)
    share = np.random.default_rng([seed, 0x50C]).uniform(*_INITIAL_SHARE, homes)
    return reserve + (1.0 - reserve) * share
