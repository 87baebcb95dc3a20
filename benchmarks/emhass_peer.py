"""Plans home days with EMHASS: run in EMHASS's own environment, problems in one JSON file, plans and times in another.

Shares nothing with Powerflock. An answer has `status`, `battery_w` (T,) positive discharging, and seconds: `first` with
the model's building, then the median of runs on the model it keeps: `again` in all, `solver` for HiGHS alone.
"""

from __future__ import annotations

import json
import logging
import statistics
import sys
import time
from pathlib import Path
from typing import TypedDict

import pandas as pd
from emhass.optimization import Optimization  # type: ignore[import-not-found]


class Problem(TypedDict):
    """One home's day of T steps of `minutes`.

    `load_w`, `solar_w` and the prices `buy`, `sell` ($/kWh) have T values. The battery's `charge_w`, `discharge_w`,
    `capacity_wh`, efficiencies `into` and `out`, `wear` ($/kWh each way); states of charge `least`, `start`, `end`. The
    connection's `import_w`, `export_w`; the solver's relative `gap`; how many `runs` on the model that is kept.
    """

    minutes: int
    load_w: list[float]
    solar_w: list[float]
    buy: list[float]
    sell: list[float]
    charge_w: float
    discharge_w: float
    capacity_wh: float
    into: float
    out: float
    wear: float
    least: float
    start: float
    end: float
    import_w: float
    export_w: float
    gap: float
    runs: int


def settings(problem: Problem) -> tuple[dict[str, object], dict[str, object], dict[str, object]]:
    """EMHASS's three dictionaries; power limits are at the connection's side of the battery, as in the problem."""
    home: dict[str, object] = {
        "optimization_time_step": pd.Timedelta(minutes=problem["minutes"]), "time_zone": "UTC",
        "sensor_power_photovoltaics": "solar", "sensor_power_load_no_var_loads": "load",
    }  # fmt: skip
    optimiser = {
        "set_use_battery": True, "set_use_pv": True, "number_of_deferrable_loads": 0, "def_load_config": [],
        "nominal_power_of_deferrable_loads": [], "operating_hours_of_each_deferrable_load": [],
        "start_timesteps_of_each_deferrable_load": [], "end_timesteps_of_each_deferrable_load": [],
        "treat_deferrable_load_as_semi_cont": [], "set_deferrable_load_single_constant": [],
        "set_deferrable_startup_penalty": [], "set_total_pv_sell": False, "set_nocharge_from_grid": False,
        "set_nodischarge_to_grid": False, "set_battery_dynamic": False,
        "weight_battery_charge": problem["wear"], "weight_battery_discharge": problem["wear"],
        "lp_solver_mip_rel_gap": problem["gap"], "num_threads": 1, "lp_solver_timeout": 60,
        "delta_forecast_daily": 1,
    }  # fmt: skip
    plant: dict[str, object] = {
        "inverter_is_hybrid": False, "compute_curtailment": False,
        "maximum_power_from_grid": problem["import_w"], "maximum_power_to_grid": problem["export_w"],
        "battery_charge_power_max": problem["charge_w"],
        "battery_discharge_power_max": problem["discharge_w"] / problem["out"],
        "battery_charge_efficiency": problem["into"], "battery_discharge_efficiency": problem["out"],
        "battery_nominal_energy_capacity": problem["capacity_wh"],
        "battery_minimum_state_of_charge": problem["least"], "battery_maximum_state_of_charge": 1.0,
        "battery_target_state_of_charge": problem["end"],
    }  # fmt: skip
    return home, optimiser, plant


def answer(problem: Problem) -> dict[str, object]:
    """EMHASS's plan of one home's day, and how long it took."""
    silent = logging.getLogger("emhass")
    silent.setLevel(logging.ERROR)
    steps = len(problem["load_w"])
    index = pd.date_range("2025-01-01", periods=steps, freq=f"{problem['minutes']}min", tz="UTC")
    table = pd.DataFrame({"buy": problem["buy"], "sell": problem["sell"]}, index=index)
    load, solar = pd.Series(problem["load_w"], index), pd.Series(problem["solar_w"], index)
    start = time.perf_counter()
    optimiser = Optimization(
        *settings(problem), var_load_cost="buy", var_prod_price="sell", costfun="profit", emhass_conf={},
        logger=silent, num_timesteps=steps,
    )  # fmt: skip
    first, again, solver = 0.0, [], []
    for turn in range(problem["runs"] + 1):
        begin = start if turn == 0 else time.perf_counter()
        plan = optimiser.perform_naive_mpc_optim(
            table, solar, load, steps, soc_init=problem["start"], soc_final=problem["end"]
        )
        seconds = time.perf_counter() - begin
        if turn == 0:
            first = seconds
            continue
        again.append(seconds)
        solver.append(optimiser.prob.solver_stats.solve_time or 0.0)
    return {
        "status": optimiser.optim_status, "battery_w": plan["P_batt"].tolist() if "P_batt" in plan else None,
        "first": first, "again": statistics.median(again), "solver": statistics.median(solver),
    }  # fmt: skip


if __name__ == "__main__":
    given, written = (Path(name) for name in sys.argv[1:3])  # files, for solvers print what they like
    found = [answer(problem) for problem in json.loads(given.read_text(encoding="utf-8"))]
    written.write_text(json.dumps(found), encoding="utf-8")
