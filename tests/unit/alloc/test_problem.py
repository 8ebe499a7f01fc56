"""Problems and answers that are not valid, and the thresholds within reach."""

import dataclasses

import numpy as np
import pytest

from cosim.alloc.closed_forms import bandwidth_range_hz, planned_latency_s
from cosim.alloc.kkt import KKT
from cosim.alloc.problem import check_allocation, falling_root, least_feasible_threshold, make_allocation, subset, unpruned_latency
from cosim.errors import AllocationError
from cosim.rate import ErgodicRayleigh, Shannon


@pytest.mark.parametrize(("fields", "message"), [
    ({"weight": [1.0, -1.0, 1.0]}, r"weight of device 1 is -1\.0, must be in \[0, 1e\+100\]"),
    ({"snr_hz": [1e8, np.nan, 1e8]}, r"snr_hz of device 1 is nan"),
    ({"snr_hz": [1e8, np.inf, 1e8]}, r"snr_hz of device 1 is inf"),
    ({"fixed_time_s": [0.1, np.nan, 0.1]}, r"fixed_time_s of device 1 is nan"),
    ({"prunable_time_s": [0.1, 0.1, -0.1]}, r"prunable_time_s of device 2 is -0\.1"),
    ({"fixed_bits": [-1.0, 0.0, 0.0]}, r"fixed_bits of device 0 is -1\.0"),
    ({"prunable_bits": [1e6, 1e6, np.inf]}, r"prunable_bits of device 2 is inf"),
    ({"prune_max": [0.5, 0.5, 1.5]}, r"prune_max of device 2 is 1\.5, must be in \[0, 1\]"),
    ({"prunable_bits": [1e6, 1e6]}, r"prunable_bits has shape \(2,\), but there are 3 device_ids: it must be \(3,\)"),
    ({"fixed_bits": 1e5}, r"fixed_bits has shape \(\)"),
    ({"bandwidth_hz": 0.0}, r"bandwidth_hz is 0\.0 Hz, must be positive"),
    ({"bandwidth_hz": np.nan}, r"bandwidth_hz is nan"),
    ({"latency_threshold_s": -1.0}, r"latency_threshold_s is -1\.0 s"),
    ({"latency_threshold_s": np.inf}, r"latency_threshold_s is inf"),
], ids=lambda case: ",".join(case) if isinstance(case, dict) else "")  # fmt: skip
def test_broken_problems(problem, fields, message):
    with pytest.raises(AllocationError, match=message):
        problem(3, **fields)


def test_numbers_become_arrays(problem):
    made = problem(3, weight=2, prune_max=0.5, fixed_bits=[1, 2, 3])
    assert made.weight.tolist() == [2.0, 2.0, 2.0]
    assert made.prune_max.dtype == made.fixed_bits.dtype == np.float64


def altered(problem, **changes):
    answer = KKT().allocate(problem, np.random.default_rng(0))
    return dataclasses.replace(
        answer, **{name: change(getattr(answer, name).copy()) if callable(change) else change for name, change in changes.items()}
    )


def with_first(value):
    def change(array):
        array[0] = value
        return array

    return change


@pytest.mark.parametrize(("changes", "message"), [
    ({"bandwidth_hz": lambda b: b[:-1]}, r"bandwidth_hz has shape \(2,\), must be \(3,\)"),
    ({"bandwidth_hz": with_first(np.nan)}, r"device 0: bandwidth_hz is not finite"),
    ({"bandwidth_hz": with_first(-5.0)}, r"device 0: bandwidth_hz is below 0 \(-5 against 0, difference -5\)"),
    ({"bandwidth_hz": with_first(0.0)}, r"device 0: selected, but its upload never ends: more band, or selected=False; bandwidth_hz \(0\); 1 device"),
    ({"bandwidth_hz": lambda b: 2 * b}, r"latency_s is not the planned latency"),
    ({"prune_ratio": with_first(-0.5)}, r"prune_ratio is below 0"),
    ({"prune_ratio": with_first(0.95)}, r"prune_ratio is above prune_max \(0\.95 against 0\.9, difference 0\.05\); 1 device"),
    ({"prune_ratio": with_first(np.nan)}, r"prune_ratio"),
    ({"latency_s": with_first(1.0)}, r"latency_s is not the planned latency t\(rho, B\) \(1 against"),
    ({"latency_s": with_first(np.nan)}, r"latency_s is not the planned latency"),
    ({"objective": 0.1}, r"objective is 0\.1, but sum of weight \* prune_ratio is"),
    ({"objective": np.nan}, r"objective is nan"),
    ({"multiplier": -1.0}, r"multiplier is -1\.0"),
    ({"selected": with_first(False)}, r"device 0: bandwidth_hz of a device that is not selected must be 0"),
    ({"selected": with_first(False), "bandwidth_hz": with_first(0.0)}, r"prune_ratio of a device that is not selected must be 1"),
    ({"selected": with_first(False), "bandwidth_hz": with_first(0.0), "prune_ratio": with_first(1.0)}, r"latency_s of a device that is not selected"),
    ({"selected": with_first(False), "bandwidth_hz": with_first(0.0), "prune_ratio": with_first(1.0), "latency_s": with_first(np.inf)}, r"feasible=True, but this device is not selected"),
])  # fmt: skip
def test_broken_answers(problem, changes, message):
    some = problem(3)
    check_allocation(some, altered(some))
    with pytest.raises(AllocationError, match=message):
        check_allocation(some, altered(some, **changes))


def test_more_than_the_band(problem):
    some = problem(2)
    greedy = make_allocation(some, np.ones(2, bool), np.full(2, 0.5), np.array([3.5e5, 1e5]))
    with pytest.raises(AllocationError, match=r"the shares sum to 450000 Hz, 250000 Hz above the band of 200000 Hz"):
        check_allocation(some, greedy)
    a_little = make_allocation(some, np.ones(2, bool), np.full(2, 0.5), np.array([1e5, 1e5 + 0.5]))
    with pytest.raises(AllocationError, match=r"the shares sum to 200000\.5 Hz, 0\.5 Hz above"):
        check_allocation(some, a_little)


@pytest.mark.parametrize("weight", [1e-9, 1.0, 1e9])
def test_an_objective_is_right_to_1e_9_of_itself(problem, weight):
    some = problem(3, weight=weight, bandwidth_hz=1e5)
    exact = altered(some).objective
    for error in (-1e-10, 1e-10):
        check_allocation(some, altered(some, objective=exact * (1 + error)))
    for error in (-1e-6, 1e-6):
        with pytest.raises(AllocationError, match="but sum of weight"):
            check_allocation(some, altered(some, objective=exact * (1 + error)))


def test_the_threshold_binds_only_who_claims_to_meet_it(problem):
    some = problem(2)
    slow = make_allocation(some, np.ones(2, bool), np.zeros(2), np.full(2, 1e4))
    assert not slow.feasible
    check_allocation(some, slow)
    with pytest.raises(AllocationError, match=r"feasible=True, but latency_s is above latency_threshold_s \([\d.]+ against 2,"):
        check_allocation(some, dataclasses.replace(slow, feasible=True))


def test_rounding_above_the_band_is_taken_back(problem):
    thirds = make_allocation(problem(3), np.ones(3, bool), np.full(3, 0.5), np.full(3, 2e5 / 3) * (1 + 1e-15))
    assert thirds.bandwidth_hz.sum() <= 2e5


def test_unpruned_latency_is_the_least_common_finish(random_problem, rate):
    problem = random_problem(np.random.default_rng(1), 20, rate)
    threshold = unpruned_latency(problem)
    at = dataclasses.replace(problem, latency_threshold_s=threshold, prune_max=np.zeros(20))
    assert bandwidth_range_hz(at)[0].sum() == pytest.approx(problem.bandwidth_hz, rel=1e-9)
    less = dataclasses.replace(at, latency_threshold_s=threshold * (1 - 1e-9))
    assert bandwidth_range_hz(less)[0].sum() > problem.bandwidth_hz


def test_least_feasible_threshold_is_the_border(random_problem, rate):
    problem = random_problem(np.random.default_rng(2), 20, rate)
    threshold = least_feasible_threshold(problem)
    for factor, fits in ((1 + 1e-9, True), (1 - 1e-9, False)):
        at = dataclasses.replace(problem, latency_threshold_s=threshold * factor)
        assert (bandwidth_range_hz(at)[0].sum() <= problem.bandwidth_hz) == fits
    assert threshold < unpruned_latency(problem)


def test_thresholds_of_alike_devices(problem):
    """Four alike devices get a quarter of the band each: t = 0.1 + 0.1 + 1.1 Mbit / R(50 kHz)."""
    assert unpruned_latency(problem(4)) == pytest.approx(0.2 + 1.1e6 / float(Shannon().value(5e4, 1e8)), rel=1e-12)
    assert least_feasible_threshold(problem(4)) == pytest.approx(0.11 + 2e5 / float(Shannon().value(5e4, 1e8)), rel=1e-12)


def test_thresholds_do_not_depend_on_units(random_problem):
    """In MHz and Mbit, where all of the band is a few units and each device has a fraction of one."""
    some = random_problem(np.random.default_rng(7), 9, Shannon())
    fields = ("fixed_bits", "prunable_bits", "snr_hz", "bandwidth_hz")
    other = dataclasses.replace(some, **{name: 1e-7 * getattr(some, name) for name in fields})
    assert unpruned_latency(other) == pytest.approx(unpruned_latency(some), rel=1e-12)
    assert least_feasible_threshold(other) == pytest.approx(least_feasible_threshold(some), rel=1e-12)


@pytest.mark.parametrize("smooth", [Shannon(), ErgodicRayleigh()], ids=repr)
def test_smooth_rates_need_no_search_for_thresholds(random_problem, smooth, monkeypatch):
    """Newton's method finds the common finish; the search behind it is for those at which it does not settle."""
    monkeypatch.setattr("cosim.alloc.problem.falling_root", None)
    for seed in range(5):
        assert unpruned_latency(random_problem(np.random.default_rng(seed), 20, smooth)) > 0


def test_thresholds_without_reachable_devices(problem):
    assert unpruned_latency(problem(0)) == 0
    assert unpruned_latency(problem(2, snr_hz=[0.0, 0.0])) == 0
    one = problem(3, snr_hz=[0.0, 1e8, 1e8], fixed_time_s=[0.1, np.inf, 0.1])
    assert unpruned_latency(one) == pytest.approx(unpruned_latency(problem(1)), rel=1e-12)


def test_a_slow_device_alone_sets_the_threshold(problem):
    slow = problem(3, fixed_time_s=[0.1, 0.1, 1e6])
    assert unpruned_latency(slow) == pytest.approx(1e6 + 0.1 + float(planned_latency_s(slow, 0.0, 2e5)[0]) - 0.2, rel=1e-9)


def test_subset_keeps_order_and_the_rest(problem):
    some = problem(4, snr_hz=[1.0, 2.0, 3.0, 4.0])
    part = subset(some, np.array([True, False, True, False]))
    assert part.snr_hz.tolist() == [1.0, 3.0]
    assert part.device_ids.tolist() == [0, 2]
    assert part.bandwidth_hz == some.bandwidth_hz


@pytest.mark.parametrize("root", [0.0, 1e-3, 0.5, 1.0, 1.999, 2.0])
def test_falling_root(root):
    calls = []

    def smooth(x):
        calls.append(x)
        return np.exp(-3 * x) - np.exp(-3 * root)

    assert falling_root(smooth, 0.0, 2.0) == pytest.approx(root, abs=1e-13)
    assert len(calls) <= 50  # as many as bisection's, where a trial hits the root by chance


@pytest.mark.parametrize("root", [0.3, 1.234, 1.7])
def test_a_falling_root_of_a_gentle_function_takes_few_trials(root):
    """Bisection would take 49."""
    for function in (lambda x: np.exp(root - x) - 1.0, lambda x: -np.expm1(x - root), lambda x: np.tanh(root - x)):
        calls = []
        falling_root(lambda x, function=function, calls=calls: calls.append(x) or function(x), 0.0, 2.0)
        assert len(calls) <= 13


@pytest.mark.parametrize("steep", [1e-3, 1.0, 30.0, 300.0])
@pytest.mark.parametrize("root", [1e-9, 0.3, 1.0, 1.7])
def test_a_falling_root_is_never_found_much_later_than_by_bisection(root, steep):
    """ITP promises one step more at most, whatever the function: bends, cliffs, plateaus."""
    for function in (
        lambda x: np.exp(steep * (root - x)) - 1.0,
        lambda x: -np.expm1(steep * (x - root)),
        lambda x: np.tanh(steep * (root - x)),
        lambda x: float(root > x) - 0.5,
        lambda x: np.cbrt(root - x),
        lambda x: (root - x) ** 9,
    ):
        calls = []

        def counted(x, function=function, calls=calls):
            calls.append(x)
            return function(x)

        found = falling_root(counted, 0.0, 2.0)
        assert function(found) <= 0
        assert found == pytest.approx(root, abs=1e-13) or function(found) == 0
        assert len(calls) <= 2 + np.ceil(np.log2(1 / 1e-14)) + 1


def test_a_function_that_does_not_fall_far_enough_has_its_root_at_the_end():
    assert falling_root(lambda x: 1.0, 0.0, 2.0) == pytest.approx(2.0, rel=1e-13)
    assert falling_root(lambda x: 2.0 - x + 1e-9, 0.0, 2.0) == pytest.approx(2.0, rel=1e-13)


def test_falling_root_of_a_jump():
    assert falling_root(lambda x: 1.0 if x < 0.7 else -1.0, 0.0, 2.0) == pytest.approx(0.7, abs=1e-13)
    assert falling_root(lambda x: np.inf if x < 0.7 else 0.7 - x, 0.0, 2.0) == pytest.approx(0.7, abs=1e-13)
