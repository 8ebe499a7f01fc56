"""Values as figures take them, and which rounds a figure shows."""

import numpy as np

from cosim.report import style
from cosim.report.style import STATUS_COLOURS, numbers, round_axis, some_rounds
from cosim.trace.schema import STATUSES


def test_numbers_are_rounded_and_what_is_not_finite_is_none():
    assert numbers([1 / 3, 123456.7, np.nan, np.inf, 0.0], 3) == [0.333, 123000.0, None, None, 0.0]


def test_all_rounds_where_they_fit():
    assert some_rounds([2, 0, 1, 1], 10) == [0, 1, 2]


def test_evenly_spaced_rounds_where_they_do_not(monkeypatch):
    monkeypatch.setattr(style, "MOST_POINTS", 50)
    assert some_rounds(np.arange(101), 10) == [0, 25, 50, 75, 100]
    assert some_rounds(np.arange(101), 1000) == [0, 100]


def test_at_most():
    assert some_rounds(np.arange(101), 1, most=3) == [0, 50, 100]


def test_few_rounds_have_a_tick_each():
    assert round_axis([0, 1, 2]) == {"dtick": 1}
    assert round_axis(np.arange(100)) == {}


def test_every_status_has_a_colour_of_its_own():
    assert set(STATUS_COLOURS) == set(STATUSES)
    assert len(set(STATUS_COLOURS.values())) == len(STATUSES)
