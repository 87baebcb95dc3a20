"""The homes of the virtual fleet between physics and sessions: time, readings out, commands in, the ledger.

Invariants: the plant's clock (from the welcome) drives physics, which goes on while the plant is away and stops at
every 5-minute boundary; every command passes the edge's safety check. Must not know how connections are made.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from powerflock.domain.arrays import F64, I64
from powerflock.domain.clock import MICROS_PER_S, ScaledClock
from powerflock.domain.columns import COMMAND, DeviceKind, ReadingRow
from powerflock.edge.ladder import Rung
from powerflock.edge.safety import Refusal
from powerflock.sim.fleet import HOME_KINDS, SimFleet, present
from powerflock.sim.ledger import Ledger
from powerflock.sim.memory import remember
from powerflock.sim.profiles import STEP_US
from powerflock.sim.session import Batch, Home
from powerflock.sim.status import Status
from powerflock.sim.wire import Codec, Command, CommandAck, Error, Policy, Readings, Welcome

AGENT = "powerflock-fleet/1"
CLOCK_JUMP_US = 600 * MICROS_PER_S
"""A plant's clock this far from the fleet's is another time: physics goes on from there."""
_STATUS = {Refusal.ACCEPTED: "applied", Refusal.EXPIRED: "expired"}


class Flock:
    """Homes by row; they start to live when the first session brings the plant's time."""

    def __init__(
        self,
        sites: Sequence[str],
        start: Callable[[int], SimFleet],
        codec: Codec,
        ledger: Ledger,
        status: Status,
        state: Path | None = None,
    ) -> None:
        """`start(start_us)` makes the fleet of `sites`, in their order, at the plant's time; `state` is its memory."""
        self.homes = [Home(row, site, codec, self, AGENT) for row, site in enumerate(sites)]
        self.forgotten = asyncio.Event()
        self.fleet: SimFleet | None = None
        self._state = state
        self._sites, self._start, self._codec, self._ledger, self._status = list(sites), start, codec, ledger, status
        self._clock: ScaledClock | None = None
        self._inbox: list[tuple[int, Command]] = []
        self._policies: dict[int, Policy] = {}
        self._sent = self._acked = self._number = 0
        self._since_us = 0
        self._registers = np.zeros((2, len(sites)))

    def take_tokens(self, tokens: dict[str, str]) -> None:
        """The tokens with which the homes say hello from now on."""
        for home in self.homes:
            home.token = tokens[home.site]

    def welcomed(self, welcome: Welcome) -> None:
        """Adopt the plant's clock: at the first welcome, and whenever it differs by more than a wall second."""
        offered = ScaledClock(welcome.time_us, time.time_ns() // 1_000, welcome.speed)
        if self.fleet is None:
            self.fleet, self._clock = self._start(welcome.time_us), offered
            above = time.time_ns() // 1_000  # what an earlier process of these homes may have sent
            np.maximum(self.fleet.seq, above, out=self.fleet.seq)
            self._has = present(self.fleet.specs)
            self._reset_interval()
        elif self._clock is None or abs(offered.now_us() - self._clock.now_us()) > MICROS_PER_S * welcome.speed:
            self._clock = offered
        if abs(welcome.time_us - self.fleet.now_us) > max(CLOCK_JUMP_US, 10 * MICROS_PER_S * welcome.speed):
            self._status.say("clock", "the plant's clock jumped; the homes follow")
            self.fleet.now_us = welcome.time_us
            self._reset_interval()

    def commanded(self, row: int, command: Command) -> None:
        """Keep a command for the next tick."""
        self._inbox.append((row, command))

    def handed(self, row: int, policy: Policy) -> None:
        """Keep a policy for the next tick, the latest of each home."""
        self._policies[row] = policy

    def settled(self, row: int, batch: Batch, kind: str) -> None:
        """Count and write down what became of a batch."""
        self._sent += batch.rows if kind == "sent" else 0
        self._acked += batch.rows if kind == "acked" else 0
        self._ledger.batch(kind, self._sites[row], batch.number, batch.time_us, batch.seqs)

    def complained(self, row: int, error: Error) -> None:
        """Report the plant's error; an unknown token means enrolling again."""
        self._status.say(error.code, f"{self._sites[row]}: {error.code}: {error.message}")
        if error.code == "unauthorised":
            self.forgotten.set()

    def tick(self, slot: int, slots: int) -> None:
        """Advance to the plant's time, take up commands, and read the devices of every `slots`-th home."""
        if self.fleet is None or self._clock is None:
            return
        now_us = self._clock.now_us()
        if now_us > self.fleet.now_us:
            self._advance(self.fleet, now_us)
            self._read(self.fleet, [home for home in self.homes[slot::slots] if not home.full])
        self._take_policies(self.fleet)
        self._obey(self.fleet)
        self._ledger.flush()

    def remember(self) -> None:
        """Keep where the homes stand, if that is wanted; a disk that does not take it is told and tried again."""
        if self._state is None or self.fleet is None:
            return
        try:
            remember(self._state, self.fleet)
        except OSError as error:
            self._status.say("state", f"{self._state} cannot be written: {error.strerror}")

    def show(self) -> None:
        """Tell the status line."""
        connected = sum(home.open for home in self.homes)
        now_us = self.fleet.now_us if self.fleet else 0
        self._status.standing(connected, now_us, self._sent, self._acked, sum(len(home.spool) for home in self.homes))

    def _advance(self, fleet: SimFleet, now_us: int) -> None:
        while fleet.now_us < now_us:
            end_us = min(now_us, fleet.now_us - fleet.now_us % STEP_US + STEP_US)
            fleet.step(fleet.now_us, end_us - fleet.now_us)
            if end_us % STEP_US == 0:
                self._close_interval(fleet)

    def _reset_interval(self) -> None:
        if self.fleet is not None:
            self._since_us, self._registers = self.fleet.now_us, self._energy(self.fleet)

    @staticmethod
    def _energy(fleet: SimFleet) -> F64:
        """Net energy through the meters and into the batteries since the start, (2, S) kWh."""
        return np.stack([fleet.import_kwh - fleet.export_kwh, fleet.battery_kwh])

    def _close_interval(self, fleet: SimFleet) -> None:
        if self._ledger.kept:
            net, battery = (self._energy(fleet) - self._registers).tolist()
            rung = [Rung(code).name.lower() for code in fleet.rung.tolist()]
            self._ledger.energy(
                self._since_us,
                fleet.now_us,
                dict(zip(self._sites, net, strict=True)),
                dict(zip(self._sites, battery, strict=True)),
                dict(zip(self._sites, rung, strict=True)),
            )
        self._reset_interval()

    def _obey(self, fleet: SimFleet) -> None:
        """Give the commands that came to the edges, and answer each."""
        inbox, self._inbox = self._inbox, []
        if not inbox:
            return
        records = np.zeros(len(inbox), dtype=COMMAND)
        records["site"] = [row for row, _ in inbox]
        with np.errstate(over="ignore"):  # a power beyond float32 becomes infinite, which the edge refuses
            records["setpoint_kw"] = [command.setpoint_kw for _, command in inbox]
        for name in ("seq", "not_before_us", "expires_us", "epoch", "issuer"):
            records[name] = [getattr(command, name) for _, command in inbox]
        records["price_per_kwh"] = np.nan
        for (row, command), code in zip(inbox, fleet.apply(records, fleet.now_us).tolist(), strict=True):
            refusal = Refusal(code)
            reason = "" if refusal is Refusal.ACCEPTED else refusal.name.lower()
            status = _STATUS.get(refusal, "refused")
            self._ledger.command(self._sites[row], command.seq, command.epoch, fleet.now_us, status)
            self.homes[row].answer(CommandAck(command.seq, status, reason))

    def _take_policies(self, fleet: SimFleet) -> None:
        """Give the policies that came to the edges; a refusal is told."""
        policies, self._policies = self._policies, {}
        for row, policy in policies.items():
            refusal = fleet.take_policy(row, policy.policy, policy.epoch, fleet.now_us)
            status = _STATUS.get(refusal, "refused")
            self._ledger.policy(self._sites[row], policy.epoch, fleet.now_us, status)
            if refusal is not Refusal.ACCEPTED:
                self._status.say("policy", f"{self._sites[row]}: a policy was {status}: {refusal.name.lower()}")

    def _read(self, fleet: SimFleet, homes: list[Home]) -> None:
        """Read every device of `homes` now and hand each home its batch."""
        rows: I64 = np.array([home.row for home in homes], dtype=np.int64)
        power, energy = fleet.device_power_kw()[:, rows].tolist(), fleet.device_energy_kwh()[:, rows].tolist()
        seqs = [fleet.next_seq(kind, rows).tolist() for kind in HOME_KINDS]
        limits = np.stack([fleet.charge_limit_kw(), fleet.discharge_limit_kw(), fleet.limits.capacity_kwh])[:, rows].T
        has, now_us = self._has[:, rows].T.tolist(), fleet.now_us
        for place, (home, kinds, limit) in enumerate(zip(homes, has, limits.tolist(), strict=True)):
            readings = [
                ReadingRow(
                    kind.wire,
                    seqs[kind][place],
                    now_us,
                    power[kind][place],
                    energy[kind][place],
                    *(limit if kind is DeviceKind.BATTERY else ()),
                )
                for kind in HOME_KINDS
                if kinds[kind]
            ]
            self._number += 1
            frame = self._codec.encode(Readings(self._number, readings))
            numbers = {reading.device: reading.seq for reading in readings}
            home.put(Batch(self._number, len(readings), now_us, numbers, frame))
