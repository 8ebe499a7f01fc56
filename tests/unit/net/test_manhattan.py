"""Manhattan motion: on streets, with turns at crossings, stationary."""

import numpy as np
import pytest
from pydantic import ValidationError

from cosim.errors import ScenarioError
from cosim.net.manhattan import Manhattan
from cosim.rng import Streams

AREA = (410.0, 350.0)  # 4 x 3 blocks of 100 m, and a rest
FAST = Manhattan(block_m=100.0, speed_min_m_s=10.0, speed_max_m_s=20.0)


def moved(model, times, devices, seed=1, area=AREA):
    return model.start(area, devices, Streams(seed)).at(np.asarray(times, dtype=float), np.arange(devices))


def off_grid(values):
    return np.abs(values - 100.0 * np.rint(values / 100.0))


def test_devices_stay_on_streets_and_turn_only_at_crossings():
    motion = moved(FAST, np.arange(0.0, 300.0, 0.1), 40)
    assert np.minimum(off_grid(motion.x_m), off_grid(motion.y_m)).max() < 1e-9
    assert motion.x_m.min() >= 0.0
    assert motion.x_m.max() == pytest.approx(400.0)
    assert motion.y_m.min() >= 0.0
    assert motion.y_m.max() == pytest.approx(300.0)
    east_west = np.abs(np.diff(motion.x_m, axis=0)) > 1e-9
    turned = east_west[1:] != east_west[:-1]
    assert turned.any()
    near = np.maximum(off_grid(motion.x_m[1:-1]), off_grid(motion.y_m[1:-1]))[turned]
    assert near.max() <= 20.0 * 0.1 + 1e-9  # within a sample of a crossing


def test_nobody_turns_back_and_travelled_is_the_length_of_the_path():
    motion = moved(FAST, np.arange(0.0, 300.0, 0.1), 40)
    step = np.abs(np.diff(motion.x_m, axis=0)) + np.abs(np.diff(motion.y_m, axis=0))  # streets: the length of a bent path
    np.testing.assert_allclose(np.diff(motion.travelled_m, axis=0), step, atol=1e-9)


@pytest.mark.parametrize("turn", [0.0, 0.4, 1.0])
def test_turns_at_inner_crossings_have_the_probability_given(turn):
    model = Manhattan(block_m=100.0, turn_probability=turn, speed_min_m_s=10.0, speed_max_m_s=10.0)
    motion = moved(model, 10.0 * np.arange(100), 400, area=(1000.0, 1000.0))  # a block takes 10 s: one crossing between two looks
    x, y = motion.x_m, motion.y_m
    along_x = off_grid(y) < 1e-6
    bend_x, bend_y = np.where(along_x[:-1], x[1:], x[:-1]), np.where(along_x[:-1], y[:-1], y[1:])
    turned = along_x[1:] != along_x[:-1]
    well_inside = (x[:-1] > 110) & (x[:-1] < 890) & (y[:-1] > 110) & (y[:-1] < 890)
    # more than 15,000 crossings: standard error below 0.004; four of them
    assert well_inside.sum() > 15_000
    assert turned[well_inside].mean() == pytest.approx(turn, abs=0.016)
    # left and right alike: the sign of the cross product of the ways before and after
    pairs = turned[1:] & ~turned[:-1] & well_inside[:-1] & well_inside[1:]
    before = np.stack([np.diff(x, axis=0), np.diff(y, axis=0)])[:, :-1]
    after = np.stack([x[2:] - bend_x[1:], y[2:] - bend_y[1:]])
    side = np.sign(before[0] * after[1] - before[1] * after[0])[pairs]
    assert abs(side.sum()) <= 4 * np.sqrt(side.size)


@pytest.mark.parametrize("turn", [0.0, 0.5, 1.0])
def test_streets_are_used_alike_at_any_time(turn):
    # 17 streets-by-the-block in y (5 x 3) + 16 in x (4 x 4): 31 blocks, both directions
    model = FAST.model_copy(update={"turn_probability": turn})
    for time in (0.0, 33.3, 500.0):
        motion = moved(model, [time], 6200)
        x, y = motion.x_m[0], motion.y_m[0]
        along_x = off_grid(y) < 1e-6
        block = np.where(along_x, np.rint(y / 100) * 4 + x // 100, 16 + np.rint(x / 100) * 3 + y // 100).astype(int)
        counts = np.bincount(block, minlength=31)
        assert counts.size == 31
        # chi-square with 30 degrees of freedom: 59.7 at 0.1 %
        assert np.sum((counts - 200.0) ** 2 / 200.0) < 59.7
        along = np.where(along_x, x, y) % 100
        assert np.abs(np.sort(along) / 100 - (np.arange(6200) + 0.5) / 6200).max() < 1.95 / np.sqrt(6200)


def test_speeds_have_their_stationary_density_at_any_time():
    # density proportional to 1/v on [10, 20]: mean (20 - 10) / ln 2, variance 150 / ln 2 - mean^2
    mean = 10.0 / np.log(2.0)
    error = np.sqrt((150.0 / np.log(2.0) - mean**2) / 4000)
    for time in (0.0, 50.0, 500.0):
        assert moved(FAST, [time], 4000).speed_m_s.mean() == pytest.approx(mean, abs=4 * error)


def test_one_block_is_a_walk_around_it():
    motion = moved(Manhattan(block_m=100.0, speed_min_m_s=5.0, speed_max_m_s=5.0), np.arange(0.0, 161.0), 6, area=(100.0, 100.0))
    np.testing.assert_allclose(motion.x_m[80:], motion.x_m[:81], atol=1e-9)  # 400 m at 5 m/s
    np.testing.assert_allclose(motion.y_m[80:], motion.y_m[:81], atol=1e-9)


def test_a_block_must_fit():
    with pytest.raises(ScenarioError, match=r"mobility\.block_m: 200 m does not fit into the area of 410 m x 150 m; at most 150 m"):
        Manhattan().start((410.0, 150.0), 1, Streams(1))
    with pytest.raises(ValidationError, match="above"):
        Manhattan(speed_min_m_s=3.0)
