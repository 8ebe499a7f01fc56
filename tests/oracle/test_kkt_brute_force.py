"""The exact allocator against trying everything, for two devices and every rate."""

import numpy as np
import pytest

from cosim.alloc.kkt import KKT
from cosim.interfaces import AllocationProblem
from cosim.rate import Blocks, ErgodicRayleigh, ErgodicTruncated, Shannon, TruncatedShannon

RATES = [
    Shannon(),
    TruncatedShannon(),
    ErgodicRayleigh(),
    ErgodicTruncated(TruncatedShannon()),
    Blocks(Shannon(), 180e3),
    Blocks(ErgodicRayleigh(), 180e3),
    Blocks(TruncatedShannon(), 360e3),
]


def objective(p, first_hz):
    """Sum of w rho when device 0 gets these bandwidths and device 1 the rest; inf where one of them cannot be served."""
    total = 0.0
    for k, share in enumerate((first_hz, p.bandwidth_hz - first_hz)):
        rate = p.rate.value(share, p.snr_hz[k])
        left_s = p.latency_threshold_s - p.fixed_time_s[k]
        with np.errstate(divide="ignore"):
            kept = (left_s - p.fixed_bits[k] / rate) / (p.prunable_time_s[k] + p.prunable_bits[k] / rate)
        ratio = np.maximum(1 - kept, 0.0)
        total = total + p.weight[k] * np.where(ratio <= p.prune_max[k], ratio, np.inf)
    return total


def brute_force(p):
    """Best of a grid, then of a finer grid around it, four times: the objective is convex in the split."""
    low, high = 1e-9 * p.bandwidth_hz, (1 - 1e-9) * p.bandwidth_hz
    for _ in range(5):
        grid = np.linspace(low, high, 4001)
        values = objective(p, grid)
        best = int(np.argmin(values))
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, 4000)]
    return float(values[best])


@pytest.mark.parametrize("compute_s", [0.0, 0.3])
@pytest.mark.parametrize("rate", RATES, ids=repr)
def test_two_devices(rate, compute_s):
    rng = np.random.default_rng(7)
    served = 0
    for _ in range(8):
        problem = AllocationProblem(
            0, [0, 1], rng.uniform(0.3, 3, 2), rng.uniform(0, 0.3, 2), compute_s * rng.uniform(0.5, 1.5, 2), 10 ** rng.uniform(4, 5.5, 2),
            10 ** rng.uniform(6, 7, 2), 10 ** rng.uniform(7, 9, 2), rng.uniform(0.6, 1, 2), 2e6, float(rng.uniform(1.5, 4)), rate,
        )  # fmt: skip
        answer, best = KKT().allocate(problem, rng), brute_force(problem)
        assert answer.feasible == np.isfinite(best)
        if answer.feasible:
            served += 1
            assert answer.objective == pytest.approx(best, rel=1e-8, abs=1e-9)
    assert served >= 4
