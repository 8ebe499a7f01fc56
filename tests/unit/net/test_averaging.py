"""Averages of a channel over a window: variances against quadrature, simulation and the real fading process."""

import numpy as np
import pytest
from scipy.special import j0

from cosim.interfaces import Band
from cosim.net.averaging import block_average_variance, clarke_average_variance, drift_deviation, outage_margin
from cosim.net.fading import BlockRayleigh, Jakes, NoFading
from cosim.net.pathloss import UrbanMacro
from cosim.net.rician import Rician
from cosim.net.tdl import TappedDelayLine
from cosim.rate import Shannon
from cosim.rng import Streams
from cosim.units import SPEED_OF_LIGHT_M_S

WAVELENGTH_M = SPEED_OF_LIGHT_M_S / UrbanMacro().carrier_hz
DEVICES = 2000


@pytest.mark.parametrize("window_s", [0.01, 1.0, 10.0])
@pytest.mark.parametrize(
    ("doppler_hz", "residual_hz", "within"),
    [(0.0, 0.0, 1e-9), (0.0, 1.5, 1e-3), (0.7, 0.0, 1e-3), (1.5, 1.5, 1e-2), (12.0, 1.5, 1e-3), (350.0, 1.5, 1e-3), (350.0, 0.0, 1e-3)],
)
def test_the_variance_of_an_average_is_the_integral_of_the_autocovariance(window_s, doppler_hz, residual_hz, within):
    u = (np.arange(1_000_000) + 0.5) / 1e6
    covariance = j0(2 * np.pi * doppler_hz * window_s * u) ** 2 * j0(2 * np.pi * residual_hz * window_s * u) ** 2
    expected = 2.0 * np.mean((1.0 - u) * covariance)
    assert clarke_average_variance(window_s, [doppler_hz], residual_hz)[0] == pytest.approx(expected, rel=within)


def test_each_device_has_the_variance_of_its_own_speed():
    doppler_hz = np.linspace(0.0, 300.0, 9001)  # more than are computed at once
    together = clarke_average_variance(2.0, doppler_hz, 1.5)
    assert [clarke_average_variance(2.0, doppler_hz[k : k + 1], 1.5)[0] for k in (0, 17, 8192, 9000)] == list(together[[0, 17, 8192, 9000]])


@pytest.mark.parametrize("blocks", [0.3, 1.0, 2.7, 40.0])
def test_the_variance_over_blocks_is_that_of_shares_of_blocks(blocks):
    """The average is a sum of exponentials weighted by their shares w_i of the window: its variance is the mean of sum w_i^2."""
    starts = (np.arange(20_000) + 0.5) / 20_000
    edges = np.arange(0, int(blocks) + 3)
    overlap = np.minimum(edges[1:], starts[:, None] + blocks) - np.maximum(edges[:-1], starts[:, None])
    expected = np.mean(np.sum((np.maximum(overlap, 0.0) / blocks) ** 2, axis=1))
    assert block_average_variance(0.01 * blocks, 0.01) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("lag", "window"), [(0.0, 1e-4), (0.0, 0.5), (1.0, 0.0), (0.7, 2.0), (0.0, 30.0)])
def test_drift_is_the_conditional_deviation_of_an_exponentially_correlated_process(lag, window):
    """Against the conditional covariance matrix on a grid: C(a, b) = e^-|a-b| - e^-a e^-b, its mean over the window."""
    d = lag + window * (np.arange(1500) + 0.5) / 1500
    matrix = np.exp(-np.abs(d[:, None] - d)) - np.exp(-d[:, None] - d)
    assert drift_deviation(lag, window) == pytest.approx(np.sqrt(matrix.mean()), rel=2e-3)


def test_without_fading_or_drift_there_is_no_margin_and_one_fade_has_the_exponential_quantile():
    assert outage_margin(0.05, [0.0], [0.0])[0] == 1.0
    assert outage_margin(0.05, [1.0], [0.0])[0] == pytest.approx(-np.log(0.95), rel=1e-9)
    assert outage_margin(0.05, [0.0], [6.0])[0] == pytest.approx(10 ** (-0.6 * 1.6448536), rel=1e-7)


def _average_rates(speed_m_s, window_s, snr):
    """Means over a window of Shannon's rate in the real Jakes process, one link per device (DEVICES,)."""
    ids = np.arange(DEVICES)
    process = Jakes().start(UrbanMacro(), Band(1.0, 1), 0, DEVICES, Streams(8))
    doppler_hz = speed_m_s / WAVELENGTH_M + 1.5
    times = 20.0 + window_s * (np.arange(max(40, int(4 * doppler_hz * window_s))) + 0.5) / max(40, int(4 * doppler_hz * window_s))
    total = np.zeros(DEVICES)
    for time_s in times:  # one instant at once: bounds the memory
        now = np.array([time_s])
        total += Shannon().value(1.0, snr * process.power(now, np.full((1, DEVICES), speed_m_s * time_s), ids)[0])
    return total / len(times)


@pytest.mark.parametrize(("speed_m_s", "window_s"), [(0.0, 0.5), (0.0, 3.0), (1.0, 0.5)])
@pytest.mark.parametrize("snr_db", [-15.0, 20.0])
def test_the_real_process_falls_short_of_the_plan_no_more_often_than_planned(speed_m_s, window_s, snr_db):
    """2,000 links, standard errors 0.5 % at 5 % and 0.9 % at 20 %: three of them above, and not less than half as often.

    Below the target because a sum of 32 waves averages faster than the spectrum it stands for, and at high SNR because the
    ergodic rate pays for fades as well.
    """
    snr = 10.0 ** (snr_db / 10.0)
    variance = clarke_average_variance(window_s, [speed_m_s / WAVELENGTH_M], 1.5)
    rates = _average_rates(speed_m_s, window_s, snr)
    for outage, above in ((0.05, 0.015), (0.2, 0.027)):
        planned = Jakes().ergodic(Shannon()).value(1.0, outage_margin(outage, variance, 0.0)[0] * snr)
        assert outage / 2 < np.mean(rates < planned) < outage + above


def test_every_fading_tells_its_variance_and_selective_or_direct_paths_an_upper_bound():
    doppler_hz = np.array([0.0, 20.0, 200.0])
    clarke = clarke_average_variance(0.4, doppler_hz, 1.5)
    assert NoFading().average_variance(0.4, doppler_hz).tolist() == [0.0, 0.0, 0.0]
    assert BlockRayleigh(block_s=0.1).average_variance(0.4, doppler_hz).tolist() == [block_average_variance(0.4, 0.1)] * 3
    for fading in (Jakes(), Rician(), TappedDelayLine()):
        assert fading.average_variance(0.4, doppler_hz).tolist() == clarke.tolist()
