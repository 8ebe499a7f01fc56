"""What must hold for every problem: more of a good thing never hurts, names and units do not matter."""

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cosim.alloc.baselines import EqualBandwidth
from cosim.alloc.kkt import KKT
from cosim.alloc.problem import check_allocation, least_feasible_threshold, unpruned_latency
from cosim.interfaces import AllocationProblem
from cosim.rate import Blocks, ErgodicRayleigh, Shannon, TruncatedShannon

RATES = [Shannon(), ErgodicRayleigh(), TruncatedShannon(), Blocks(Shannon(), 180e3), Blocks(TruncatedShannon(), 180e3)]
TIGHTNESS = st.floats(0.01, 0.99)
FEW = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def problems(draw, rates=RATES, tightness=TIGHTNESS):
    """Feasible problems; gains over six orders of magnitude, some parts absent."""
    devices = draw(st.integers(1, 6))

    def each(low, high):
        return np.array(draw(st.lists(st.floats(low, high), min_size=devices, max_size=devices)))

    bits = 10 ** each(5, 7)
    problem = AllocationProblem(
        round=0,
        device_ids=np.arange(devices),
        weight=each(0.1, 2),
        fixed_time_s=each(0, 0.5),
        prunable_time_s=each(0, 0.5) * draw(st.sampled_from([0.0, 1.0])),
        fixed_bits=bits * each(0, 0.5) * draw(st.sampled_from([0.0, 1.0])),
        prunable_bits=bits,
        snr_hz=10 ** each(5, 11),
        prune_max=each(0.2, 1.0),
        bandwidth_hz=draw(st.floats(1e5, 1e8)),
        latency_threshold_s=1.0,
        rate=draw(st.sampled_from(rates)),
    )
    least, most = least_feasible_threshold(problem), unpruned_latency(problem)
    return dataclasses.replace(problem, latency_threshold_s=max(0.0, least * (1 + 1e-9) + draw(tightness) * (most - least)))


def solve(problem):
    answer = KKT().allocate(problem, np.random.default_rng(0))
    check_allocation(problem, answer)
    assert answer.certificate.worst <= 1e-9
    return answer


def slack(problem):
    return 1e-9 * problem.weight.sum()


@FEW
@given(problems(), st.floats(1.0, 3.0), st.sampled_from(["bandwidth_hz", "latency_threshold_s", "snr_hz"]))
def test_more_never_hurts(problem, factor, what):
    more = dataclasses.replace(problem, **{what: getattr(problem, what) * factor})
    before = solve(problem)
    assert before.feasible
    assert solve(more).objective <= before.objective + slack(problem)


@FEW
@given(problems(), st.randoms(use_true_random=False))
def test_order_does_not_matter(problem, random):
    order = np.array(random.sample(range(problem.device_ids.size), problem.device_ids.size))
    per_device = ("device_ids", "weight", "fixed_time_s", "prunable_time_s", "fixed_bits", "prunable_bits", "snr_hz", "prune_max")
    other = dataclasses.replace(problem, **{name: getattr(problem, name)[order] for name in per_device})
    here, there = solve(problem), solve(other)
    assert there.objective == pytest.approx(here.objective, rel=1e-9, abs=slack(problem))
    assert there.bandwidth_hz == pytest.approx(here.bandwidth_hz[order], rel=1e-6, abs=1e-9 * problem.bandwidth_hz)


@FEW
@given(problems(rates=[Shannon(), ErgodicRayleigh(), TruncatedShannon()]), st.tuples(*[st.floats(1e-3, 1e3)] * 3))
def test_units_do_not_matter(problem, units):
    """Time, frequency and weight in other units; bits follow from the first two."""
    time, frequency, weight = units
    other = dataclasses.replace(
        problem,
        weight=weight * problem.weight,
        fixed_time_s=time * problem.fixed_time_s,
        prunable_time_s=time * problem.prunable_time_s,
        latency_threshold_s=time * problem.latency_threshold_s,
        fixed_bits=time * frequency * problem.fixed_bits,
        prunable_bits=time * frequency * problem.prunable_bits,
        snr_hz=frequency * problem.snr_hz,
        bandwidth_hz=frequency * problem.bandwidth_hz,
    )
    here, there = solve(problem), solve(other)
    assert there.objective == pytest.approx(weight * here.objective, rel=1e-8, abs=weight * slack(problem))
    assert there.multiplier == pytest.approx(here.multiplier * weight / frequency, rel=1e-6)


@FEW
@given(problems(tightness=st.floats(-0.3, 0.9)))
def test_equal_bandwidth_is_never_better(problem):
    plain = EqualBandwidth().allocate(problem, np.random.default_rng(0))
    check_allocation(problem, plain)
    best = solve(problem)
    if plain.feasible:
        assert best.feasible
        assert best.objective <= plain.objective + slack(problem)
    assert best.selected.sum() >= plain.selected.sum()
