"""Which groups or classes explain where marked sites are: the fewest, each named once.

The most likely cluster is the cause with the highest likelihood ratio of marked sites inside against outside
(Kulldorff, A spatial scan statistic, Communications in Statistics: Theory and Methods 26(6), 1997, Bernoulli model).
Its sites are taken out and the rest is searched again (Zhang, Assunção and Kulldorff, Spatial scan statistics adjusted
for multiple clusters, Journal of Probability and Statistics, 2010), until nothing stands out. If what remains is marked
as a whole, the portfolio is the cause. Invariant: no place is explained twice. Must not know what marks a site.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from powerflock.alarms.causes import PORTFOLIO, Causes
from powerflock.alarms.settings import ScanSettings
from powerflock.domain.arrays import F64, Bools

_PREFERENCE = 1.1


class Cluster(NamedTuple):
    """A cause that stands out: its id, marked sites of all its sites not yet explained, and the ratio elsewhere."""

    cause: int
    sites: int
    of_sites: int
    elsewhere_ratio: float
    places: Bools


class Scan(NamedTuple):
    """`clusters`, the most likely first; what no cluster explains: marked sites and all sites by place, (P,) each."""

    clusters: tuple[Cluster, ...]
    marked: F64
    population: F64


def scan(causes: Causes, marked: F64, population: F64, held: Bools, settings: ScanSettings) -> Scan:
    """The causes that explain `marked` of `population` sites (both (P,) by place); `held` (N,) have an alarm."""
    left, sites = marked, population
    ease = np.where(held, settings.held_ratio, 1.0)
    clusters: list[Cluster] = []
    while len(clusters) < settings.most and left.sum() >= settings.held_ratio * settings.least_sites:
        found = _most_likely(causes, left, sites, ease, settings)
        if found is None:
            break
        clusters.append(found)
        left, sites = np.where(found.places, 0.0, left), np.where(found.places, 0.0, sites)
    whole = _portfolio(causes, left, sites, float(ease[PORTFOLIO]), settings)
    if whole is not None:
        clusters.append(whole)
        left, sites = np.zeros_like(left), np.zeros_like(sites)
    return Scan(tuple(clusters), left, sites)


def _most_likely(causes: Causes, marked: F64, sites: F64, ease: F64, settings: ScanSettings) -> Cluster | None:
    """The cause with the highest likelihood ratio among those that are worth an alarm; None without any."""
    c, n = causes.sums(marked), causes.sums(sites)
    outside_c, outside_n = c[PORTFOLIO] - c, n[PORTFOLIO] - n
    with np.errstate(divide="ignore", invalid="ignore"):
        inside, outside = c / n, outside_c / outside_n
    ratio = _log_likelihood(c, n) + _log_likelihood(outside_c, outside_n) - _log_likelihood(c[:1], n[:1])
    worth = (
        (c >= ease * settings.least_sites)
        & (inside >= ease * settings.least_ratio)
        & (inside >= (1.0 + ease * (settings.least_risk - 1.0)) * outside)
        & (ratio >= ease * (settings.quiet_nats + math.log(c.size)))
        & (outside_n > 0.0)
    )
    if not worth.any():
        return None
    # One that has an alarm is preferred to its near equals, or two names would take turns for one cause.
    best = int(np.argmax(np.where(worth, np.where(ease < 1.0, _PREFERENCE, 1.0) * ratio, -np.inf)))
    return Cluster(best, int(c[best]), int(n[best]), float(outside[best]), causes.places_of(best))


def _portfolio(causes: Causes, marked: F64, sites: F64, ease: float, settings: ScanSettings) -> Cluster | None:
    """All sites not yet explained, if too many of them are marked for chance.

    The bound is Chernoff's: n sites marked by chance with probability p show a ratio of q or more with probability of
    at most exp(−n × (q ln(q/p) + (1−q) ln((1−q)/(1−p)))).
    """
    c, n = marked.sum(), sites.sum()
    if n == 0 or c < ease * settings.least_sites or c / n < ease * settings.least_ratio:
        return None
    p = settings.chance_ratio
    by_chance = c * math.log(p) + (n - c) * math.log1p(-p)
    ratio = float(_log_likelihood(np.array([c]), np.array([n]))[0]) - by_chance
    if c / n <= p or ratio < ease * (settings.quiet_nats + math.log(len(causes.keys))):
        return None
    return Cluster(PORTFOLIO, int(c), int(n), math.nan, sites > 0.0)


def _log_likelihood(c: F64, n: F64) -> F64:
    """How well one rate explains c marked of n sites at best: c ln(c/n) + (n−c) ln(1−c/n), 0 where c is 0 or n."""
    q = np.clip(c / np.maximum(n, 1.0), 0.0, 1.0)
    low, high = np.where(q > 0.0, q, 1.0), np.where(q < 1.0, 1.0 - q, 1.0)
    return np.asarray(c * np.log(low) + (n - c) * np.log(high))
