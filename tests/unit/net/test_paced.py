"""Processors whose speed changes in time, and heavy tails: moments, integrals, purity."""

import numpy as np
import pytest

from cosim.net.compute import Pareto
from cosim.net.paced import BackgroundLoad, TwoState
from cosim.rng import Streams

KINDS = [TwoState(slowdown=4.0, mean_normal_s=3.0, mean_slow_s=1.0), BackgroundLoad(load_low=0.1, load_high=0.7, mean_period_s=2.0)]


def test_pareto_moments_and_tail():
    model = Pareto(shape=3.0)
    factor = np.concatenate([model.factor(s, 100, Streams(1)) for s in range(500)])
    assert (factor >= 1).all()
    assert factor.mean() == pytest.approx(1.5, rel=0.015)  # 4 standard deviations of 0.0039
    assert (factor > 2).mean() == pytest.approx(1 / 8, abs=4 * 0.33 / np.sqrt(50_000))
    assert model.mean_factor == pytest.approx(1.5)


@pytest.mark.parametrize("kind", KINDS, ids=["two_state", "background_load"])
def test_short_work_has_the_mean_factor_and_long_work_the_mean_speed(kind):
    pace, ids = kind.start(4000, Streams(2)), np.arange(4000)
    short = pace.elapsed_s(np.zeros(4000), np.full(4000, 1e-6), ids) / 1e-6
    assert short.mean() == pytest.approx(kind.mean_factor, rel=0.05)
    some = ids[:50]
    long_s = pace.elapsed_s(np.zeros(50), np.full(50, 400.0), some)
    speed = 0.75 + 0.25 / 4 if isinstance(kind, TwoState) else 0.6
    assert (400.0 / long_s).mean() == pytest.approx(speed, rel=0.02)


@pytest.mark.parametrize("kind", KINDS, ids=["two_state", "background_load"])
def test_work_in_pieces_takes_as_long_as_at_once(kind):
    pace, ids = kind.start(20, Streams(3)), np.arange(20)
    start = np.linspace(0.0, 30.0, 20)
    first = pace.elapsed_s(start, np.full(20, 2.0), ids)
    second = pace.elapsed_s(start + first, np.full(20, 5.0), ids)
    np.testing.assert_allclose(first + second, pace.elapsed_s(start, np.full(20, 7.0), ids), rtol=1e-9)
    np.testing.assert_array_equal(pace.elapsed_s(start, np.zeros(20), ids), 0.0)


@pytest.mark.parametrize("kind", KINDS, ids=["two_state", "background_load"])
def test_order_and_other_devices_do_not_matter(kind):
    late = kind.start(10, Streams(4)).elapsed_s(np.array([500.0]), np.array([3.0]), np.array([7]))
    pace = kind.start(8, Streams(4))
    pace.elapsed_s(np.zeros(8), np.full(8, 1.0), np.arange(8))
    np.testing.assert_array_equal(pace.elapsed_s(np.array([500.0]), np.array([3.0]), np.array([7])), late)
    np.testing.assert_array_equal(kind.factor(3, 8, Streams(4)), kind.factor(3, 10, Streams(4))[:8])
