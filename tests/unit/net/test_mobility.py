import numpy as np
import pytest
from pydantic import ValidationError

from cosim.errors import ScenarioError
from cosim.net.mobility import RandomWaypoint, Static
from cosim.rng import Streams

AREA = (1000.0, 400.0)
IDS = np.arange(20)


def test_static_devices_stay_where_they_are_put():
    paths = Static(positions_m=[[1, 2.5], [1000.0, 400.0]]).start(AREA, 2, Streams(1))
    motion = paths.at(np.array([0.0, 1e6]), np.array([1, 0, 1]))
    np.testing.assert_array_equal(motion.x_m, [[1000.0, 1.0, 1000.0]] * 2)
    np.testing.assert_array_equal(motion.y_m, [[400.0, 2.5, 400.0]] * 2)
    assert not motion.speed_m_s.any()
    assert not motion.travelled_m.any()


def test_static_positions_are_uniform_and_independent_of_the_number_of_devices():
    few, many = (Static().start(AREA, n, Streams(1)).at(np.zeros(1), np.arange(n)) for n in (7, 4000))
    np.testing.assert_array_equal(many.x_m[:, :7], few.x_m)
    np.testing.assert_array_equal(many.y_m[:, :7], few.y_m)
    # mean of 4000 uniforms: standard error 1/sqrt(12*4000) = 0.0046 of the extent; four of them
    assert abs(many.x_m.mean() / 1000 - 0.5) < 0.019
    assert abs(many.y_m.mean() / 400 - 0.5) < 0.019


def test_static_positions_must_fit():
    with pytest.raises(ScenarioError, match="1 position for 2 devices"):
        Static(positions_m=[[1.0, 2.0]]).start(AREA, 2, Streams(1))
    with pytest.raises(ScenarioError, match=r"\[1, 500\] m is outside the area"):
        Static(positions_m=[[1.0, 500.0]]).start(AREA, 1, Streams(1))
    with pytest.raises(ValidationError):
        Static(positions_m=[[1.0, 2.0, 3.0]])
    with pytest.raises(ValidationError):
        Static(positions_m="here")


def test_a_static_component_survives_a_round_trip():
    component = Static(positions_m=[[1.0, 2.0]])
    assert Static.model_validate(component.model_dump()) == component


@pytest.mark.parametrize(
    "fields",
    [
        {"speed_min_m_s": 3.0, "speed_max_m_s": 2.0},
        {"speed_min_m_s": 0.0},
        {"pause_min_s": 3.0, "pause_max_s": 2.0},
        {"pause_min_s": -1.0},
    ],
)
def test_waypoint_ranges_are_checked(fields):
    with pytest.raises(ValidationError):
        RandomWaypoint(**fields)


def test_paths_are_continuous_and_travelled_is_their_length():
    model = RandomWaypoint(speed_min_m_s=5.0, speed_max_m_s=20.0, pause_max_s=10.0)
    times = np.arange(0, 600, 0.05)
    motion = model.start(AREA, 20, Streams(3)).at(times, IDS)
    step = np.hypot(np.diff(motion.x_m, axis=0), np.diff(motion.y_m, axis=0))
    ahead = np.diff(motion.travelled_m, axis=0)
    assert not motion.travelled_m[0].any()
    assert (step <= ahead + 1e-9).all()  # a chord is not longer than the path
    assert (step <= 20.0 * 0.05 + 1e-9).all()
    straight = np.isclose(motion.speed_m_s[1:] * 0.05, ahead, atol=1e-9)
    assert straight.mean() > 0.98  # all but the steps that contain a waypoint
    np.testing.assert_allclose(step[straight], ahead[straight], atol=1e-9)
    assert motion.x_m.min() >= -1e-9
    assert motion.x_m.max() <= 1000 + 1e-9
    assert motion.y_m.min() >= -1e-9
    assert motion.y_m.max() <= 400 + 1e-9
    moving = motion.speed_m_s > 0
    assert (motion.speed_m_s[moving] >= 5.0).all()
    assert 0 < moving.mean() < 1


def test_neither_order_nor_horizon_nor_company_moves_a_bit():
    model = RandomWaypoint(speed_min_m_s=5.0, speed_max_m_s=20.0, pause_max_s=10.0)
    times = np.array([0.0, 3.0, 1000.0, 5000.0, 5000.0, 12.5])
    whole = model.start(AREA, 20, Streams(3)).at(times, IDS)
    other = model.start(AREA, 6, Streams(3))
    other.at(np.array([20_000.0]), np.array([5]))
    for row in (3, 0, 5, 2):
        part = other.at(times[row : row + 1], np.array([5, 2]))
        for name in ("x_m", "y_m", "speed_m_s", "travelled_m"):
            np.testing.assert_array_equal(getattr(part, name)[0], getattr(whole, name)[row, [5, 2]])


def test_one_speed_and_no_pause_never_stops():
    motion = RandomWaypoint(speed_min_m_s=3.0, speed_max_m_s=3.0).start(AREA, 20, Streams(1)).at(np.arange(500.0), IDS)
    assert (motion.speed_m_s == 3.0).all()
    np.testing.assert_allclose(motion.travelled_m, 3.0 * np.arange(500.0)[:, None] + np.zeros(20), rtol=1e-12)
