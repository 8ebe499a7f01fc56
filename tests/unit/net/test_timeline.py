import numpy as np
import pytest

from cosim.net.timeline import Timeline


def steps(ids, last):
    """Three records of length 1 + device each: (begin, number)."""
    ahead = np.arange(1, 4)
    return np.stack([last[:, :1] + ahead * (1.0 + ids[:, None]), last[:, 1:2] + ahead], axis=-1)


def timeline(devices=3):
    return Timeline(np.zeros((devices, 2)), steps)


def test_the_record_in_force_begins_at_or_before_the_time():
    times, ids = np.array([0.0, 0.5, 1.0, 7.999, 8.0, 100.0]), np.array([2, 0, 1])
    number = timeline().at(times, ids)[:, :, 1]
    np.testing.assert_array_equal(number, np.floor(times[:, None] / (1.0 + ids)))


def test_the_following_record_begins_strictly_later():
    np.testing.assert_array_equal(timeline().following(2.0, np.array([0, 1, 2]))[:, 0], [3.0, 4.0, 3.0])


def test_earlier_questions_change_no_answer():
    asked, fresh = timeline(), timeline()
    asked.at(np.array([500.0, 3.0]), np.array([1]))
    asked.at(np.array([40.0]), np.array([2, 2, 0]))
    times = np.linspace(0, 60, 97)
    np.testing.assert_array_equal(asked.at(times, np.arange(3)), fresh.at(times, np.arange(3)))


def test_no_times_or_no_devices_give_empty_answers():
    assert timeline().at(np.empty(0), np.arange(3)).shape == (0, 3, 2)
    assert timeline().at(np.ones(4), np.empty(0, np.int64)).shape == (4, 0, 2)


@pytest.mark.parametrize("time_s", [-0.1, np.nan, np.inf])
def test_times_that_are_none_are_refused(time_s):
    with pytest.raises(ValueError, match="times must be finite"):
        timeline().at(np.array([1.0, time_s]), np.arange(3))
