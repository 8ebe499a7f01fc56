"""Every kind of mobility: any question has one answer, and a device more or less changes nobody else's path, bit for bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.net.gauss_markov import GaussMarkov
from cosim.net.group import Group
from cosim.net.manhattan import Manhattan
from cosim.net.mobility import RandomWaypoint, Static
from cosim.net.recorded import RecordedTrajectories
from cosim.rng import Streams

COUNT, AREA = 9, (400.0, 300.0)
KINDS = {
    "static": Static(),
    "waypoint": RandomWaypoint(speed_min_m_s=5.0, speed_max_m_s=30.0, pause_max_s=2.0),
    "gauss_markov": GaussMarkov(mean_speed_m_s=20.0, speed_sd_m_s=10.0, step_s=0.7),
    "manhattan": Manhattan(block_m=100.0, speed_min_m_s=5.0, speed_max_m_s=30.0),
    "bus": Group(groups=2, leader=GaussMarkov(mean_speed_m_s=20.0)),
}
times_of = st.lists(st.floats(0.0, 300.0) | st.integers(0, 3000).map(lambda i: i / 10), min_size=1, max_size=12)
ids_of = st.lists(st.integers(0, COUNT - 1), min_size=1, max_size=20)


def answers(paths, times, ids):
    motion = paths.at(np.array(times), np.array(ids))
    return np.array([motion.x_m, motion.y_m, motion.speed_m_s, motion.travelled_m])


def same_whatever_was_asked(fresh, asked, before, times, ids):
    answers(asked, *before)
    whole = answers(fresh, sorted(times), range(COUNT))
    row = np.searchsorted(sorted(times), times)
    np.testing.assert_array_equal(answers(asked, times, ids), whole[:, row][:, :, ids])


@pytest.mark.parametrize("kind", sorted(KINDS))
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**40), before=st.tuples(times_of, ids_of), times=times_of, ids=ids_of, more=st.integers(0, 5))
def test_any_question_has_one_answer(kind, seed, before, times, ids, more):
    fresh = KINDS[kind].start(AREA, COUNT, Streams(seed))
    asked = KINDS[kind].start(AREA, COUNT + more, Streams(seed))
    same_whatever_was_asked(fresh, asked, before, times, ids)
    x, y, speed, travelled = answers(fresh, times, ids)
    assert (x >= -1e-9).all()
    assert (x <= AREA[0] + 1e-9).all()
    assert (y >= -1e-9).all()
    assert (y <= AREA[1] + 1e-9).all()
    assert (speed >= 0).all()
    assert (travelled >= 0).all()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**40), before=st.tuples(times_of, ids_of), times=times_of, ids=ids_of)
def test_recorded_paths_have_one_answer_too(seed, before, times, ids):
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 30, COUNT)
    t_s = np.concatenate([np.cumsum(rng.random(count) * 20 + 0.01) - 20 for count in counts])
    x_m, y_m = rng.random((2, counts.sum())) * 300
    fresh, asked = (RecordedTrajectories(t_s, x_m, y_m, counts) for _ in range(2))
    same_whatever_was_asked(fresh, asked, before, times, ids)
    part = RecordedTrajectories(t_s[: -counts[-1]], x_m[: -counts[-1]], y_m[: -counts[-1]], counts[:-1])
    known = [k for k in ids if k < COUNT - 1]
    np.testing.assert_array_equal(answers(part, times, np.array(known, int)), answers(fresh, times, np.array(known, int)))
