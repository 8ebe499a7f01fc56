"""Decibels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosim.units import dbm_to_w, from_db, to_db


def test_known_values():
    assert from_db(0.0) == 1.0
    assert from_db(3.0) == pytest.approx(1.9952623149688795, rel=1e-15)
    assert dbm_to_w(30.0) == 1.0
    assert dbm_to_w(23.0) == pytest.approx(0.19952623149688797, rel=1e-14)
    assert to_db(100.0) == 20.0


def test_zero_is_minus_infinity_without_a_warning():
    assert to_db(0.0) == -np.inf


@given(st.floats(-300.0, 300.0))
def test_there_and_back(level_db):
    assert to_db(from_db(level_db)) == pytest.approx(level_db, abs=1e-12, rel=1e-13)


@given(st.floats(-300.0, 300.0), st.floats(-300.0, 300.0))
def test_a_sum_of_levels_is_a_product_of_ratios(a_db, b_db):
    assert from_db(a_db + b_db) == pytest.approx(from_db(a_db) * from_db(b_db), rel=1e-12)


def test_arrays_keep_their_shape():
    assert from_db(np.zeros((2, 3))).shape == (2, 3)
    assert to_db([1, 10]).tolist() == [0.0, 10.0]
