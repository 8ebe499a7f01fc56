"""Gauss-Markov motion against its theory."""

import numpy as np
import pytest
from pydantic import ValidationError

from cosim.net.gauss_markov import GaussMarkov
from cosim.rng import Streams

AREA = (300.0, 200.0)


def moved(model, times, devices, seed=1, area=AREA):
    return model.start(area, devices, Streams(seed)).at(np.asarray(times, dtype=float), np.arange(devices))


def test_speed_is_normal_at_any_time_with_correlation_memory_to_the_k():
    # 4000 independent devices: a correlation's standard error is at most 1/sqrt(4000) = 0.016; four of them
    model = GaussMarkov(memory=0.8, mean_speed_m_s=20.0, speed_sd_m_s=2.0)
    speed = moved(model, [0.0, 1.0, 2.0, 5.0, 40.0, 41.0], 4000).speed_m_s
    np.testing.assert_allclose(speed.mean(axis=1), 20.0, atol=4 * 2 / np.sqrt(4000))
    np.testing.assert_allclose(speed.std(axis=1), 2.0, rtol=4 / np.sqrt(2 * 4000))
    for row, lag in ((1, 1), (2, 2), (3, 5), (4, 40)):
        assert np.corrcoef(speed[0], speed[row])[0, 1] == pytest.approx(0.8**lag, abs=0.064)
    assert np.corrcoef(speed[4], speed[5])[0, 1] == pytest.approx(0.8, abs=0.064)


def test_directions_wander_about_each_devices_mean():
    # an area wide enough that nobody meets an edge between the two looks
    model = GaussMarkov(memory=0.5, speed_sd_m_s=0.0, direction_sd_deg=30.0)
    steps = moved(model, np.arange(0.0, 201.0), 600, area=(1e7, 1e7))
    heading = np.unwrap(np.arctan2(np.diff(steps.y_m, axis=0), np.diff(steps.x_m, axis=0)), axis=0)
    own = heading - heading.mean(axis=0)
    # 200 steps of correlation 0.5 hold 200 / 3 independent ones, 600 devices: standard error of the deviation below 0.5 %
    assert np.rad2deg(own.std()) == pytest.approx(30.0, rel=0.03)
    assert np.mean(own[1:] * own[:-1]) / own.var() == pytest.approx(0.5, abs=0.03)


def test_positions_stay_uniform_and_inside():
    x, y = (moved(GaussMarkov(mean_speed_m_s=30.0), [0.0, 17.3, 400.0], 4000).__getattribute__(f"{axis}_m") for axis in "xy")
    for values, length in ((x, 300.0), (y, 200.0)):
        assert values.min() >= 0
        assert values.max() <= length
        for row in values:  # Kolmogorov-Smirnov at 0.1 %: 1.95 / sqrt(n)
            steps = np.sort(row) / length
            assert np.abs(steps - (np.arange(4000) + 0.5) / 4000).max() < 1.95 / np.sqrt(4000)


def test_travelled_is_the_length_of_the_path():
    fine = np.arange(0, 60, 0.01)
    motion = moved(GaussMarkov(mean_speed_m_s=10.0, speed_sd_m_s=3.0), fine, 8)
    chord = np.hypot(np.diff(motion.x_m, axis=0), np.diff(motion.y_m, axis=0))
    ahead = np.diff(motion.travelled_m, axis=0)
    assert not motion.travelled_m[0].any()
    assert (chord <= ahead + 1e-9).all()
    bent = ~np.isclose(chord, ahead, atol=1e-9)
    assert bent.mean() < 0.02  # only where an edge reflects within the sample, or a step ends between two samples
    np.testing.assert_allclose(motion.travelled_m[-1], np.sum(motion.speed_m_s[:-1] * 0.01, axis=0), rtol=0.01)


def test_full_memory_and_no_spread_is_a_billiard():
    motion = moved(GaussMarkov(memory=1.0, mean_speed_m_s=7.0, speed_sd_m_s=0.0, direction_sd_deg=0.0), np.arange(500.0), 5)
    np.testing.assert_allclose(motion.travelled_m, 7.0 * np.arange(500.0)[:, None] + np.zeros(5), rtol=1e-12)
    # mirrored motion has a constant |velocity| along each axis
    inside = (motion.x_m[:-1] > 7) & (motion.x_m[:-1] < 293)
    across = np.where(inside, np.abs(np.diff(motion.x_m, axis=0)), np.nan)
    np.testing.assert_allclose(np.nanmax(across, axis=0), np.nanmin(across, axis=0), atol=1e-9)


@pytest.mark.parametrize("fields", [{"memory": 1.1}, {"memory": -0.1}, {"step_s": 0.0}, {"speed_sd_m_s": -1.0}, {"mean_speed_m_s": -1.0}])
def test_ranges_are_checked(fields):
    with pytest.raises(ValidationError):
        GaussMarkov(**fields)
