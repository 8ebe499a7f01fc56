"""Which devices to serve when not all can be: those that keep the most of their models, together."""

from __future__ import annotations

from typing import final

import numpy as np

from cosim.alloc.closed_forms import bandwidth_range_hz, log_pull, prune_ratio
from cosim.alloc.demand import Demand
from cosim.alloc.kkt import KKT, largest_set
from cosim.alloc.problem import subset
from cosim.component import Component
from cosim.interfaces import AllocationProblem, BoolArray, FloatArray

_STEPS = 60
_SIZES = 16
"""How many sets, at most, are compared by their exact kept mass."""


@final
class MaxKeptMass(Component):
    """Where the band cannot serve everyone: a set with a large kept mass, the greatest sum of w_k y_k that its devices can reach.

    A largest set drives everyone in it to prune_max; fewer devices may keep more. Where all can be served, all are.
    Exactly the best set is a knapsack problem (with prune_max = 0 literally one, hence NP-hard), so this is its
    Lagrangian heuristic. At price lambda a device takes the B that maximises w y(B) - lambda B over [B_min, B_max], or nothing
    where that maximum is negative. Total demand falls in lambda; at the price where it crosses the band it may jump. Candidates
    are the set just above that price; that set with those added that come next, by their surplus just below it, as long as their
    B_min fit (up to 16 sizes of set, evenly spaced); and the largest set. ``kkt`` says which keeps most.

    It is never worse than the largest set. The dual bounds how far it can be from the best: by no more than the kept mass of the
    devices that come in at the one price, which is a single device unless several tie.
    """

    def select(self, problem: AllocationProblem, rng: np.random.Generator) -> BoolArray:
        """Mask (n,); draws no random numbers."""
        least, most = bandwidth_range_hz(problem)
        largest = largest_set(problem, least)
        if largest.all():
            return largest
        candidates = [largest, *_priced_sets(problem, least, most)]
        masses = [kept_mass(problem, chosen, rng) for chosen in candidates]
        return candidates[int(np.argmax(masses))]


def kept_mass(problem: AllocationProblem, chosen: BoolArray, rng: np.random.Generator) -> float:
    """The greatest sum of w_k y_k that these devices (n,) can reach, all of them served; -inf if they cannot be."""
    part = subset(problem, chosen)
    answer = KKT().allocate(part, rng)
    return float(part.weight.sum()) - answer.objective if answer.feasible else -np.inf


def _priced_sets(problem: AllocationProblem, least: FloatArray, most: FloatArray) -> list[BoolArray]:
    """The set just above the price at which demand crosses the band, and larger ones with those that come next by surplus."""
    able = np.flatnonzero(least <= problem.bandwidth_hz)
    market = _Market(subset(problem, least <= problem.bandwidth_hz), least[able], most[able])
    surplus, chosen = market.clear(problem.bandwidth_hz)
    order = able[np.lexsort((-surplus, ~chosen))]
    fitting = int(np.count_nonzero(np.cumsum(least[order]) <= problem.bandwidth_hz))
    first = min(int(chosen.sum()), fitting)
    sizes = np.unique(np.linspace(float(first), float(fitting), _SIZES).round().astype(int))
    sets = np.zeros((sizes.size, least.size), np.bool_)
    for row, size in zip(sets, sizes, strict=True):
        row[order[:size]] = True
    return list(sets)


class _Market:
    """Devices that could be served alone, B_min <= band, and what each would take at a price."""

    def __init__(self, problem: AllocationProblem, least_hz: FloatArray, most_hz: FloatArray) -> None:
        self.problem, self.least_hz = problem, least_hz
        cap = np.minimum(most_hz, 2.0 * problem.bandwidth_hz)
        self.wants = (log_pull(problem) > -np.inf) & (cap > least_hz)
        self.demand = Demand(subset(problem, self.wants), least_hz[self.wants], cap[self.wants]) if self.wants.any() else None
        self.cap_hz, self.guess_hz = cap, cap[self.wants]

    def at(self, log_price: float) -> tuple[FloatArray, FloatArray]:
        """Shares [Hz] and surplus w y(B) - lambda B, both (n,)."""
        share = self.least_hz.copy()
        if self.demand is not None:
            share[self.wants], self.guess_hz = self.demand.at(log_price, self.guess_hz)
        kept = 1.0 - prune_ratio(self.problem, share)
        return share, self.problem.weight * kept - np.exp(log_price) * share

    def clear(self, band_hz: float) -> tuple[FloatArray, BoolArray]:
        """Surplus (n,) just below the clearing price, and who takes part just above it; demand there fits the band."""
        tiny = 1e-12 * band_hz
        dear = float(np.log(max(float(np.max(self.problem.weight / np.maximum(self.least_hz, tiny), initial=0.0)), 1e-300)))
        cheap = float(np.log(max(float(self.problem.weight.max(initial=0.0)) / band_hz, 1e-300))) - 60.0
        surplus, chosen = self.at(cheap)[1], np.zeros(self.least_hz.shape, np.bool_)
        for _ in range(_STEPS):
            middle = 0.5 * (cheap + dear)
            share, gain = self.at(middle)
            if float(share[gain > 0].sum()) > band_hz:
                cheap, surplus = middle, gain
            else:
                dear, chosen = middle, gain > 0
        return surplus, chosen
