"""How numbers are written."""

import numpy as np
import pytest

from cosim.report.summary import percent_text, quantity_text, ratio_text, seconds_text, table


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (2.13e7, "bit", "21.3 Mbit"),
        (999_600.0, "Hz", "1.00 MHz"),
        (180e3, "Hz", "180 kHz"),
        (1.0, "s", "1.00 s"),
        (0.0456, "s", "45.6 ms"),
        (-3200.0, "J", "-3.20 kJ"),
        (0.0, "J", "0 J"),
        (2e-9, "J", "0.00 µJ"),
        (np.nan, "s", "–"),
        (np.inf, "s", "–"),
    ],
)
def test_quantities_have_three_digits_and_a_prefix(value, unit, text):
    assert quantity_text(value, unit) == text


@pytest.mark.parametrize(("value", "text"), [(61.5, "61.5 s"), (120.0, "2 min 00 s"), (3_725.0, "1 h 02 min"), (np.nan, "–")])
def test_long_times_are_minutes_and_hours(value, text):
    assert seconds_text(value) == text


def test_shares():
    assert (percent_text(0.1234), percent_text(np.nan)) == ("12.3 %", "–")
    assert (ratio_text(0.1234), ratio_text(np.nan)) == ("0.123", "–")


def test_table_escapes_and_aligns_words():
    made = table(["<name>", "n"], [["a & b", "1"]])
    assert "<th class=word>&lt;name&gt;</th><th>n</th>" in made
    assert "<td class=word>a &amp; b</td><td>1</td>" in made
