"""Rates against arbitrary-precision arithmetic, quadrature and their own definitions."""

from itertools import pairwise

import mpmath
import numpy as np
import pytest
from pydantic import ValidationError
from scipy.integrate import quad

from cosim.rate import (
    LN2,
    Blocks,
    Ergodic,
    ErgodicRayleigh,
    ErgodicTruncated,
    Scaled,
    Shannon,
    TruncatedShannon,
    ergodic_rayleigh,
    expansion,
    reached_bps,
    shannon_bandwidth_hz,
    sides,
    tangent,
)

SMOOTH = [Shannon(), ErgodicRayleigh(), ErgodicTruncated(TruncatedShannon()), Scaled(Shannon(), 0.4), Ergodic(Shannon())]
KINKED = [TruncatedShannon(), Blocks(Shannon(), 180e3), Blocks(ErgodicRayleigh(), 180e3), Blocks(TruncatedShannon(), 180e3)]
RATES = [*SMOOTH, *KINKED]


@pytest.fixture(autouse=True)
def _precision():
    with mpmath.workdps(60):
        yield


def loads(rng, count):
    """a = r ln2 / s from 1e-15 to 1 - 1e-14, both ends crowded."""
    return np.concatenate([10 ** rng.uniform(-15, -0.3, count), 1 - 10 ** rng.uniform(-14, -0.3, count)])


def test_shannon_inverse_is_lamberts_function_over_the_whole_range():
    rng = np.random.default_rng(1)
    load = loads(rng, 150)
    snr = 10 ** rng.uniform(-3, 13, load.size)
    rate = load * snr / LN2
    bandwidth = shannon_bandwidth_hz(rate, snr)
    assert np.all(np.abs(Shannon().value(bandwidth, snr) - rate) <= 1e-13 * rate)
    for r, s, b in zip(rate, snr, bandwidth, strict=True):
        a = mpmath.mpf(r) * mpmath.log(2) / mpmath.mpf(s)  # of these very floats: a near 1 is ill-conditioned in r and s
        exact = mpmath.mpf(r) * mpmath.log(2) / (-mpmath.lambertw(-a * mpmath.exp(-a), -1).real - a)
        assert abs(b - exact) <= mpmath.mpf("1e-10") * max(1, mpmath.mpf("1e-6") / (1 - a)) * exact


def test_shannon_derivative_keeps_its_digits_where_the_band_is_wide():
    snr, bandwidth = 1e6, 10.0 ** np.arange(-3, 16)
    for b, found in zip(bandwidth, Shannon().derivative(bandwidth, snr), strict=True):
        x = mpmath.mpf(snr) / mpmath.mpf(b)
        exact = (mpmath.log(1 + x) - x / (1 + x)) / mpmath.log(2)
        assert abs(found - exact) <= 1e-13 * exact


def test_ergodic_rayleigh_against_the_exponential_integral():
    u = np.concatenate([10 ** np.random.default_rng(2).uniform(-12, 12, 150), np.linspace(3.5, 4.5, 41)])
    rate, snr = ErgodicRayleigh(), 1e6
    value, slope = rate.value(u * snr, snr), rate.derivative(u * snr, snr)
    for k, ratio in enumerate(u):
        v = mpmath.mpf(ratio * snr) / mpmath.mpf(snr)
        scaled = mpmath.exp(v) * mpmath.e1(v)
        assert abs(value[k] - snr * v * scaled / mpmath.log(2)) <= 1e-13 * value[k]
        assert abs(slope[k] - ((1 + v) * scaled - 1) / mpmath.log(2)) <= 2e-13 * slope[k]


def test_ergodic_rayleigh_is_the_mean_over_the_gain():
    for snr in (1e4, 1e6, 1e9):
        mean, _ = quad(lambda gain, s=snr: float(Shannon().value(1e6, s * gain)) * np.exp(-gain), 0, 60, epsrel=1e-11, limit=400)
        assert ErgodicRayleigh().value(1e6, snr) == pytest.approx(mean, rel=1e-8)


def test_quadrature_over_the_gain():
    snr = 10.0 ** np.arange(0, 13)
    assert Ergodic(Shannon()).value(1e6, snr) == pytest.approx(ErgodicRayleigh().value(1e6, snr), rel=1e-12)
    base = TruncatedShannon()
    for s in snr[2:]:
        kinks = np.clip([1e6 / s * 10**-1, 1e6 / s * (2**5 - 1)], 0, 80)  # gains at snr_min and at the cap
        edges = [0.0, *kinks, 80.0]
        parts = [quad(lambda g, s=s: float(base.value(1e6, s * g)) * np.exp(-g), a, b)[0] for a, b in pairwise(edges)]
        assert Ergodic(base).value(1e6, s) == pytest.approx(sum(parts), rel=1e-4)
        assert ErgodicTruncated(base).value(1e6, s) == pytest.approx(sum(parts), rel=1e-9)


@pytest.mark.parametrize("snr_min_db", [-30.0, -10.0, 5.0])
def test_ergodic_truncated_derivative(snr_min_db):
    """As a mean of Shannon's derivative; it loses about a factor 2 / snr_min^2 of precision where nearly all the band lies idle."""
    base = TruncatedShannon(snr_min_db=snr_min_db, attenuation=1.0, efficiency_max_bps_hz=6.0)
    rate, low, cap = ErgodicTruncated(base), mpmath.mpf(base.snr_min), mpmath.mpf(base.snr_cap)
    for u in 10.0 ** np.arange(-9, 3, 0.5):

        def conditional(gain, u=u):
            x = gain / mpmath.mpf(u)
            return mpmath.exp(-gain) * (mpmath.log(1 + x) - x / (1 + x)) / mpmath.log(2)

        with mpmath.workdps(25):
            edges = [min(low * u + step, cap * u) for step in (0, 1, 3, 6, 10, 20, 40, 90)]
            exact = mpmath.quad(conditional, edges) + mpmath.exp(-cap * u) * 6
        assert rate.derivative(u * 1e6, 1e6) == pytest.approx(float(exact), rel=1e-14 / base.snr_min**2 + 1e-10, abs=1e-300)


def test_ergodic_rayleigh_chooses():
    assert ergodic_rayleigh(Shannon()) == ErgodicRayleigh()
    assert ergodic_rayleigh(TruncatedShannon()) == ErgodicTruncated(TruncatedShannon())
    assert ergodic_rayleigh(Blocks(Shannon(), 1e5)) == Ergodic(Blocks(Shannon(), 1e5))


@pytest.mark.parametrize("rate", RATES, ids=repr)
class TestEveryRate:
    def test_rises_and_is_concave(self, rate):
        bandwidth = np.linspace(0, 5e6, 4001)
        for snr in (1e3, 1e5, 1e7, 1e9):
            value = rate.value(bandwidth, snr)
            steps = np.diff(value)
            assert value[0] == 0
            assert np.all(steps >= -1e-12 * value[-1])
            assert np.all(np.diff(steps) <= 1e-12 * value[-1])
            assert np.all(value <= rate.supremum(snr) * (1 + 1e-14))

    def test_derivatives_bracket_the_difference_quotient(self, rate):
        """For a concave R: R'(b, right) >= (R(c) - R(b)) / (c - b) >= R'(c, left) for b < c, the closer the better."""
        b = 10 ** np.random.default_rng(3).uniform(1, 8, 500)
        for snr in (1e4, 1e6, 1e8):
            c = b * (1 + 1e-5)
            quotient = (rate.value(c, snr) - rate.value(b, snr)) / (c - b)
            slack = 1e-9 * rate.value(b, snr) / b  # of the quotient: rounding 1e-14 over a step of 1e-5
            right, left = rate.derivative(b, snr, side="right"), rate.derivative(c, snr, side="left")
            assert np.all(right >= quotient - slack)
            assert np.all(quotient >= left - slack)
            assert np.median((right - left) / (right + slack)) <= 1e-3

    def test_inverse(self, rate):
        rng = np.random.default_rng(4)
        snr = 10 ** rng.uniform(2, 12, 500)
        target = rate.supremum(snr) * 10 ** rng.uniform(-8, -0.01, 500)
        bandwidth = rate.inverse(target, snr)
        assert rate.value(bandwidth, snr) == pytest.approx(target, rel=2e-13)

    def test_inverse_is_inf_beyond_the_supremum_and_zero_at_zero(self, rate):
        snr = np.array([1e3, 1e6, 1e9])
        assert np.all(np.isinf(rate.inverse(rate.supremum(snr) * (1 + 1e-12), snr)))
        assert np.all(np.isinf(rate.inverse(np.inf, snr)))
        assert np.all(rate.inverse(0.0, snr) == 0)

    def test_approaches_its_supremum(self, rate):
        assert rate.value(1e14, 1e5) == pytest.approx(rate.supremum(1e5), rel=1e-6)
        assert rate.value(np.inf, 1e5) == pytest.approx(rate.supremum(1e5))

    def test_no_signal_no_rate(self, rate):
        assert rate.value(1e6, 0.0) == 0
        assert rate.supremum(0.0) == 0
        assert np.isinf(rate.inverse(1.0, 0.0))

    def test_broadcasts(self, rate):
        bandwidth, snr = np.full((3, 1), 1e6), np.full(4, 1e7)
        assert rate.value(bandwidth, snr).shape == (3, 4)
        assert rate.derivative(bandwidth, snr).shape == (3, 4)
        assert rate.inverse(np.full((3, 1), 1e3), snr).shape == (3, 4)


def test_truncated_shannon_follows_its_three_pieces():
    rate, snr = TruncatedShannon(attenuation=0.5, snr_min_db=0.0, efficiency_max_bps_hz=2.0), 15e6
    cap, cut = snr / 15, snr  # SNR 15 gives 0.5 log2(16) = 2; SNR 1 is 0 dB
    assert rate.value([cap / 2, cap, 3e6, cut, 2 * cut], snr) == pytest.approx(
        [cap, 2 * cap, 0.5 * Shannon().value(3e6, snr), 0.5 * cut, 0.5 * cut], rel=1e-14
    )
    assert rate.piece(0.0, snr)[1] == pytest.approx(cap, rel=1e-14)
    cap = rate.piece(0.0, snr)[1]
    assert rate.derivative(cap, snr, side="left") == 2.0
    assert rate.derivative(cap, snr, side="right") == pytest.approx(0.5 * Shannon().derivative(cap, snr), rel=1e-14)
    assert rate.derivative(cut, snr, side="left") > 0
    assert rate.derivative(cut, snr, side="right") == 0
    assert rate.inverse(rate.supremum(snr), snr) == pytest.approx(cut, rel=1e-12)


def test_truncated_shannon_refuses_a_cap_below_the_cut():
    with pytest.raises(ValidationError, match=r"must be above snr_min_db 40 dB"):
        TruncatedShannon(snr_min_db=40.0)


@pytest.mark.parametrize("base", [Shannon(), ErgodicRayleigh(), TruncatedShannon()], ids=repr)
def test_blocks_mix_whole_blocks_in_time(base):
    rate, width, snr = Blocks(base, 180e3), 180e3, 1e7
    whole = base.value(width * np.arange(7), snr)
    assert rate.value(width * np.arange(7), snr) == pytest.approx(whole, rel=1e-14)
    assert rate.value(4.3 * width, snr) == pytest.approx(0.7 * whole[4] + 0.3 * whole[5], rel=1e-14)
    slopes = np.diff(whole) / width
    assert rate.derivative(width * np.arange(1, 6), snr, side="left") == pytest.approx(slopes[:5], rel=1e-12)
    assert rate.derivative(width * np.arange(1, 6), snr, side="right") == pytest.approx(slopes[1:], rel=1e-12)
    assert rate.derivative(0.0, snr, side="left") == pytest.approx(slopes[0], rel=1e-12)
    assert rate.inverse(whole[1:], snr) == pytest.approx(width * np.arange(1, 7), rel=1e-13)


@pytest.mark.parametrize("base", [Shannon(), ErgodicRayleigh(), TruncatedShannon()], ids=repr)
def test_sides_of_blocks_are_value_and_both_derivatives(base):
    rate = Blocks(base, 180e3)
    bandwidth, snr = 180e3 * np.array([0.0, 0.3, 1.0, 1.7, 5.0, 5.0 + 1e-9, 1e4]), np.full(7, 1e7)
    value, before, beyond = rate.sides(bandwidth, snr)
    assert value == pytest.approx(rate.value(bandwidth, snr), rel=1e-14)
    assert before == pytest.approx(rate.derivative(bandwidth, snr, side="left"), rel=1e-14)
    assert beyond == pytest.approx(rate.derivative(bandwidth, snr, side="right"), rel=1e-14)


@pytest.mark.parametrize("rate", RATES, ids=repr)
def test_tangent_is_value_and_right_derivative(rate):
    bandwidth, snr = 10.0 ** np.arange(-2, 9), np.full(11, 1e6)
    value, slope = tangent(rate, bandwidth, snr)
    assert value == pytest.approx(rate.value(bandwidth, snr), rel=1e-14)
    assert slope == pytest.approx(rate.derivative(bandwidth, snr), rel=1e-14)


@pytest.mark.parametrize("rate", RATES, ids=repr)
def test_numbers_will_do_as_arrays_do(rate):
    bandwidth = 10.0 ** np.arange(-2, 13)
    for name in ("value", "derivative"):
        ask = getattr(rate, name)
        assert [float(ask(float(b), 1e6)) for b in bandwidth] == pytest.approx(ask(bandwidth, 1e6), rel=1e-14)
    bits = rate.value(bandwidth[:10], 1e6)
    assert [float(rate.inverse(float(r), 1e6)) for r in bits] == pytest.approx(rate.inverse(bits, 1e6), rel=1e-9)


@pytest.mark.parametrize("rate", [*RATES, Scaled(TruncatedShannon(), 0.7)], ids=repr)
def test_sides_are_value_and_both_derivatives(rate):
    bandwidth, snr = 1.1 * 10.0 ** np.arange(0, 9), np.full(9, 1e6)
    value, before, beyond = sides(rate, bandwidth, snr)
    assert value == pytest.approx(rate.value(bandwidth, snr), rel=1e-14)
    assert before == pytest.approx(rate.derivative(bandwidth, snr, side="left"), rel=1e-9)  # a hair away, where there is no closed form
    assert beyond == pytest.approx(rate.derivative(bandwidth, snr, side="right"), rel=1e-9)


def test_sides_see_a_kink_from_either_side_of_its_rounding():
    rate, snr = TruncatedShannon(), np.full(6, 1e6)
    for kink in (1e6 / rate.snr_cap, 1e6 / rate.snr_min):
        bandwidth = kink * (1.0 + np.array([-1e-13, -1e-15, 0.0, 1e-15, 1e-13, 0.0]))
        _, before, beyond = sides(rate, bandwidth, snr)
        assert before == pytest.approx(np.full(6, rate.derivative(kink * (1 - 1e-9), 1e6)), rel=1e-6)
        assert beyond == pytest.approx(np.full(6, rate.derivative(kink * (1 + 1e-9), 1e6)), rel=1e-6)


def test_only_rates_that_are_cut_reach_their_supremum():
    snr = np.array([1e4, 1e8])
    for rate in (Shannon(), ErgodicRayleigh(), Blocks(Shannon(), 1e5)):
        assert reached_bps(rate, snr) is None
    for rate in (TruncatedShannon(), Blocks(TruncatedShannon(), 1e5)):
        assert reached_bps(rate, snr) == pytest.approx(rate.supremum(snr))


@pytest.mark.parametrize("width", [0.0, -1.0, np.nan, np.inf])
def test_blocks_refuse_a_width_that_is_none(width):
    with pytest.raises(ValueError, match="block_hz"):
        Blocks(Shannon(), width)


@pytest.mark.parametrize("rate", SMOOTH, ids=repr)
def test_expansion_is_value_derivative_and_bend(rate):
    bandwidth, snr = 10.0 ** np.arange(-2, 9), np.full(11, 1e6)
    value, slope, bend = expansion(rate, bandwidth, snr)
    assert value == pytest.approx(rate.value(bandwidth, snr), rel=1e-14)
    assert slope == pytest.approx(rate.derivative(bandwidth, snr), rel=1e-14)
    step = 1e-4
    here, there = (np.log(rate.derivative(bandwidth * np.exp(shift), snr)) for shift in (-step, step))
    assert bend == pytest.approx((here - there) / (2 * step), rel=1e-4, abs=1e-6)
    assert np.all(bend >= -1e-6)
