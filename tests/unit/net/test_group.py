"""Groups: everyone near the leader, with its speed, inside the area."""

import numpy as np
import pytest
from pydantic import ValidationError

from cosim.errors import ScenarioError
from cosim.net.gauss_markov import GaussMarkov
from cosim.net.group import Group
from cosim.net.manhattan import Manhattan
from cosim.net.mobility import RandomWaypoint, Static
from cosim.net.recorded import Recorded
from cosim.rng import Streams

AREA = (500.0, 300.0)
TIMES = np.arange(0.0, 400.0, 1.7)
LEADERS = [
    RandomWaypoint(speed_min_m_s=5.0, speed_max_m_s=15.0, pause_max_s=5.0),
    GaussMarkov(mean_speed_m_s=10.0),
    Manhattan(block_m=100.0, speed_max_m_s=10.0),
    Static(),
]


@pytest.mark.parametrize("leader", LEADERS)
def test_members_stay_near_their_leader_and_inside(leader):
    motion = Group(groups=3, radius_m=20.0, leader=leader).start(AREA, 30, Streams(4)).at(TIMES, np.arange(30))
    led = leader.start((460.0, 260.0), 3, Streams(4)).at(TIMES, np.arange(30) % 3)
    assert (np.hypot(motion.x_m - led.x_m - 20.0, motion.y_m - led.y_m - 20.0) <= 20.0 + 1e-9).all()
    np.testing.assert_array_equal(motion.travelled_m, led.travelled_m)
    np.testing.assert_array_equal(motion.speed_m_s, led.speed_m_s)
    for values, limit in ((motion.x_m, 500.0), (motion.y_m, 300.0)):
        assert values.min() >= 0.0
        assert values.max() <= limit


def test_offsets_are_uniform_in_the_disc():
    paths = Group(radius_m=50.0, leader=Static()).start(AREA, 4000, Streams(1)).at(np.zeros(1), np.arange(4000))
    centre = Static().start((400.0, 200.0), 1, Streams(1)).position_m[0] + 50.0
    square = ((paths.x_m[0] - centre[0]) ** 2 + (paths.y_m[0] - centre[1]) ** 2) / 2500.0
    # the squared distance is uniform: Kolmogorov-Smirnov at 0.1 %
    assert np.abs(np.sort(square) - (np.arange(4000) + 0.5) / 4000).max() < 1.95 / np.sqrt(4000)


def test_a_recorded_leader_keeps_its_coordinates_and_its_hours(tmp_path):
    (tmp_path / "bus.csv").write_text("t_s,device,x_m,y_m\n0,a,100,100\n10,a,200,100\n5,b,50,50\n15,b,50,60\n")
    paths = Group(groups=2, radius_m=6.0, leader=Recorded(file=tmp_path / "bus.csv")).start(AREA, 5, Streams(1))
    motion = paths.at(np.array([5.0]), np.arange(5))
    assert (np.hypot(motion.x_m[0] - [150, 50, 150, 50, 150], motion.y_m[0] - [100, 50, 100, 50, 100]) <= 6.0).all()
    first, last = paths.presence_s(np.arange(5))
    np.testing.assert_array_equal(first, [0, 5, 0, 5, 0])
    np.testing.assert_array_equal(last, [10, 15, 10, 15, 10])


def test_drawn_leaders_are_always_there():
    first, last = Group().start(AREA, 2, Streams(1)).presence_s(np.arange(2))
    assert (first == 0).all()
    assert np.isinf(last).all()


def test_a_group_must_fit():
    with pytest.raises(ScenarioError, match=r"mobility\.radius_m: a group of radius 150 m does not fit .*; below 150 m"):
        Group(radius_m=150.0).start(AREA, 1, Streams(1))
    with pytest.raises(ValidationError):
        Group(groups=0)
