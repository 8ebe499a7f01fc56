"""The random parts of the world against closed forms, on fixed streams.

Tolerances are four to five standard errors unless they say otherwise; sample sizes are what a few seconds
allow. Where a sum of M plane waves differs from its limit by O(1/M), that is added and said.
"""

import numpy as np
import pytest
from scipy.integrate import dblquad
from scipy.special import j0
from scipy.stats import kstest

from cosim.interfaces import Band
from cosim.net.availability import OnOff
from cosim.net.fading import BlockRayleigh, Jakes
from cosim.net.los import sight_field
from cosim.net.mobility import RandomWaypoint, mean_leg_m
from cosim.net.pathloss import UrbanMacro, UrbanMicro
from cosim.net.shadowing import CorrelatedShadowing
from cosim.rng import Streams

PATHLOSS, BAND = UrbanMacro(), Band(10e6, 1)
WAVELENGTH_M = 299792458.0 / 3.5e9

# --- small-scale fading -----------------------------------------------------------------------------


def power_along(fading, links, times_s, speed_m_s=0.0, seed=1):
    """|h|^2 (T, links) of devices that drive at one speed."""
    travelled = np.repeat(np.asarray(times_s)[:, None] * speed_m_s, links, axis=1)
    return fading.start(PATHLOSS, BAND, 0, links, Streams(seed)).power(np.asarray(times_s), travelled, np.arange(links))


def test_one_instant_of_jakes_is_rayleigh():
    # 10,000 links, Kolmogorov-Smirnov at the 1 % level: 1.63/sqrt(10,000) = 0.0163; 32 waves instead of infinitely many
    # move the distribution by at most (1/64) max|x (2-x)/2 e^-x| = 0.0036 (first Laguerre correction)
    power = power_along(Jakes(), 10_000, [3.7], 5.0)[0]
    assert kstest(power, "expon").statistic < 0.0163 + 0.0036
    assert abs(power.mean() - 1.0) < 4 / np.sqrt(10_000)
    # E|h|^4 = 2 - 1/32; the standard deviation of |h|^4 is sqrt(4! - 2^2) = 4.5
    assert abs(np.mean(power**2) - (2 - 1 / 32)) < 4 * 4.5 / np.sqrt(10_000)


def test_one_link_over_time_is_rayleigh_too():
    # 400 wavelengths, independent about every 0.4: 1000 samples; 1 % level 1.63/sqrt(1000) = 0.0516 and the 1/M term
    # as above; ergodicity holds because stratified arrival angles are all different
    power = power_along(Jakes(sinusoids=64), 1, np.arange(1000) * 0.4 * WAVELENGTH_M, 1.0)[:, 0]
    assert kstest(power, "expon").statistic < 0.0516 + 0.0018


@pytest.mark.parametrize("moving", [True, False])
def test_autocorrelation_is_that_of_clarke(moving):
    # Cov(|h(0)|^2, |h(tau)|^2) = J0(2 pi f tau)^2, f = v/lambda when driving and the residual Doppler when standing; at
    # most 1/M = 0.008 less for 128 waves. 600 links x 60 starting points 0.5/f apart; products of unit exponentials have
    # a standard deviation of at most 3, so 3/sqrt(36,000) = 0.016 for independent ones: three of them
    doppler_hz = 20.0 / WAVELENGTH_M if moving else 2.0
    fading = Jakes(sinusoids=128, residual_doppler_hz=0.0 if moving else doppler_hz)
    speed_m_s = 20.0 if moving else 0.0
    starts = np.arange(60) * 0.5 / doppler_hz
    first = power_along(fading, 600, starts, speed_m_s)
    for lag in (0.1, 0.2, 0.3827, 0.61, 0.9, 1.3):  # in units of 1/f; 0.3827 is J0's first zero, 0.61 its least value
        later = power_along(fading, 600, starts + lag / doppler_hz, speed_m_s)
        assert np.mean((first - 1.0) * (later - 1.0)) == pytest.approx(j0(2 * np.pi * lag) ** 2, abs=0.008 + 0.048)


def test_moving_surroundings_multiply_the_autocorrelation():
    # a driving device among moving scatterers: J0(2 pi v tau/lambda)^2 J0(2 pi f_r tau)^2; tolerance as above with 4000
    # links x 10 starting points: 3/sqrt(40,000) = 0.015
    fading, speed, tau = Jakes(sinusoids=128, residual_doppler_hz=40.0), 2.0, 0.006
    starts = np.arange(10) * 0.1
    first, later = (power_along(fading, 4000, times, speed) for times in (starts, starts + tau))
    expected = (j0(2 * np.pi * speed / WAVELENGTH_M * tau) * j0(2 * np.pi * 40.0 * tau)) ** 2
    assert 0.1 < expected < 0.5  # both factors count
    assert np.mean((first - 1.0) * (later - 1.0)) == pytest.approx(expected, abs=0.008 + 0.06)


def test_block_fading_is_exponential_and_forgets():
    # 200 blocks x 100 devices: 1 % level 1.63/sqrt(20,000) = 0.0115; correlations of 20,000 pairs: standard error 0.007
    power = power_along(BlockRayleigh(block_s=0.01), 100, np.arange(200) * 0.01)
    assert kstest(power.ravel(), "expon").statistic < 0.0115
    assert abs(np.corrcoef(power[1:].ravel(), power[:-1].ravel())[0, 1]) < 0.03
    assert abs(np.corrcoef(power[:, 1:].ravel(), power[:, :-1].ravel())[0, 1]) < 0.03


# --- shadowing and line of sight --------------------------------------------------------------------


def test_shadowing_at_one_place_is_normal_over_seeds():
    # 2000 seeds: sigma within 4/sqrt(2 * 2000) = 6.3 %, Kolmogorov-Smirnov at the 1 % level
    place, sigma_db = np.array([123.0]), np.array([6.0])
    values = np.array(
        [
            CorrelatedShadowing().start(UrbanMacro(), 0, Streams(seed)).loss_db(place, 2 * place, np.array([False]), sigma_db)[0]
            for seed in range(2000)
        ]
    )
    assert abs(values.mean()) < 4 * 6.0 / np.sqrt(2000)
    assert values.std() == pytest.approx(6.0, rel=0.063)
    assert kstest(values / 6.0, "norm").pvalue > 0.01


@pytest.mark.parametrize("los", [True, False])
def test_shadowing_decorrelates_exponentially(los):
    # 60 seeds x 500 pairs of places spread over (100 d_corr)^2, in random directions: products of unit normals have a
    # standard deviation of at most sqrt(2): sqrt(2/30,000) = 0.008; twice that for places that are not independent
    model, rng = UrbanMacro(), np.random.default_rng(3)
    scale_m = model.shadowing_correlation_m(los=los)
    lags = np.array([0.0, 0.1, 0.3, 1.0, 2.0])
    total = np.zeros(5)
    for seed in range(60):
        field = CorrelatedShadowing().start(model, 0, Streams(seed))
        x, y = rng.uniform(0, 100 * scale_m, (2, 1, 500))
        angle = rng.uniform(0, 2 * np.pi, (1, 500))
        x, y = x + scale_m * lags[:, None] * np.cos(angle), y + scale_m * lags[:, None] * np.sin(angle)
        value = field.loss_db(x, y, np.full(x.shape, los), np.ones(x.shape))
        total += (value * value[0]).mean(axis=1)
    np.testing.assert_allclose(total / 60, np.exp(-lags), atol=0.035)


@pytest.mark.parametrize(("model", "distance_m"), [(UrbanMacro(), 60.0), (UrbanMacro(), 400.0), (UrbanMicro(), 80.0)])
def test_the_share_of_links_in_sight_is_the_probability(model, distance_m):
    # 300 seeds x 40 places on a circle of that radius, some of them near each other; at most 300 * 40 independent
    # ones, at least 300 * (circumference / 100 m): the standard error is taken from the latter
    angle = 2 * np.pi * np.arange(40) / 40
    x, y = distance_m * np.cos(angle), distance_m * np.sin(angle)
    probability = float(model.los_probability(distance_m))
    seen = [sight_field(model.los_correlation_m, 0, Streams(seed)).weight(x, y, np.full(40, probability)).mean() for seed in range(300)]
    independent = 300 * max(1.0, 2 * np.pi * distance_m / 100)
    assert np.mean(seen) == pytest.approx(probability, abs=4 * np.sqrt(probability * (1 - probability) / independent))


# --- motion and presence ----------------------------------------------------------------------------


def test_mean_leg_against_quadrature():
    # E|p - q| in a rectangle: the differences of two uniforms on (0, a) have density 2 (1 - u) of u = |difference| / a
    for width, height in ((1.0, 1.0), (1000.0, 400.0), (50.0, 2000.0)):
        integral, _ = dblquad(lambda u, v, a=width, b=height: 4 * (1 - u) * (1 - v) * np.hypot(a * u, b * v), 0, 1, 0, 1)
        assert mean_leg_m(width, height) == pytest.approx(integral, rel=1e-7)


def test_mean_leg_of_a_very_long_rectangle():
    assert mean_leg_m(1e-300, 300.0) == mean_leg_m(300.0, 1e-300) == 100.0
    for ratio in (1.01e-4, 0.99e-4):  # on both sides of where it is taken for a line
        assert mean_leg_m(3.0, 3.0 * ratio) == pytest.approx(1.0, rel=1e-6)


DEVICES = 10_000


@pytest.fixture(scope="module")
def walks():
    """Motion of 10,000 devices at t = 0 and long after; speeds 1 to 10 m/s, pauses of 10 to 50 s, 600 m x 300 m."""
    model = RandomWaypoint(speed_min_m_s=1.0, speed_max_m_s=10.0, pause_min_s=10.0, pause_max_s=50.0)
    times = np.array([0.0, 25.0, 300.0, 1000.0])
    return model, times, model.start((600.0, 300.0), DEVICES, Streams(1)).at(times, np.arange(DEVICES))


def test_waypoint_pauses_and_speeds_are_stationary(walks):
    model, _, motion = walks
    share = model.pause_probability((600.0, 300.0))
    # while moving, the speed has density 1/(v ln(vmax/vmin)): mean 9/ln 10 = 3.909, mean square 99/(2 ln 10) = 21.5,
    # standard deviation 2.5; a start at uniform speeds would have mean 5.5 and fall
    mean, deviation = 9 / np.log(10), np.sqrt(99 / (2 * np.log(10)) - (9 / np.log(10)) ** 2)
    for speed in motion.speed_m_s:
        moving = speed[speed > 0]
        assert moving.size / DEVICES == pytest.approx(1 - share, abs=4 * np.sqrt(share * (1 - share) / DEVICES))
        assert moving.mean() == pytest.approx(mean, abs=4 * deviation / np.sqrt(moving.size))
        assert kstest(np.log10(moving), "uniform").pvalue > 0.001


def test_waypoint_positions_do_not_drift(walks):
    # two-sample Kolmogorov-Smirnov of the same 10,000 devices at t = 0 and later, at the 0.1 % level; and the distribution is
    # not the uniform one, which a naive start has
    _, _, motion = walks
    middle = np.hypot(motion.x_m - 300.0, motion.y_m - 150.0)
    for later in (2, 3):
        for value in (motion.x_m, motion.y_m, middle):
            assert kstest(value[0], value[later]).pvalue > 0.001
    assert kstest(motion.x_m[0] / 600.0, "uniform").pvalue < 1e-6


def test_what_is_left_of_a_pause_has_the_equilibrium_distribution(walks):
    # of a pause P uniform on 10 .. 50 s, E[P] = 30 s, more than r = 25 s are left with probability
    # E[max(P - r, 0)]/E[P] = (25^2/80)/30 = 0.2604; without the length bias of the pause under way it would be 0.192
    _, _, motion = walks
    paused = motion.speed_m_s[0] == 0.0
    left = np.mean(motion.travelled_m[1, paused] == 0.0)
    assert left == pytest.approx(25.0**2 / 80.0 / 30.0, abs=4 * np.sqrt(0.26 * 0.74 / np.count_nonzero(paused)))


def test_presence_is_stationary():
    # 3000 devices, share on 30/(30 + 10): four standard errors; the change after any instant is exponential with the mean of
    # the state it ends, 1 % level
    process, ids = OnOff(mean_on_s=30.0, mean_off_s=10.0).start(3000, Streams(1)), np.arange(3000)
    for time in (0.0, 7.0, 500.0):
        online = process.online(time, ids)
        assert online.mean() == pytest.approx(0.75, abs=4 * np.sqrt(0.75 * 0.25 / 3000))
        left = process.next_change_s(time, ids) - time
        assert kstest(left[online] / 30.0, "expon").pvalue > 0.01
        assert kstest(left[~online] / 10.0, "expon").pvalue > 0.01
