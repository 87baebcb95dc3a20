"""The site problem with demand charges as one linear programme for HiGHS, the peak a variable: the referee.

Also problems to hold it against: random homes with one or two charges, and real commercial sites (not part of the
project: read from `$POWERFLOCK_DATA`, else `../shared/data` beside it).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import highspy
import numpy as np
import pyarrow.parquet as pq

from benchmarks.highs_reference import build, changing_problems, random_problems, run, tighten
from powerflock.domain.arrays import F64, Bools
from powerflock.optimise.demand import DemandCharges
from powerflock.optimise.problem import SiteProblems

SITES = "commercial/microgrid_halfhourly.parquet"
PARTICIPANTS = 8


def build_peak(problems: SiteProblems, charges: DemandCharges, home: int) -> highspy.Highs:
    """One home's model: the blocks of each charge are variables, import stays below their sum where it counts."""
    model, steps = build(problems, home), problems.intervals
    for charge, begins in enumerate(charges.block_from_kw):
        first, blocks = model.getNumCol(), begins.size
        columns = np.arange(first, first + blocks, dtype=np.int32)
        model.addVars(blocks, np.zeros(blocks), np.append(np.diff(begins), highspy.kHighsInf))
        model.changeColsCost(blocks, columns, charges.per_kw[charge])
        model.addRow(charges.billed_kw[home, charge], highspy.kHighsInf, blocks, columns, np.ones(blocks))
        for t in np.flatnonzero(charges.counts[charge]).tolist():
            index = np.append(columns, np.int32(2 * steps + t))  # 2 · steps: where `build` keeps the bought power
            model.addRow(-highspy.kHighsInf, 0.0, blocks + 1, index, np.append(-np.ones(blocks), 1.0))
    return model


def optimal_peak_cost(problems: SiteProblems, charges: DemandCharges, home: int) -> float:
    """The optimum of one home's linear programme, $, to rounding."""
    model = build_peak(problems, charges, home)
    tighten(model)
    return run(model)


def random_peaks(seed: int, homes: int, intervals: int) -> tuple[SiteProblems, DemandCharges]:
    """Homes whose limits vary for every other seed, with one or two charges of one to three blocks."""
    rng = np.random.default_rng(seed)
    problems = (random_problems if seed % 2 else changing_problems)(seed, homes, intervals)
    count, blocks = int(rng.integers(1, 3)), int(rng.integers(1, 4))
    charges = DemandCharges.of(
        problems,
        per_kw=np.sort(rng.choice([0.0, 0.02, 0.3, 2.0, 12.0], (count, blocks)), axis=1),
        counts=rng.random((count, intervals)) < rng.choice([0.3, 1.0]),
        billed_kw=rng.choice([0.0, 0.0, 1.0, 3.0], (homes, count)),
        block_from_kw=np.arange(blocks) * rng.choice([0.5, 2.0]),
    )
    return problems, charges


@dataclass(frozen=True, slots=True)
class Sites:
    """Real sites: `net_load_kw` (8, T), load + solar by half hour; `day` (T,) days since 1970 and `slot` (T,) 0–47."""

    net_load_kw: F64
    day: np.ndarray
    slot: np.ndarray

    @property
    def weekday(self) -> Bools:
        """(T,) Monday to Friday."""
        return np.asarray((self.day + 3) % 7 < 5)

    @property
    def month(self) -> np.ndarray:
        """(T,) months since 1970."""
        return self.day.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)


def sites_file() -> Path:
    """Where the real sites' file should be."""
    named = os.environ.get("POWERFLOCK_DATA")
    return (Path(named) if named else Path(__file__).resolve().parent.parent.parent / "shared" / "data") / SITES


def real_sites(file: Path) -> Sites:
    """The 8 participants, 2017-02-26 03:30 to 05-01 00:00, local time, without that last midnight's half hour."""
    table = pq.read_table(file).slice(0, pq.read_metadata(file).num_rows - 1)
    start = table["interval_start_local"].to_numpy().astype("datetime64[m]").astype(np.int64)
    net = [
        table[f"profile_{n}_load_kwh"].to_numpy() - table[f"profile_{n}_solar_kwh"].to_numpy()
        for n in range(1, PARTICIPANTS + 1)
    ]
    return Sites(np.array(net) * 2.0, start // 1440, start % 1440 // 30)
