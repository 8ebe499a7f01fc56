"""Values as figures take them, and which rounds a figure shows."""

import numpy as np

from cosim.report import style
from cosim.report.style import STATUS_COLOURS, log_numbers, log_shades, numbers, round_axis, some_rounds
from cosim.trace.schema import STATUSES


def test_numbers_are_rounded_and_what_is_not_finite_is_none():
    assert numbers([1 / 3, 123456.7, np.nan, np.inf, 0.0], 3) == [0.333, 123000.0, None, None, 0.0]


def test_logarithmic_colours_are_labelled_with_values():
    shades = log_shades([0.15, 6.0, np.nan, 0.0], "MHz")
    assert shades["colorbar"]["ticktext"] == ["0.2", "0.5", "1", "2", "5"]
    np.testing.assert_allclose(shades["colorbar"]["tickvals"], np.log10([0.2, 0.5, 1, 2, 5]), atol=1e-4)
    np.testing.assert_allclose([shades["cmin"], shades["cmax"]], np.log10([0.15, 6.0]), atol=1e-6)
    assert log_numbers([100.0, 0.0, np.nan, -1.0]) == [2.0, None, None, None]


def test_narrow_ranges_have_finer_labels():
    assert log_shades([0.9, 3.1], "")["colorbar"]["ticktext"] == ["1", "1.2", "1.5", "2", "2.5", "3"]


def test_logarithmic_colours_of_nothing_and_of_one_value():
    for values in ([np.nan], [3.3, 3.3]):
        shades = log_shades(values, "")
        assert shades["cmin"] < shades["cmax"]
        assert len(shades["colorbar"]["ticktext"]) == 1


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
