"""Two ways to one optimum: all conditions at once, and ratios and bandwidths by turns."""

import dataclasses

import numpy as np
import pytest

from cosim.alloc.alternating import KKTAlternating
from cosim.alloc.kkt import KKT
from cosim.alloc.problem import check_allocation, least_feasible_threshold, unpruned_latency
from cosim.interfaces import AllocationProblem
from cosim.rate import Blocks, ErgodicRayleigh, Shannon, TruncatedShannon


def instance(rng, rate):
    """A random problem; the threshold may be out of reach for some, or nearly loose."""
    devices = int(rng.integers(1, 25))
    bits = 10 ** rng.uniform(5, 7, devices)
    problem = AllocationProblem(
        0, rng.permutation(devices), rng.uniform(0.1, 2, devices), rng.uniform(0, 0.5, devices), rng.uniform(0, 0.5, devices),
        bits * rng.uniform(0, 0.3, devices) * (rng.random() > 1 / 3), bits, 10 ** rng.uniform(6.5, 9.5, devices),
        rng.uniform(0.5, 0.95, devices), 1e6 * devices, 1.0, rate,
    )  # fmt: skip
    least, most = least_feasible_threshold(problem), unpruned_latency(problem)
    return dataclasses.replace(problem, latency_threshold_s=max(0.0, least + rng.uniform(-0.1, 0.95) * (most - least)))


@pytest.mark.parametrize(
    ("rate", "count"), [(Shannon(), 70), (ErgodicRayleigh(), 20), (TruncatedShannon(), 5), (Blocks(Shannon(), 360e3), 5)], ids=repr
)
def test_alternation_reaches_the_optimum_and_never_beats_it(rate, count):
    """Within rounding neither is better than the other, on 100 instances in all."""
    rng = np.random.default_rng(99)
    for _ in range(count):
        problem = instance(rng, rate)
        exact, turns = KKT().allocate(problem, rng), KKTAlternating().allocate(problem, rng)
        check_allocation(problem, turns)
        assert np.array_equal(turns.selected, exact.selected)
        tolerance = 1e-9 * problem.weight.sum()
        assert -tolerance <= turns.objective - exact.objective <= tolerance
