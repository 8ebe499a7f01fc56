"""Closed forms against the equations they solve, in arbitrary precision where they are ill-conditioned."""

import mpmath
import numpy as np
import pytest

from cosim.alloc.closed_forms import bandwidth_range_hz, log_marginal, planned_latency_s, prune_ratio, shannon_bandwidth_at_price_hz
from cosim.rate import LN2, Shannon


def test_prune_ratio_makes_the_threshold_tight(random_problem, rate):
    rng = np.random.default_rng(1)
    problem = random_problem(rng, 40, rate)
    least, most = bandwidth_range_hz(problem)
    bandwidth = least + rng.uniform(0.01, 0.99, 40) * (np.minimum(most, 2 * problem.bandwidth_hz) - least)
    ratio = prune_ratio(problem, bandwidth)
    assert np.all((ratio > 0) & (ratio < problem.prune_max))
    assert planned_latency_s(problem, ratio, bandwidth) == pytest.approx(problem.latency_threshold_s, rel=1e-13)


def test_range_is_where_the_prune_ratio_passes_from_its_bound_to_zero(random_problem, rate):
    problem = random_problem(np.random.default_rng(2), 40, rate)
    least, most = bandwidth_range_hz(problem)
    assert prune_ratio(problem, least) == pytest.approx(problem.prune_max, rel=1e-10)
    assert np.all(prune_ratio(problem, 0.99 * least) == problem.prune_max)
    reachable = np.isfinite(most) & (problem.rate.value(most, problem.snr_hz) < problem.rate.supremum(problem.snr_hz))
    assert reachable.any()
    assert prune_ratio(problem, most)[reachable] == pytest.approx(0, abs=1e-10)


def test_pruning_that_saves_nothing_is_not_done(problem):
    idle = problem(2, prunable_time_s=[0.0, 0.0], prunable_bits=[0.0, 0.0])
    assert np.all(prune_ratio(idle, 1e5) == 0)


def test_with_nothing_to_send_only_computing_counts(problem):
    # 0.1 s fixed + y 2.5 s <= 2 s: y = 0.76
    mute = problem(1, prunable_time_s=[2.5], prunable_bits=[0.0], fixed_bits=[0.0])
    assert prune_ratio(mute, [0.0]) == pytest.approx(1 - 1.9 / 2.5, rel=1e-14)
    assert bandwidth_range_hz(mute)[0] == 0
    assert planned_latency_s(mute, 1 - 1.9 / 2.5, [0.0]) == pytest.approx(2.0)


@pytest.mark.parametrize("bits", [1e-3, 1e5])
def test_with_anything_to_send_and_no_rate_all_is_pruned_that_may_be(problem, bits):
    mute = problem(1, prunable_time_s=[2.5], prunable_bits=[0.0], fixed_bits=[bits])
    assert prune_ratio(mute, [0.0]) == mute.prune_max
    assert np.isinf(planned_latency_s(mute, mute.prune_max, [0.0]))


def test_nothing_to_send_in_no_time_needs_no_bandwidth(problem):
    # unpruned, computing takes all of the 2 s
    mute = problem(1, fixed_time_s=[0.0], prunable_time_s=[2.0], prunable_bits=[0.0], fixed_bits=[0.0])
    assert bandwidth_range_hz(mute)[1] == 0


def test_bandwidth_is_worth_nothing_to_who_does_not_count(problem):
    mixed = problem(2, weight=[0.0, 1.0])
    assert np.isneginf(log_marginal(mixed, [0.0, 1e5])).tolist() == [True, False]


def test_out_of_reach(problem):
    far = problem(4, snr_hz=[0.0, 1e8, 1e8, 1e3], fixed_time_s=[0.1, np.inf, 2.1, 0.1])
    assert np.all(np.isinf(bandwidth_range_hz(far)[0]))
    assert np.isinf(planned_latency_s(far, 0.5, 1e5)).tolist() == [True, True, False, False]


def test_log_marginal_is_the_derivative_of_the_weighted_kept_fraction(random_problem, rate):
    problem = random_problem(np.random.default_rng(3), 60, rate, tightness=0.3)
    least, most = bandwidth_range_hz(problem)
    bandwidth = np.sqrt(least * np.minimum(most, problem.bandwidth_hz))
    step = 1e-6 * bandwidth
    gained = problem.weight * (prune_ratio(problem, bandwidth) - prune_ratio(problem, bandwidth + step)) / step
    kinked = np.exp(log_marginal(problem, bandwidth)) > 1.001 * np.exp(log_marginal(problem, bandwidth + step, side="left"))
    assert kinked.mean() < 0.1
    assert np.exp(log_marginal(problem, bandwidth + step / 2))[~kinked] == pytest.approx(gained[~kinked], rel=1e-5)


def test_bandwidth_at_price_is_lamberts_function_over_the_whole_range():
    """The equation B = s z / (1 - z), z = -W_0(-e^-(1+c)), from c = 1e-14 (B beyond 1e6 s) to c = 600 (B = 1e-261 s)."""
    price = 10 ** np.random.default_rng(4).uniform(-14, 2.778, 300)
    bandwidth = shannon_bandwidth_at_price_hz(price, 1e7)
    with mpmath.workdps(60):
        for c, b in zip(price, bandwidth, strict=True):
            z = -mpmath.lambertw(-mpmath.exp(-(1 + mpmath.mpf(c)))).real
            exact = mpmath.mpf(1e7) * z / (1 - z)
            assert abs(b - exact) <= mpmath.mpf("1e-12") * exact


def test_bandwidth_at_price_takes_few_steps(monkeypatch):
    """Newton's method from above and close by: as near the branch point as far from it."""
    steps, derivative = [], Shannon.derivative
    monkeypatch.setattr(Shannon, "derivative", lambda *arguments, **side: steps.append(1) or derivative(*arguments, **side))
    for price in 10.0 ** np.linspace(-14, 2.7, 30):
        steps.clear()
        shannon_bandwidth_at_price_hz([price], 1e7)
        assert len(steps) <= 4


def test_bandwidth_at_price_inverts_the_marginal_rate():
    bandwidth = 10.0 ** np.arange(0, 15)
    price = Shannon().derivative(bandwidth, 1e7) * LN2
    assert shannon_bandwidth_at_price_hz(price, 1e7) == pytest.approx(bandwidth, rel=1e-12)
