"""Small-scale fading against closed forms: Doppler, level crossings, Rician statistics, taps and their response over the band.

Fixed streams; each tolerance says where it comes from.
"""

import numpy as np
import pytest
from scipy.special import i0, j0
from scipy.stats import kstest, ncx2

from cosim.interfaces import Band
from cosim.net.fading import Jakes
from cosim.net.pathloss import UrbanMacro
from cosim.net.rician import Rician
from cosim.net.tdl import TappedDelayLine
from cosim.net.tdl_profiles import profile
from cosim.rng import Streams

PATHLOSS, BAND = UrbanMacro(), Band(50 * 180e3, 50)
WAVELENGTH_M = 299792458.0 / 3.5e9
UPWARDS = "Rice"


def start(fading, links, seed=1):
    return fading.start(PATHLOSS, BAND, 0, links, Streams(seed))


def along(path_m, links):
    """Times (T,) and distances travelled (T, links) of links that all go along one path at 1 m/s."""
    path = np.asarray(path_m, float)
    return path, np.repeat(path[:, None], links, axis=1), np.arange(links)


def test_doppler_autocorrelation(within):
    # complex h of 24,000 links, each at an origin of its own: independent pairs. Standard error of a mean of products of
    # unit complex normals 1/sqrt(24,000) = 0.0065 (real part: 0.0046); the worst of 26 lags within 0.03
    links, lags = 24_000, np.arange(26) * 0.2  # fd tau, as distance over wavelength
    waves, ids = start(Jakes(residual_doppler_hz=0.0), links).waves, np.arange(links)
    path = (np.random.default_rng(1).uniform(0, 1000, links) + lags[:, None]) * WAVELENGTH_M
    real, imaginary = waves.sum(lags, path, ids)
    h = real[0] + 1j * imaginary[0]
    found = (h * h[0].conj()).mean(axis=1)
    within("Doppler autocorrelation, fd tau <= 5", "J0", found - j0(2 * np.pi * lags), 0.03, samples=links)


def test_rice_level_crossings_and_fade_durations(within):
    # Jakes, 2000 links x 20 wavelengths at 64 steps each: for rho = 0.3, 1.0, 1.5 at least 2000 * 20 * 0.38 = 15,000 crossings;
    # standard error below 1 % (crossings of a link attract and repel each other), and up to 2 % lost between steps
    times, travelled, ids = along(np.arange(1280) / 64 * WAVELENGTH_M, 2000)
    envelope = np.sqrt(start(Jakes(residual_doppler_hz=0.0), 2000).power(times, travelled, ids))
    for rho in (0.3, 1.0, 1.5):
        below = envelope < rho
        rate = np.count_nonzero(below[:-1] & ~below[1:]) / (2000 * 1279 / 64)
        expected = np.sqrt(2 * np.pi) * rho * np.exp(-(rho**2))
        within(f"level-crossing rate at {rho:g} rms", UPWARDS, rate / expected - 1, 0.05, samples=2000)
        duration = below.mean() / rate
        within(
            f"average fade duration at {rho:g} rms",
            UPWARDS,
            duration / (np.expm1(rho**2) / (rho * np.sqrt(2 * np.pi))) - 1,
            0.05,
            samples=2000,
        )


@pytest.mark.parametrize("k_db", [-3.0, 6.0, 12.0])
def test_rician_power_distribution(within, k_db):
    # 20,000 links, Kolmogorov-Smirnov at the 1 % level: 1.63/sqrt(20,000) = 0.0115, and 0.0036 for 32 waves at most (as for Rayleigh).
    # 2 (K + 1) |h|^2 is noncentral chi-square with 2 degrees of freedom and noncentrality 2 K
    k = 10 ** (k_db / 10)
    power = start(Rician(k_db=k_db), 20_000).power(*along([2.6], 20_000))[0]
    found = kstest(2 * (k + 1) * power, ncx2(2, 2 * k).cdf).statistic
    within(f"Rician power, K = {k_db:g} dB", "Kolmogorov-Smirnov, 1 %", found, 0.0115 + 0.0036, samples=20_000)


def test_rician_level_crossings(within):
    # direct wave across the motion (no shift), K = 3 dB: sqrt(2 pi (K+1)) fd rho e^(-K - (K+1) rho^2) I0(2 rho sqrt(K (K+1)))
    # (Rice 1948); 1500 links x 20 wavelengths: at least 10,000 crossings each, 1 %, and 2 % lost between steps
    k, links = 10**0.3, 1500
    process = start(Rician(k_db=3.0, residual_doppler_hz=0.0), links)
    process.direct.per_m[:] = 0.0
    times, travelled, ids = along(np.arange(1280) / 64 * WAVELENGTH_M, links)
    envelope = np.sqrt(process.power(times, travelled, ids))
    for rho in (0.5, 1.0):
        below = envelope < rho
        rate = np.count_nonzero(below[:-1] & ~below[1:]) / (links * 1279 / 64)
        expected = np.sqrt(2 * np.pi * (k + 1)) * rho * np.exp(-k - (k + 1) * rho**2) * i0(2 * rho * np.sqrt(k * (k + 1)))
        within(f"Rician level-crossing rate, K = 3 dB, {rho:g} rms", "Rice", rate / expected - 1, 0.05, samples=links)


def test_k_factor_of_the_table_is_normal_over_links(within):
    # 20,000 links: mean within 4 * 3.5/sqrt(20,000) = 0.1 dB, standard deviation within 4 * 3.5/sqrt(40,000) = 0.07 dB
    share = start(Rician(), 20_000).direct_share
    k_db = 10 * np.log10(share / (1 - share))
    within("K factor UMa, mean", "TR 38.901 table 7.5-6", k_db.mean() - 9.0, 0.1, unit="dB", samples=20_000)
    within("K factor UMa, standard deviation", "TR 38.901 table 7.5-6", k_db.std() - 3.5, 0.07, unit="dB", samples=20_000)


@pytest.mark.parametrize("name", list("ABCDE"))
def test_tap_powers(within, name):
    # 4000 links x 24 places, half a wavelength or more apart: 96,000 samples of unit exponentials per tap, of which the waves of a
    # link leave at least 1/3 independent: standard error 1/sqrt(32,000) = 0.56 % = 0.024 dB; 0.1 dB is four of them
    links = 4000
    process = start(TappedDelayLine(profile=name), links)
    times, travelled, ids = along(np.arange(24) * 3.7 * WAVELENGTH_M, links)
    found = np.zeros(process.profile.power.size)
    for row in range(24):
        real, imaginary = process.amplitudes(times[row : row + 1], travelled[row : row + 1], ids)
        found += (real.astype(float) ** 2 + imaginary.astype(float) ** 2).mean(axis=(1, 2)) / 24
    taps = profile(name)
    expected = taps.power.copy()
    expected[0] += taps.direct_power
    within(f"TDL-{name} realised tap powers", "TR 38.901 7.7.2", 10 * np.log10(found / expected), 0.1, unit="dB", samples=links * 24)


@pytest.mark.parametrize("name", ["A", "C", "E"])
def test_correlation_over_the_band(within, name):
    # Cov(|H(f)|^2, |H(f')|^2) of A to C is |r|^2, r = sum_l p_l e^(-2 pi i (f - f') tau_l): 20,000 links, products of unit
    # exponentials have a standard deviation of at most 3: 3/sqrt(20,000) = 0.021, two and a half of them. With a direct path of
    # power q, |r|^2 - q^2
    links, spread = 20_000, 363e-9
    power = start(TappedDelayLine(profile=name, delay_spread_s=spread), links).subband_power(*along([1.9], links))[0]
    taps = profile(name)
    lags = np.arange(50) * 180e3
    turns = np.exp(-2j * np.pi * np.outer(lags, taps.delay * spread))
    expected = np.abs(turns @ taps.power + taps.direct_power) ** 2 - taps.direct_power**2
    found = ((power[:, :1] - 1) * (power - 1)).mean(axis=0)
    within(f"TDL-{name} correlation of power over 9 MHz", "Fourier transform of the profile", found - expected, 0.053, samples=links)


def test_a_subband_of_a_line_without_direct_path_is_rayleigh(within):
    # 20,000 links; 1 % level 0.0115; 8 waves on each of 24 taps leave less than the 0.0036 of 32 on one
    power = start(TappedDelayLine(profile="B"), 20_000).subband_power(*along([0.7], 20_000))[0, :, 31]
    within("TDL-B sub-band power", "Kolmogorov-Smirnov, 1 %", kstest(power, "expon").statistic, 0.0115 + 0.0036, samples=20_000)
