"""Problem (P) by turns, as it was first solved: ratios for given bandwidths, bandwidths for given ratios."""

from __future__ import annotations

import dataclasses
from typing import final

import numpy as np

from cosim.alloc.certificate import certify
from cosim.alloc.closed_forms import bandwidth_range_hz, prune_ratio, upload_time_s
from cosim.alloc.kkt import clear, fill, largest_set
from cosim.alloc.problem import make_allocation, subset
from cosim.component import Component, quantity
from cosim.interfaces import Allocation, AllocationProblem, FloatArray


@final
class KKTAlternating(Component):
    """The decoupling of Liu et al., IEEE TSP 2024 (arXiv 2309.01816), section V: closed form 1 and bandwidths in turn.

    Given B, the ratios are closed form 1. Given rho, B minimises sum_k mu_k t_k(rho_k, B_k) over B_min <= B <= B_max, sum B <= band,
    with the multipliers mu_k = w_k / (t_u,k + Q_k / R_k) that the latency constraints have at the present B.
    It ends when the shares that move add up to less than ``tolerance`` of the band, or after ``iterations`` turns.

    It cannot get worse and cannot stop short of the optimum. In x = 1/R the kept fraction y = (A - Q0 x) / (t_u + Q x) is convex, so
    w y lies above its tangent at the present x; that tangent is, up to a constant, -mu t. Each turn thus maximises a lower
    bound that touches the objective: the objective never rises, and where nothing moves the conditions of (P) hold. The way there
    is linear, not quadratic as in ``kkt``: the certificate says how far it came. Devices that cannot be served are left
    out by the same rule as in ``kkt``.
    """

    iterations: int = quantity(1000, "", "most turns", ge=1)
    tolerance: float = quantity(1e-9, "", "share of the band that may still move in the last turn", gt=0, lt=1)

    def allocate(self, problem: AllocationProblem, rng: np.random.Generator) -> Allocation:  # noqa: ARG002
        """A feasible answer, the optimum to within ``tolerance``; draws no random numbers. Each turn costs about as much as ``kkt``."""
        least, most = bandwidth_range_hz(problem)
        selected = largest_set(problem, least)
        part = subset(problem, selected)
        share, price = self._alternate(part, least[selected], most[selected])
        bandwidth, ratio = np.zeros_like(problem.weight), np.ones_like(problem.weight)
        bandwidth[selected], ratio[selected] = share, prune_ratio(part, share)
        answer = make_allocation(problem, selected, ratio, bandwidth)
        answer = dataclasses.replace(answer, multiplier=price, feasible=bool(selected.all()))
        return dataclasses.replace(answer, certificate=certify(problem, answer, price))

    def _alternate(self, problem: AllocationProblem, least: FloatArray, most: FloatArray) -> tuple[FloatArray, float]:
        """Bandwidths (n,) [Hz] and the price [1/Hz] of the last turn, starting from equal parts of everyone's range."""
        band, price = problem.bandwidth_hz, 0.0
        share = fill(least, np.minimum(most, np.maximum(least, band)), band)
        for _ in range(self.iterations):
            before = share
            share, price, _ = clear(_latency_problem(problem, before), least, most)
            if np.abs(share - before).sum() <= self.tolerance * band:
                break
        return share, price


def _latency_problem(problem: AllocationProblem, share_hz: FloatArray) -> AllocationProblem:
    """Minimise sum mu t(rho, B) over B, with rho and mu of the present shares, in the form of (P).

    Only D/R(B) of the latency depends on B, D = Q0 + y Q being the bits to send; and in (P) without prunable bits, with
    t_u = 1 s and Q0 = D, the kept fraction is y = A - D/R(B).
    """
    bits = problem.fixed_bits + (1.0 - prune_ratio(problem, share_hz)) * problem.prunable_bits
    per_kept_s = problem.prunable_time_s + upload_time_s(problem.prunable_bits, problem.rate.value(share_hz, problem.snr_hz))
    nothing = np.zeros_like(bits)
    return dataclasses.replace(
        problem,
        weight=np.divide(problem.weight, per_kept_s, out=nothing.copy(), where=per_kept_s > 0),
        prunable_time_s=np.ones_like(bits),
        fixed_bits=bits,
        prunable_bits=nothing,
    )
