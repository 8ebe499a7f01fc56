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
NOTHING = Certificate(0.0, 0.0, 0.0, 0.0, 0.0)
"""Of no device."""
_BEYOND, _ZERO, _ONE = (np.array(value) for value in (1.0 + HAIR, 0.0, 1.0))  # faster than Python floats in a ufunc


def certify(problem: AllocationProblem, allocation: Allocation, multiplier: float) -> Certificate:
    """Relative residuals of the optimality conditions of (P) over the selected devices.

    ``multiplier``: lambda [1/Hz] of the bandwidth constraint. With d-, d+ the left and right derivative of w y(B), none of the
    residuals changes with the units of frequency, time, size or weight:

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
    ratio, share = allocation.prune_ratio[allocation.selected], allocation.bandwidth_hz[allocation.selected]
    if not share.size:
        return NOTHING
    rate, log_left, log_right = log_marginals(part, share)
    least_ratio = prune_ratio_at_rate(part, rate)
    left, right = np.exp(log_left), np.exp(log_right)
    least, most = _ranges(part, share, (left, right, max(multiplier, 0.0)), least_ratio)
    late_s = latency_at_rate_s(part, ratio, rate)
    return residuals(State(part, share, least, most, left, right, multiplier), ratio, late_s, ratio - least_ratio)


def residuals(state: State, ratio: FloatArray, late_s: FloatArray, needless: FloatArray | None = None) -> Certificate:
    """``certify`` from what is known of a solution, n > 0: ratios and latencies [s] (n,), and the pruning beyond closed form 1, if any."""
    problem, share, band, price = state.problem, state.share, state.problem.bandwidth_hz, state.price
    idle = 1.0 - float(np.add.reduce(share)) / band
    late = float(np.maximum.reduce(late_s)) - problem.latency_threshold_s
    late = late / problem.latency_threshold_s if problem.latency_threshold_s > 0 else float(np.sign(late))
    outside = float(np.maximum.reduce(ratio - problem.prune_max)), -float(np.minimum.reduce(ratio))
    more = 0.0 if needless is None else float(np.where(problem.weight > 0, needless, 0.0).max())
    moved, loss = _moves(state, idle * band)
    return Certificate(
        primal=max(0.0, -idle, late, *outside, -float(np.minimum.reduce(share)) / band),
        dual=0.0 if 0.0 <= price < np.inf else 1.0,
        complementarity=max(0.0, idle if price > 0 else 0.0, more),
        stationarity=moved,
        gap=loss,
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


def _ranges(
    problem: AllocationProblem, share: FloatArray, marginal: tuple[FloatArray, FloatArray, float], least_ratio: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """B_min and B_max [Hz]; they matter, and are worked out, only for devices whose marginal value is not the price or that are not pruned.

    [0, inf] stands for the others. ``marginal``: d-, d+ and the price.
    """
    left, right, price = marginal
    off = (right > price * (1.0 + HAIR)) | (left < price * (1.0 - HAIR)) | (least_ratio == 0)
    least, most = np.zeros_like(share), np.full_like(share, np.inf)
    least[off], most[off] = bandwidth_range_hz(subset(problem, off))
    return least, most


def _moves(state: State, idle_hz: float) -> tuple[float, float]:
    """Stationarity and gap, the residuals of these names in ``certify``; they hold for any concave value curves."""
    price, share, band = max(state.price, 0.0), state.share, state.problem.bandwidth_hz
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        room, spare = state.most - share, share - state.least
        left = state.left * (share <= state.most * _BEYOND)
        reference = np.maximum(share, 1e-12 * band)
        step = np.minimum(np.minimum(state.right / price - _ONE, _ONE) * reference, room)  # above 0 where growing pays
        step = np.fmax(step, np.minimum((_ONE - left / price) * reference, spare)) / reference  # or shrinking; NaN: neither
        moved = max(0.0, float(np.fmax.reduce(step)))
        if moved > HAIR:
            matters = np.maximum(state.right, price) * reference > 1e-15 * state.problem.weight
            moved = max(0.0, float(np.fmax.reduce(step[matters], initial=0.0)))
        scale = float(np.add.reduce(state.problem.weight)) + price * band
        movable = max(0.0, band - float(np.add.reduce(state.least)))
        worth = np.fmax(state.right - price, _ZERO)
        up = float(np.add.reduce(worth * np.maximum(np.minimum(room, movable), _ZERO)))
        if not up <= HAIR * scale:
            worth = np.where(room > 0, worth, 0.0)
            up = float(np.add.reduce(worth * np.minimum(np.maximum(room, _ZERO), movable)))
            up = min(up, float(np.maximum.reduce(worth)) * movable)
        down = float(np.add.reduce(np.fmax(price - left, _ZERO) * np.maximum(spare, _ZERO)))
    return moved, (up + down + price * max(0.0, idle_hz)) / scale if scale > 0 else 0.0
