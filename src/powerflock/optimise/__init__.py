"""What a site should do with its battery, exactly: plans, policies, value functions and offer curves.

A day of half-hours for three homes, planned together; powers are passive, so positive is import and charging:

>>> import numpy as np
>>> from powerflock.curve.grid import PRICE_GRID
>>> from powerflock.optimise import Batteries, Moment, SiteProblems, check_plan, offers, solve
>>> half_hour = np.arange(48) / 2
>>> load_kw = 0.4 + np.array([[1.0], [2.0], [0.5]]) * (half_hour >= 17) - 3 * ((half_hour > 9) & (half_hour < 15))
>>> buy = np.where((half_hour >= 15) & (half_hour < 21), 0.45, 0.21)
>>> cells = Batteries.of(3, capacity_kwh=[13.5, 9.8, 5.0], charge_limit_kw=5.0, discharge_limit_kw=5.0)
>>> homes = SiteProblems.of(cells, load_kw, hours=0.5, import_per_kwh=buy, export_per_kwh=0.05, stored_kwh=2.0)
>>> plans = solve(homes)
>>> plans.cost.round(2), plans.battery_kw.shape, check_plan(homes, plans.battery_kw, plans.cost)
(array([0.76, 2.63, 0.68]), (3, 48), [])
>>> curves = offers(Moment.of(homes), plans.values, 1, PRICE_GRID)  # net power at each coordination price, now
>>> curves.shape, curves.sum(axis=0)[[0, 15, -1]].round(2)
((3, 41), array([ 16.2,   1.2, -10.2]))

Pure: arrays in, arrays out. Must not know telemetry, markets' rules or any I/O.
"""

from powerflock.domain.policy import Basis, Policy
from powerflock.optimise.asks import Groups, Reserve
from powerflock.optimise.check import Finding, Schedule, check_plan, schedule_cost
from powerflock.optimise.coupled import CoupledPlans, solve_coupled
from powerflock.optimise.demand import DemandCharges
from powerflock.optimise.envelope import EnvelopePlans, solve_envelope
from powerflock.optimise.envelope_respond import envelope_answers, envelope_value
from powerflock.optimise.faults import check_problems, faults
from powerflock.optimise.fleet import Coordination, coordinate
from powerflock.optimise.peak import PeakPlans, plan_peaks
from powerflock.optimise.policy import policies_of, solve_levels
from powerflock.optimise.problem import Batteries, Devices, SiteProblems, VaryingLimits
from powerflock.optimise.regulation import RegulationMarket, Storage, StorageSchedule, schedule_storage
from powerflock.optimise.reserve import Dispatch, GroupOffers, ReserveMarket, co_optimise
from powerflock.optimise.respond import Moment, answers, best_cost, energy_cost, offers, stored_change, value
from powerflock.optimise.sessions import Stays, cars, tanks, within_reach
from powerflock.optimise.site import (
    Mapper,
    Plans,
    Policies,
    ValueFunctions,
    convexified,
    lowest_convex_price,
    solve,
    solve_each,
)
from powerflock.optimise.sites import Method, SitePlans, plan_sites

__all__ = [
    "Basis",
    "Batteries",
    "Coordination",
    "CoupledPlans",
    "DemandCharges",
    "Devices",
    "Dispatch",
    "EnvelopePlans",
    "Finding",
    "GroupOffers",
    "Groups",
    "Mapper",
    "Method",
    "Moment",
    "PeakPlans",
    "Plans",
    "Policies",
    "Policy",
    "RegulationMarket",
    "Reserve",
    "ReserveMarket",
    "Schedule",
    "SitePlans",
    "SiteProblems",
    "Stays",
    "Storage",
    "StorageSchedule",
    "ValueFunctions",
    "VaryingLimits",
    "answers",
    "best_cost",
    "cars",
    "check_plan",
    "check_problems",
    "co_optimise",
    "convexified",
    "coordinate",
    "energy_cost",
    "envelope_answers",
    "envelope_value",
    "faults",
    "lowest_convex_price",
    "offers",
    "plan_peaks",
    "plan_sites",
    "policies_of",
    "schedule_cost",
    "schedule_storage",
    "solve",
    "solve_coupled",
    "solve_each",
    "solve_envelope",
    "solve_levels",
    "stored_change",
    "tanks",
    "value",
    "within_reach",
]
