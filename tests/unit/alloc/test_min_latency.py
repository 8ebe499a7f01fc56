"""Least latency at given ratios: the certificate knows the best from the second best."""

import dataclasses

import numpy as np
import pytest

from cosim.alloc.baselines import PersonalizationOnly
from cosim.alloc.min_latency import MinLatency, certify_latency
from cosim.alloc.problem import check_allocation, least_feasible_threshold, make_allocation
from cosim.rate import Blocks

RNG = np.random.default_rng(0)
NOTHING = ("fixed_time_s", "prunable_time_s", "fixed_bits", "prunable_bits")


def test_every_answer_is_certified(random_problem, rate):
    rng = np.random.default_rng(1)
    for devices in (1, 5, 20):
        problem = random_problem(rng, devices, rate)
        answer = MinLatency(prune_ratio=0.4).allocate(problem, RNG)
        check_allocation(problem, answer)
        assert answer.certificate.worst <= 1e-11
        assert np.all(answer.prune_ratio == np.minimum(0.4, problem.prune_max))


def test_the_gap_bounds_what_another_choice_loses(random_problem, rate):
    """The bound is rigorous: a choice that is d slower than the best has a gap of at least d."""
    rng = np.random.default_rng(2)
    problem = random_problem(rng, 5, rate)
    best = MinLatency().allocate(problem, RNG)
    for scale in (1e-3, 1e-2, 0.3):
        share = best.bandwidth_hz * np.exp(scale * rng.standard_normal(5))
        other = make_allocation(problem, best.selected, best.prune_ratio, share * (problem.bandwidth_hz / share.sum()))
        loss = 1 - best.latency_s.max() / other.latency_s.max()
        assert loss > 0
        assert certify_latency(problem, other).gap >= loss * (1 - 1e-9)


def test_too_much_bandwidth_is_told(random_problem, rate):
    problem = random_problem(np.random.default_rng(3), 5, rate)
    best = MinLatency().allocate(problem, RNG)
    beyond = dataclasses.replace(best, bandwidth_hz=best.bandwidth_hz * 1.1)
    used = best.bandwidth_hz.sum() / problem.bandwidth_hz
    assert certify_latency(problem, beyond).primal == pytest.approx(max(0.0, 1.1 * used - 1.0), abs=1e-9)


def test_ratio_zero_is_personalization_only(random_problem, rate):
    problem = random_problem(np.random.default_rng(4), 6, rate)
    mine, baseline = MinLatency(prune_ratio=0.0).allocate(problem, RNG), PersonalizationOnly().allocate(problem, RNG)
    assert np.array_equal(mine.bandwidth_hz, baseline.bandwidth_hz)


def test_ratio_one_reaches_the_least_feasible_threshold(random_problem, rate):
    problem = random_problem(np.random.default_rng(5), 6, rate)
    answer = MinLatency(prune_ratio=1.0).allocate(problem, RNG)
    assert answer.latency_s.max() == pytest.approx(least_feasible_threshold(problem), rel=1e-9)
    assert answer.feasible


def test_nobody_and_nothing_to_do_are_best_as_they_are(problem):
    for some in (problem(0), problem(2, snr_hz=[0.0, 0.0]), problem(2, **dict.fromkeys(NOTHING, np.zeros(2)))):
        assert dataclasses.astuple(MinLatency().allocate(some, RNG).certificate) == (0.0,) * 5


def test_the_certificate_does_not_depend_on_units(random_problem, rate):
    """In MHz, and in minutes, of an answer that is not the best: the band is a few units."""
    problem = random_problem(np.random.default_rng(6), 5, rate)
    best = MinLatency().allocate(problem, RNG)
    share = best.bandwidth_hz * np.linspace(0.5, 1.0, 5)
    here = certify_latency(problem, make_allocation(problem, best.selected, best.prune_ratio, share))
    units = {"fixed_bits": 60e-6, "prunable_bits": 60e-6, "snr_hz": 1e-6, "bandwidth_hz": 1e-6, "fixed_time_s": 60, "prunable_time_s": 60}
    other = dataclasses.replace(problem, **{name: unit * getattr(problem, name) for name, unit in units.items()})
    if isinstance(rate, Blocks):
        other = dataclasses.replace(other, rate=Blocks(rate.rate, 1e-6 * rate.block_hz))
    there = certify_latency(other, make_allocation(other, best.selected, best.prune_ratio, 1e-6 * share))
    assert here.worst > 1e-3
    assert dataclasses.astuple(there) == pytest.approx(dataclasses.astuple(here), rel=1e-6, abs=1e-12)


def test_the_certificate_notices_negative_bandwidth(problem):
    """Of a device with nothing to send: its latency is right whatever its share."""
    some = problem(3, fixed_bits=[0.0, 1e5, 1e5], prunable_bits=[0.0, 1e6, 1e6])
    best = MinLatency().allocate(some, RNG)
    negative = dataclasses.replace(best, bandwidth_hz=np.where(np.arange(3) == 0, -0.01 * some.bandwidth_hz, best.bandwidth_hz))
    assert best.certificate.primal <= 1e-12
    assert certify_latency(some, negative).primal == pytest.approx(0.01, rel=1e-9)


def test_who_has_nothing_to_send_gets_no_bandwidth(problem, rate):
    some = problem(3, rate=rate, fixed_time_s=[9.0, 0.1, 0.1], fixed_bits=[0.0, 1e5, 1e5], prunable_bits=[0.0, 1e6, 1e6])
    answer = MinLatency().allocate(some, RNG)
    check_allocation(some, answer)
    assert answer.bandwidth_hz[0] == 0
    assert answer.latency_s == pytest.approx(np.full(3, 9.05), rel=1e-12)
    assert answer.certificate.worst <= 1e-12  # whoever is last, of three that finish together up to rounding


def test_nothing_is_faster_where_all_wait_for_who_has_nothing_to_send(problem):
    some = problem(3, fixed_time_s=[0.1, 0.1, 9.0], fixed_bits=[1e5, 1e5, 0.0], prunable_bits=[1e6, 1e6, 0.0])
    equal = make_allocation(some, np.ones(3, bool), np.full(3, 0.5), np.full(3, some.bandwidth_hz / 3))
    assert equal.latency_s.argmax() == 2
    assert certify_latency(some, equal).worst <= 1e-12


def test_the_bound_is_the_higher_one(problem):
    """That of the device that more bandwidth does not help, where most of the band is idle; else that of the others, which is exact."""
    some = problem(3, fixed_time_s=[9.0, 0.1, 0.1], fixed_bits=[0.0, 1e5, 1e5], prunable_bits=[0.0, 1e6, 1e6])
    slow = make_allocation(some, np.ones(3, bool), np.full(3, 0.5), np.array([0.0, 4e3, 4e3]))
    assert slow.latency_s[0] < slow.latency_s[1]
    assert certify_latency(some, slow).gap == pytest.approx(1.0 - slow.latency_s[0] / slow.latency_s[1], rel=1e-9)
    quick = dataclasses.replace(some, fixed_time_s=np.full(3, 0.1))
    answer = MinLatency().allocate(quick, RNG)
    assert answer.latency_s[0] < 0.5 * answer.latency_s[1]
    assert answer.certificate.worst <= 1e-12
