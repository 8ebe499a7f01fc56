import numpy as np
import pytest

from cosim.net.fields import exponential_field, gaussian_field
from cosim.rng import Streams


def test_a_value_depends_on_the_place_alone():
    field = exponential_field(37.0, Streams(1).generator("shadowing", 0, 1))
    x, y = np.random.default_rng(0).uniform(0, 2000, (2, 7, 41))
    together = field.at(x, y)
    assert together.shape == (7, 41)
    alone = [[field.at(x[i, j], y[i, j])[()] for j in range(41)] for i in range(7)]
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(field.at(x[::-2, ::3], y[::-2, ::3]), together[::-2, ::3])


def test_a_gaussian_field_is_smooth_and_an_exponential_one_is_rough():
    # mean squared increment over a small step d: 2 (1 - rho(d)) = 2 (d/d_corr)^2 or 2 d/d_corr; over 20,000 places
    # spread over (100 d_corr)^2 both are known within a few percent; a factor of 2 is all that is asked here
    x, y = np.random.default_rng(1).uniform(0, 5000, (2, 20_000))
    for make, expected in ((gaussian_field, 2 * 0.01**2), (exponential_field, 2 * 0.01)):
        field = make(50.0, Streams(3).generator("los", 0))
        step = np.mean((field.at(x + 0.5, y) - field.at(x, y)) ** 2)
        assert expected / 2 < step < expected * 2


def test_one_realisation_has_zero_mean_and_unit_variance_over_a_large_area():
    # the area average of a sum of M waves of equal amplitude is 0 and its variance 1, whatever the draws; over
    # 20,000 random places the standard errors are 0.007 and 0.01: five of them
    x, y = np.random.default_rng(2).uniform(0, 50_000, (2, 20_000))
    for make in (exponential_field, gaussian_field):
        value = make(50.0, Streams(4).generator("los", 0)).at(x, y)
        assert abs(value.mean()) < 0.035
        assert abs(value.var() - 1.0) < 0.05


def test_no_short_wave_stands_out():
    # P(k d_corr > 8 pi) = 1/sqrt(1 + 64 pi^2) = 4 % of the variance lies in waves shorter than a quarter of d_corr; in 128 equal parts
    # that would be 5 waves, each a ripple of sqrt(2/128) = 12 % of sigma
    field = exponential_field(50.0, Streams(5).generator("shadowing", 0, 0))
    power = field.amplitude.astype(float) ** 2 / 2
    short = np.hypot(field.kx_per_m, field.ky_per_m) > 4 / 50.0
    assert power.sum() == pytest.approx(1.0, abs=1e-6)
    assert power[short].sum() == pytest.approx(0.04, abs=0.004)
    assert np.count_nonzero(short) > 20
    assert power[short].max() < 0.004
