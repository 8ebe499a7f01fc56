"""How far an allocation is from optimal, judged without knowing how it was found.

Problem (P) without rho (closed form 1) is: maximise sum_k w_k y_k(B_k) over B_min <= B_k <= B_max with sum_k B_k <= band, a
concave problem, so the Karush-Kuhn-Tucker conditions with one multiplier lambda are necessary and sufficient.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cosim.alloc.closed_forms import bandwidth_range_hz, latency_at_rate_s, log_marginals, prune_ratio_at_rate
from cosim.alloc.problem import subset
from cosim.interfaces import Allocation, AllocationProblem, Certificate, FloatArray

HAIR = 1e-12


def certify(
    problem: AllocationProblem, allocation: Allocation, multiplier: float, ranges: tuple[FloatArray, FloatArray] | None = None
) -> Certificate:
    """Relative residuals of the optimality conditions of (P) over the selected devices.

    ``multiplier``: lambda [1/Hz] of the bandwidth constraint. ``ranges``: B_min and B_max [Hz] (n,) where they are
    known. With d-, d+ the left and right derivative of w y(B), none of
    the residuals changes with the units of frequency, time, size or weight:

    - primal: the largest violation of: sum B <= band (relative to the band), t <= T (to T), 0 <= rho <= rho_max, B >= 0;
    - dual: 1 if lambda < 0 or not a number, otherwise 0;
    - complementarity: the share of the band that is idle, if lambda > 0; and the pruning beyond closed form 1 of a device with
      positive weight (the multiplier of its latency is positive, so the latency must be tight unless rho = 0);
    - stationarity: the largest relative change of a B_k that a step towards d = lambda (B times d / lambda, at most a
      doubling), cut to [B_min, B_max], would bring; between d- and d+ there is no step to make, nor where all of B is
      worth less than the rounding of y (1e-15 w);
    - gap: a bound of the loss against the optimum, over sum w + lambda band, the terms of the dual function. From concavity:
      any feasible B' has sum w y(B') - sum w y(B) <= sum (d - lambda)(B' - B) + lambda (band - sum B).
    """
    part = subset(problem, allocation.selected)
    if part.device_ids.size == 0:
        return Certificate(0.0, 0.0, 0.0, 0.0, 0.0)
    ratio, share = allocation.prune_ratio[allocation.selected], allocation.bandwidth_hz[allocation.selected]
    price = max(multiplier, 0.0)
    rate = part.rate.value(share, part.snr_hz)
    least_ratio = prune_ratio_at_rate(part, rate)
    spans = None if ranges is None else (ranges[0][allocation.selected], ranges[1][allocation.selected])
    state = _state(part, share, price, (least_ratio, spans))
    return Certificate(
        primal=_primal(part, ratio, share, rate),
        dual=0.0 if 0.0 <= multiplier < np.inf else 1.0,
        complementarity=_complementarity(part, share, price, ratio - least_ratio),
        stationarity=stationarity(state),
        gap=gap(state),
    )


class State(NamedTuple):
    """Shares, their ranges [Hz] and the marginal values d-, d+ [1/Hz] at them, all (n,); the price lambda [1/Hz]."""

    problem: AllocationProblem
    share: FloatArray
    least: FloatArray
    most: FloatArray
    left: FloatArray
    right: FloatArray
    price: float


def _state(
    problem: AllocationProblem, share: FloatArray, price: float, known: tuple[FloatArray, tuple[FloatArray, FloatArray] | None]
) -> State:
    """Derivatives are taken a hair (1e-12 of B) to the left and right: a share that rounding put next to a kink is at the kink.

    Ranges matter, and are worked out, only for devices whose marginal value is not the price or that are not pruned; [0, inf]
    stands for the others. Bandwidth beyond B_max is worth nothing. ``known``: closed form 1, and the ranges if known.
    """
    least_ratio, spans = known
    log_left, log_right = log_marginals(problem, share, HAIR)
    left, right = np.exp(log_left), np.exp(log_right)
    if spans is None:
        off = (right > price * (1.0 + HAIR)) | (left < price * (1.0 - HAIR)) | (least_ratio == 0)
        least, most = np.zeros_like(share), np.full_like(share, np.inf)
        least[off], most[off] = bandwidth_range_hz(subset(problem, off))
    else:
        least, most = spans
    left = np.where(share > most * (1.0 + HAIR), 0.0, left)
    return State(problem, share, least, most, left, right, price)


def _primal(problem: AllocationProblem, ratio: FloatArray, share: FloatArray, rate_bps: FloatArray) -> float:
    band, threshold = problem.bandwidth_hz, problem.latency_threshold_s
    late = latency_at_rate_s(problem, ratio, rate_bps) - threshold
    late = late / threshold if threshold > 0 else np.sign(late)
    outside = np.maximum(-ratio, ratio - problem.prune_max)
    return float(max(0.0, share.sum() / band - 1.0, late.max(), outside.max(), -share.min() / band))


def _complementarity(problem: AllocationProblem, share: FloatArray, price: float, excess_ratio: FloatArray) -> float:
    idle_band = 1.0 - float(share.sum()) / problem.bandwidth_hz if price > 0 else 0.0
    needless = np.where(problem.weight > 0, excess_ratio, 0.0)
    return float(max(0.0, idle_band, needless.max()))


def stationarity(state: State) -> float:
    """The residual of that name in ``certify``, from marginal values alone."""
    share, price = state.share, state.price
    reference = np.maximum(share, 1e-12 * state.problem.bandwidth_hz)
    with np.errstate(divide="ignore", invalid="ignore"):
        rise = np.where(state.right > price, np.minimum(state.right / price, 2.0) - 1.0, 0.0)
        fall = np.where(state.left < price, 1.0 - state.left / price, 0.0)
    matters = np.maximum(state.right, price) * reference > 1e-15 * state.problem.weight
    up = np.minimum(reference * rise, np.maximum(state.most - share, 0.0))
    down = np.minimum(reference * fall, np.maximum(share - state.least, 0.0))
    return float(np.max(np.maximum(up, down) / reference, where=matters, initial=0.0))


def gap(state: State) -> float:
    """The residual of that name in ``certify``: holds for any concave value curves with these marginal values."""
    share, price, band = state.share, state.price, state.problem.bandwidth_hz
    growing = (state.right > price) & (state.most > share * (1.0 + HAIR))
    shrinking = (state.left < price) & (state.least < share * (1.0 - HAIR))
    movable = max(0.0, band - float(state.least.sum()))
    gain = np.where(growing, state.right - price, 0.0)
    room = np.minimum(np.where(growing, state.most, share) - share, movable)
    up = min(float(np.add.reduce(gain * room)), float(gain.max()) * movable)
    down = float(np.sum(np.where(shrinking, (price - state.left) * (share - state.least), 0.0)))
    scale = float(state.problem.weight.sum()) + price * band
    return (up + down + price * max(0.0, band - float(share.sum()))) / scale if scale > 0 else 0.0
