"""Allocators to compare with: what one would do without solving problem (P)."""

from __future__ import annotations

import dataclasses
from typing import final

import numpy as np

from cosim.alloc.closed_forms import bandwidth_range_hz, planned_latency_s, prune_ratio
from cosim.alloc.kkt import largest_set
from cosim.alloc.problem import TOLERANCE, fastest, fastest_unpruned, make_allocation, subset
from cosim.component import Component, quantity
from cosim.interfaces import Allocation, AllocationProblem, FloatArray


@final
class PersonalizationOnly(Component):
    """No pruning; bandwidths that minimise the largest latency max_k t_k(0, B_k) over sum_k B_k <= band.

    Source: the baseline of Liu et al., IEEE TSP 2024 (arXiv 2309.01816), section VI. It does not aim at the threshold: its
    latencies may exceed it, and then ``feasible`` is False. At the optimum all devices finish together, except those that
    are slower than the rest even with next to no upload time. Devices that no bandwidth reaches are not selected.
    """

    def allocate(self, problem: AllocationProblem, rng: np.random.Generator) -> Allocation:  # noqa: ARG002
        """Bandwidths to about 1e-12 (relative); draws no random numbers."""
        _, reached, bandwidth = fastest_unpruned(problem)
        return make_allocation(problem, reached, np.zeros_like(bandwidth), bandwidth)


@final
class PersonalizationSelected(Component):
    """No pruning; as many devices as the band can serve within the threshold, the others left out.

    A device needs R^-1((Q0 + Q) / (A - t_u)); taken in ascending order of need (then of id) they form a largest set, by
    exchange: any other set of that size needs no less. Within the set bandwidths minimise the largest latency.
    """

    def allocate(self, problem: AllocationProblem, rng: np.random.Generator) -> Allocation:  # noqa: ARG002
        """Bandwidths to about 1e-12 (relative); draws no random numbers."""
        return _serve_most(problem, np.zeros_like(problem.weight))


@final
class FixedRatio(Component):
    """Every device prunes ``prune_ratio`` (its prune_max if that is less); as many as can be served within the threshold, by least need.

    The set and its bandwidths are found as in ``personalization_selected``, which is the case of ratio 0. For everyone's latency
    to be minimised, threshold or not, there is ``min_latency``.
    """

    prune_ratio: float = quantity(0.5, "", "pruning ratio of every device, cut to its prune_max", ge=0, le=1)

    def allocate(self, problem: AllocationProblem, rng: np.random.Generator) -> Allocation:  # noqa: ARG002
        """Bandwidths to about 1e-12 (relative); draws no random numbers."""
        return _serve_most(problem, np.minimum(self.prune_ratio, problem.prune_max))


@final
class EqualBandwidth(Component):
    """Every device of the problem gets band / n, and prunes as little as the threshold allows (closed form 1).

    A device that is too slow for the threshold even at its prune_max is not selected. Its share stays idle: handing it on
    would make this allocator a worse ``kkt`` instead of the plain rule it stands for.
    """

    def allocate(self, problem: AllocationProblem, rng: np.random.Generator) -> Allocation:  # noqa: ARG002
        """Closed form; draws no random numbers."""
        return _prune_least(problem, np.full_like(problem.weight, problem.bandwidth_hz / max(problem.weight.size, 1)))


@final
class ChannelProportional(Component):
    """Shares in proportion to R_k(band), the rate that a device would have with the whole band; ratios by closed form 1.

    In proportion to the rate, not to the gain: gains differ by orders of magnitude, and the weak would get nothing. Devices that
    are too slow at their prune_max are not selected and their share stays idle, as with ``equal_bandwidth``.
    """

    def allocate(self, problem: AllocationProblem, rng: np.random.Generator) -> Allocation:  # noqa: ARG002
        """Closed form; draws no random numbers."""
        rate = problem.rate.value(problem.bandwidth_hz, problem.snr_hz)
        total = rate.sum()
        return _prune_least(problem, problem.bandwidth_hz * (rate / total if total > 0 else np.zeros_like(rate)))


def _serve_most(problem: AllocationProblem, ratio: FloatArray) -> Allocation:
    """A largest set that meets the threshold at these ratios (n,), and the bandwidths with which it is fastest."""
    need_hz, _ = bandwidth_range_hz(dataclasses.replace(problem, prune_max=ratio))
    selected = largest_set(problem, need_hz)
    share = np.zeros_like(ratio)
    share[selected] = fastest(subset(problem, selected), 1.0 - ratio[selected])[2]
    return make_allocation(problem, selected, ratio, share)


def _prune_least(problem: AllocationProblem, share_hz: FloatArray) -> Allocation:
    """Closed form 1 at given bandwidths (n,); devices that are late even so are not selected."""
    ratio = prune_ratio(problem, share_hz)
    in_time = planned_latency_s(problem, ratio, share_hz) <= problem.latency_threshold_s * (1.0 + TOLERANCE)
    return make_allocation(problem, in_time, ratio, share_hz)
