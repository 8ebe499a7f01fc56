"""Baselines: each does what its rule says."""

import numpy as np
import pytest
from pydantic import ValidationError

from cosim.alloc.baselines import ChannelProportional, EqualBandwidth, FixedRatio, PersonalizationOnly, PersonalizationSelected
from cosim.alloc.kkt import KKT
from cosim.alloc.min_latency import MinLatency
from cosim.alloc.problem import check_allocation, unpruned_latency
from cosim.rate import Shannon

RNG = np.random.default_rng(0)


def test_personalization_only_lets_all_finish_together(random_problem, rate):
    problem = random_problem(np.random.default_rng(1), 20, rate)
    answer = PersonalizationOnly().allocate(problem, RNG)
    check_allocation(problem, answer)
    assert np.all(answer.prune_ratio == 0)
    assert answer.objective == 0
    assert answer.latency_s == pytest.approx(np.full(20, unpruned_latency(problem)), rel=1e-9)
    assert answer.bandwidth_hz.sum() == pytest.approx(problem.bandwidth_hz, rel=1e-9)
    assert not answer.feasible  # half-way to the unpruned latency
    assert np.isnan(answer.multiplier)


def test_personalization_only_is_the_fastest_without_pruning(random_problem, rate):
    """No other shares, near or far, have a smaller largest latency."""
    rng = np.random.default_rng(2)
    problem = random_problem(rng, 5, rate)
    best = PersonalizationOnly().allocate(problem, RNG)
    for _ in range(200):
        shares = best.bandwidth_hz * np.exp(rng.choice([1e-4, 1e-2, 1.0]) * rng.standard_normal(5))
        shares *= problem.bandwidth_hz / shares.sum()
        bits = problem.fixed_bits + problem.prunable_bits
        slowest = np.max(problem.fixed_time_s + problem.prunable_time_s + bits / problem.rate.value(shares, problem.snr_hz))
        assert slowest >= best.latency_s.max() * (1 - 1e-12)


def test_personalization_only_says_feasible_when_it_is(random_problem, rate):
    problem = random_problem(np.random.default_rng(3), 5, rate, tightness=1.0 + 1e-9)
    answer = PersonalizationOnly().allocate(problem, RNG)
    check_allocation(problem, answer)
    assert answer.feasible


def test_personalization_only_leaves_out_whom_no_bandwidth_reaches(problem):
    some = problem(3, snr_hz=[0.0, 1e8, 1e8], fixed_time_s=[0.1, np.inf, 0.1])
    answer = PersonalizationOnly().allocate(some, RNG)
    check_allocation(some, answer)
    assert answer.selected.tolist() == [False, False, True]
    assert answer.bandwidth_hz[2] == pytest.approx(some.bandwidth_hz, rel=1e-9)


def test_equal_bandwidth_is_equal_and_tight(random_problem, rate):
    problem = random_problem(np.random.default_rng(4), 20, rate, tightness=0.1)
    answer = EqualBandwidth().allocate(problem, RNG)
    check_allocation(problem, answer)
    assert 0 < answer.selected.sum() < 20
    assert answer.bandwidth_hz[answer.selected] == pytest.approx(problem.bandwidth_hz / 20, rel=1e-12)
    pruned = answer.selected & (answer.prune_ratio > 0)
    assert answer.latency_s[pruned] == pytest.approx(problem.latency_threshold_s, rel=1e-12)
    assert np.all(answer.latency_s[answer.selected] <= problem.latency_threshold_s * (1 + 1e-12))


def test_equal_bandwidth_is_never_better_than_the_optimum(random_problem, rate):
    rng = np.random.default_rng(5)
    for tightness in (0.1, 0.5, 0.9):
        problem = random_problem(rng, 12, rate, tightness=tightness)
        best, plain = KKT().allocate(problem, RNG), EqualBandwidth().allocate(problem, RNG)
        assert best.objective < plain.objective


def test_channel_proportional_shares_follow_the_rate(random_problem, rate):
    problem = random_problem(np.random.default_rng(6), 20, rate, tightness=0.3)
    answer = ChannelProportional().allocate(problem, RNG)
    check_allocation(problem, answer)
    assert 0 < answer.selected.sum() < 20
    alone = rate.value(problem.bandwidth_hz, problem.snr_hz)
    expected = problem.bandwidth_hz * alone / alone.sum()
    assert answer.bandwidth_hz[answer.selected] == pytest.approx(expected[answer.selected], rel=1e-12)
    pruned = answer.selected & (answer.prune_ratio > 0)
    assert answer.latency_s[pruned] == pytest.approx(problem.latency_threshold_s, rel=1e-12)


def test_fixed_ratio_serves_whom_it_can_as_fast_as_it_can(random_problem, rate):
    problem = random_problem(np.random.default_rng(7), 20, rate, tightness=0.05)
    answer = FixedRatio(prune_ratio=0.2).allocate(problem, RNG)
    check_allocation(problem, answer)
    chosen = answer.selected
    assert 0 < chosen.sum() < 20
    assert not answer.feasible
    assert answer.latency_s[chosen].max() <= problem.latency_threshold_s * (1 + 1e-12)
    assert np.all(answer.prune_ratio[chosen] == np.minimum(0.2, problem.prune_max[chosen]))


def test_fixed_ratio_is_a_half_unless_told(random_problem):
    problem = random_problem(np.random.default_rng(7), 9, Shannon())
    answer = FixedRatio().allocate(problem, RNG)
    assert np.all(answer.prune_ratio[answer.selected] == np.minimum(0.5, problem.prune_max[answer.selected]))


def test_fixed_ratio_zero_is_personalization_selected(random_problem, rate):
    problem = random_problem(np.random.default_rng(8), 20, rate, tightness=0.3)
    one, other = FixedRatio(prune_ratio=0.0).allocate(problem, RNG), PersonalizationSelected().allocate(problem, RNG)
    assert np.array_equal(one.bandwidth_hz, other.bandwidth_hz)
    assert 0 < one.selected.sum() < 20


def test_personalization_selected_is_personalization_only_where_all_can_be_served(random_problem, rate):
    problem = random_problem(np.random.default_rng(9), 6, rate, tightness=1.0 + 1e-9)
    one, other = PersonalizationSelected().allocate(problem, RNG), PersonalizationOnly().allocate(problem, RNG)
    assert one.feasible
    assert np.array_equal(one.bandwidth_hz, other.bandwidth_hz)


@pytest.mark.parametrize("allocator", [FixedRatio, MinLatency], ids=lambda kind: kind.__name__)
def test_ratios_are_from_0_to_1(allocator):
    assert allocator(prune_ratio=0.0) != allocator(prune_ratio=1.0)
    for ratio in (-1e-9, 1.0 + 1e-9, np.nan):
        with pytest.raises(ValidationError, match="prune_ratio"):
            allocator(prune_ratio=ratio)


ALL = [PersonalizationOnly(), PersonalizationSelected(), FixedRatio(), EqualBandwidth(), ChannelProportional()]


@pytest.mark.parametrize("allocator", ALL, ids=repr)
def test_no_device(problem, rate, allocator):
    answer = allocator.allocate(problem(0, rate=rate), RNG)
    check_allocation(problem(0), answer)
    assert answer.objective == 0
