"""Problem (P) with the pruning error itself in the objective, in place of its linear bound."""

from __future__ import annotations

import dataclasses
from typing import final

import numpy as np

from cosim.alloc.certificate import HAIR, NOTHING, State, residuals
from cosim.alloc.closed_forms import bandwidth_range_hz, log_marginal, prune_ratio
from cosim.alloc.curves import FLOOR, Kinks, clear_curves
from cosim.alloc.kkt import KKT, largest_set
from cosim.alloc.problem import make_allocation, subset
from cosim.component import Component
from cosim.interfaces import Allocation, AllocationProblem, Certificate, FloatArray


@final
class PruningAware(Component):
    """The optimum of (P) with sum_k w_k phi(rho_k) to minimise, phi the problem's convex, increasing ``pruning_cost``.

    By closed form 1, rho_k = 1 - y_k(B_k) with y_k concave; phi(1 - y_k(B)) is then convex and falling in B, so the problem is
    convex, and one price of bandwidth decides as in ``kkt``:

        w_k phi'(rho_k) y_k'(B_k) = lambda    for B_min < B_k < B_max.

    At a knot of phi the left side jumps: demand stays there over a range of prices. Devices that cannot be served are left out as
    in ``kkt``. ``Allocation.objective`` stays sum w rho, by which allocators are compared; the certificate is about sum w phi. phi(rho) <=
    rho where phi(1) = 1, and equality brings back ``kkt``, as does a problem without a curve (network alone).
    """

    def allocate(self, problem: AllocationProblem, rng: np.random.Generator) -> Allocation:
        """The optimum of ``problem``; draws no random numbers."""
        if problem.pruning_cost is None:
            return KKT().allocate(problem, rng)
        least, most = bandwidth_range_hz(problem)
        selected = largest_set(problem, least)
        part, span = (
            subset(problem, selected),
            (least[selected], np.minimum(most[selected], np.maximum(2.0 * problem.bandwidth_hz, least[selected]))),
        )
        share, price = _clear(part, span)
        bandwidth, ratio = np.zeros_like(problem.weight), np.ones_like(problem.weight)
        bandwidth[selected], ratio[selected] = share, prune_ratio(part, share)
        answer = make_allocation(problem, selected, ratio, bandwidth)
        answer = dataclasses.replace(answer, multiplier=price, feasible=bool(selected.all()))
        return dataclasses.replace(answer, certificate=_certify(part, answer, span))


class _Curves:
    """Heights ln w phi'(rho) y'(B) of the devices of a problem; ``knots_hz`` (m - 1, n): bandwidths that make rho each knot but 1."""

    def __init__(self, problem: AllocationProblem) -> None:
        cost = problem.pruning_cost
        assert cost is not None
        self._problem = problem
        with np.errstate(divide="ignore"):
            self._log_slope = np.maximum(np.log(cost.slope), FLOOR)
        ratios = (np.full_like(problem.weight, ratio) for ratio in cost.ratio[:-1])
        self.knots_hz = np.array([bandwidth_range_hz(dataclasses.replace(problem, prune_max=ratio))[0] for ratio in ratios])

    def heights(self, bandwidth_hz: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Left and right heights (m, n). A bandwidth within 1e-12 of a knot's is at the knot."""
        inner = self.knots_hz[1:, None, :]
        left = self._log_slope[np.sum(bandwidth_hz <= inner * (1.0 + HAIR), axis=0)]
        right = self._log_slope[np.sum(bandwidth_hz < inner * (1.0 - HAIR), axis=0)]
        left = left + log_marginal(self._problem, bandwidth_hz, side="left")
        right = right + log_marginal(self._problem, bandwidth_hz, side="right")
        return np.maximum(left, FLOOR), np.maximum(right, FLOOR)


def _clear(problem: AllocationProblem, span: tuple[FloatArray, FloatArray]) -> tuple[FloatArray, float]:
    """Bandwidths (n,) and the price; devices to which bandwidth is worth nothing hold their least."""
    least, most = span
    share = least.copy()
    if not len(share):
        return share, 0.0
    curves = _Curves(problem)
    near, _ = curves.heights(np.maximum(least, 1e-12 * problem.bandwidth_hz)[None, :])
    wants = (most > least) & (near[0] > FLOOR)
    if wants.any():
        some = _Curves(subset(problem, wants))
        finite = np.where(np.isfinite(some.knots_hz), some.knots_hz, most[wants])
        kinks = Kinks(problem.rate, problem.snr_hz[wants], finite)
        rest = problem.bandwidth_hz - float(least[~wants].sum())
        share[wants], price = clear_curves(some.heights, (least[wants], most[wants]), rest, kinks)
        return share, price
    return share, 0.0


def _certify(problem: AllocationProblem, answer: Allocation, span: tuple[FloatArray, FloatArray]) -> Certificate:
    """Residuals as in ``cosim.alloc.certificate.certify``, with w phi'(rho) y'(B) for the marginal value."""
    if problem.device_ids.size == 0:
        return NOTHING
    ratio, share = answer.prune_ratio[answer.selected], answer.bandwidth_hz[answer.selected]
    curves, near = _Curves(problem), np.maximum(share, 1e-12 * problem.bandwidth_hz)
    left = np.exp(curves.heights((near * (1.0 - HAIR))[None, :])[0][0])
    right = np.exp(curves.heights((near * (1.0 + HAIR))[None, :])[1][0])
    state = State(problem, share, *span, left, right, answer.multiplier)
    return residuals(state, ratio, answer.latency_s[answer.selected], ratio - prune_ratio(problem, share))
