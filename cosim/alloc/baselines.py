"""Allocators to compare with: what one would do without solving problem (P)."""

from __future__ import annotations

from typing import final

import numpy as np

from cosim.alloc.closed_forms import planned_latency_s, prune_ratio
from cosim.alloc.problem import TOLERANCE, fastest_unpruned, make_allocation
from cosim.component import Component
from cosim.interfaces import Allocation, AllocationProblem


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
class EqualBandwidth(Component):
    """Every device of the problem gets band / n, and prunes as little as the threshold allows (closed form 1).

    A device that is too slow for the threshold even at its prune_max is not selected. Its share stays idle: handing it on
    would make this allocator a worse ``kkt`` instead of the plain rule it stands for.
    """

    def allocate(self, problem: AllocationProblem, rng: np.random.Generator) -> Allocation:  # noqa: ARG002
        """Closed form; draws no random numbers."""
        share = np.full_like(problem.weight, problem.bandwidth_hz / max(problem.weight.size, 1))
        ratio = prune_ratio(problem, share)
        in_time = planned_latency_s(problem, ratio, share) <= problem.latency_threshold_s * (1.0 + TOLERANCE)
        return make_allocation(problem, in_time, ratio, share)
