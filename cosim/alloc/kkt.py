"""The exact optimum of problem (P), with a certificate."""

from __future__ import annotations

import math
from typing import final

import numpy as np

from cosim.alloc.certificate import NOTHING, State, residuals
from cosim.alloc.closed_forms import bandwidth_range_hz, latency_at_rate_s, log_marginals, log_pull, prune_ratio_at_rate
from cosim.alloc.demand import Demand
from cosim.alloc.market import Terms, clear_market
from cosim.alloc.pieces import Pieces
from cosim.alloc.problem import subset
from cosim.component import Component
from cosim.interfaces import Allocation, AllocationProblem, BoolArray, FloatArray
from cosim.rate import Blocks

Triple = tuple[FloatArray, FloatArray, FloatArray]

_TOLERANCE = 1e-10
_WINDOWS = 6
"""How often the pieces around the last answer are tried before all pieces are."""


@final
class KKT(Component):
    """Exact solution of (P) by its Karush-Kuhn-Tucker conditions, for any concave rate.

    With rho eliminated by closed form 1, (P) is a concave maximisation over the bandwidths:

        maximise sum_k w_k y_k(B_k)   subject to  B_min,k <= B_k <= B_max,k,  sum_k B_k <= band.

    Its multiplier lambda is the price at which the devices' demands (w y'(B) = lambda, cut to the range) add up to the
    band; demand falls in the price, so a bracketing search finds it. Where the demand jumps at that price (kinks and straight
    pieces of the rate), each device gets the same fraction of its interval. If all can have B_max, lambda = 0.

    If sum B_min exceeds the band, no answer serves everyone: a largest set of devices is served, taken in ascending order of
    B_min (then of id), and ``feasible`` is False. The certificate is about the devices that are served.
    Generalises Liu et al., IEEE TSP 2024 (arXiv 2309.01816), section V, who solve for rho and B in turn.
    """

    def allocate(self, problem: AllocationProblem, rng: np.random.Generator) -> Allocation:  # noqa: ARG002
        """The optimum of ``problem``; draws no random numbers. O(n) memory, O(n) time per step of the search."""
        with np.errstate(all="ignore"):
            return _solve(problem)


def _solve(problem: AllocationProblem) -> Allocation:
    least, most = bandwidth_range_hz(problem)
    if float(np.add.reduce(least)) <= problem.bandwidth_hz:
        return _answer(problem, (least, most))
    selected = largest_set(problem, least)
    answer = _answer(subset(problem, selected), (least[selected], most[selected]))
    ratio, share, late_s = np.ones_like(least), np.zeros_like(least), np.full_like(least, np.inf)
    ratio[selected], share[selected], late_s[selected] = answer.prune_ratio, answer.bandwidth_hz, answer.latency_s
    objective = float(problem.weight @ ratio)
    return Allocation(selected, ratio, share, late_s, objective, answer.multiplier, feasible=False, certificate=answer.certificate)


def _answer(problem: AllocationProblem, ranges: tuple[FloatArray, FloatArray]) -> Allocation:
    """The optimum of a problem in which everyone can be served."""
    share, price, at = clear(problem, *ranges)
    overshoot = float(np.add.reduce(share)) / problem.bandwidth_hz
    if overshoot > 1.0 - 1e-15:  # sums in another order must not exceed the band either
        share, at = share / (overshoot * (1.0 + 2e-15)), None
    rate, left, right = log_marginals(problem, share) if at is None else at
    ratio = prune_ratio_at_rate(problem, rate)
    late_s = latency_at_rate_s(problem, ratio, rate)
    certificate = NOTHING
    if share.size:
        left, right = np.exp(left), np.exp(left) if right is left else np.exp(right)
        certificate = residuals(State(problem, share, *ranges, left, right, price), ratio, late_s)
    return Allocation(
        np.isfinite(share), ratio, share, late_s, float(problem.weight @ ratio), price, feasible=True, certificate=certificate
    )


def largest_set(problem: AllocationProblem, least: FloatArray) -> BoolArray:
    """Mask (n,) of as many devices as the band can serve at their prune_max, cheapest first."""
    if least.sum() <= problem.bandwidth_hz:
        return np.ones(least.shape, np.bool_)
    order = np.lexsort((problem.device_ids, least))
    fits = np.cumsum(least[order]) <= problem.bandwidth_hz
    selected = np.zeros(least.shape, np.bool_)
    selected[order[fits]] = True
    return selected


def clear(problem: AllocationProblem, least: FloatArray, most: FloatArray) -> tuple[FloatArray, float, Triple | None]:
    """Bandwidths (n,) and the price at which demand meets the band; R and left and right log marginal values there, if known."""
    band, pull = problem.bandwidth_hz, log_pull(problem)
    wants = (pull > -np.inf) & (most > least)
    everyone = bool(wants.all())
    ceiling = most if everyone else np.where(wants, most, least)
    if float(np.add.reduce(ceiling)) <= band:
        return fill(ceiling, np.minimum(most, np.maximum(2.0 * band, least)), band), 0.0, None
    if everyone:
        return _search_price(problem, pull, (least, np.minimum(most, 2.0 * band)), band)
    share, rest = least.copy(), band - float(least[~wants].sum())
    share[wants], price, _ = _search_price(subset(problem, wants), pull[wants], (least[wants], np.minimum(most[wants], 2.0 * band)), rest)
    return share, price, None


def fill(low: FloatArray, high: FloatArray, total: float) -> FloatArray:
    """From ``low`` towards ``high`` by the same fraction of each interval, until the sum is ``total``."""
    room = float((high - low).sum())
    fraction = min(1.0, max(0.0, total - float(low.sum())) / room) if room > 0 else 0.0
    return low + fraction * (high - low)


def _search_price(
    problem: AllocationProblem, pull: FloatArray, ranges: tuple[FloatArray, FloatArray], band: float
) -> tuple[FloatArray, float, Triple | None]:
    """The price at which demand adds up to ``band``, the shares there, and what is known there.

    Smooth demand and the capped Shannon bound: all conditions at once. Whole blocks: among the pieces around the answer for the rate that
    they interpolate, then around the answer among those, until the pieces hold it. Otherwise, or where that does not settle, among all
    there is.
    """
    blocks = isinstance(problem.rate, Blocks)
    rate = problem.rate.rate if isinstance(problem.rate, Blocks) else problem.rate
    terms = Terms(rate, problem.snr_hz, problem.prunable_time_s, problem.prunable_bits, pull, *ranges)
    cleared = clear_market(terms, band, 1e-2 if blocks else _TOLERANCE)
    if cleared is not None and not blocks:
        height = cleared.height
        at = None if cleared.rate_bps is None or height is None else (cleared.rate_bps, height, height)
        return cleared.share_hz, math.exp(cleared.log_price), at
    demand = Demand(problem, *ranges)
    if cleared is None:
        share, log_price = fill(*ranges, band), demand.typical_log_price(*ranges)
    else:
        share, log_price = cleared.share_hz, cleared.log_price
    for _ in range(_WINDOWS):
        pieces = demand.around(share, log_price)
        if pieces is None:
            break
        share, log_price = _bracket(pieces, band, share, log_price)
        if pieces.hold(share):
            return share, math.exp(log_price), None
    share, log_price = _bracket(demand, band, share, log_price)
    return share, math.exp(log_price), None


def _bracket(demand: Demand | Pieces, band: float, guess: FloatArray, log_price: float) -> tuple[FloatArray, float]:
    """Shares and log price at which demand adds up to ``band``, jumps included.

    Secant steps of log demand against log price inside a bracket; where they fail, the typical price of the devices still undecided,
    then the middle. It ends when demand is met to rounding, or when it jumps: then between the demands on both sides of the jump.
    """
    many, few = demand.most_hz, demand.least_hz
    cheap, dear = demand.log_prices()
    log_price = min(max(log_price, cheap), dear)
    slope, slow, previous = -1.0, 0, (math.nan, math.nan)
    while dear - cheap > _hair(log_price):
        share, guess = demand.at(log_price, guess)
        excess, width = math.log(max(float(np.add.reduce(share)) / band, 1e-30)), dear - cheap
        if abs(excess) <= 1e-14:
            return fill(demand.least_hz, share, band), log_price
        cheap, many, dear, few = (log_price, share, dear, few) if excess > 0 else (cheap, many, log_price, share)
        rise = (excess - previous[1]) / (log_price - previous[0])
        slope, previous = (rise if rise < 0 else slope), (log_price, excess)
        slow = slow + 1 if dear - cheap > 0.5 * width else 0
        log_price -= excess / slope
        if not cheap < log_price < dear or slow >= 3:
            stuck = slow >= 4  # not even the typical price halves the bracket
            log_price = 0.5 * (cheap + dear) if stuck else _between(demand.typical_log_price(few, many), cheap, dear)
            slow = 0 if stuck else slow
    return fill(few, many, band), 0.5 * (cheap + dear)


def _between(log_price: float, cheap: float, dear: float) -> float:
    """``log_price`` moved into the bracket, a hair away from its ends."""
    hair = 0.5 * min(dear - cheap, _hair(log_price))
    return min(max(log_price, cheap + hair), dear - hair)


def _hair(log_price: float) -> float:
    """Difference of log prices that counts as none: well above rounding, well below the tolerance of a certificate."""
    return 2e-14 * (1.0 + abs(log_price))
