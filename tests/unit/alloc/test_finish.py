"""All devices done at one moment: on its own, since who asks for it has a slower way behind it."""

import numpy as np
import pytest

from cosim.alloc import finish
from cosim.alloc.finish import finish_together
from cosim.alloc.problem import falling_root
from cosim.rate import ErgodicRayleigh, ErgodicTruncated, Shannon, TruncatedShannon

RATES = [Shannon(), ErgodicRayleigh(), ErgodicTruncated(TruncatedShannon())]


def instance(rng, devices):
    """SNR [Hz], own times [s], bits, and the band [Hz]; links and sizes over two orders of magnitude."""
    return 10 ** rng.uniform(6.5, 8.5, devices), rng.uniform(0, 1, devices), 10 ** rng.uniform(5, 7, devices), 2e5 * devices


def limits(rate, snr, own_s, bits, band_hz):
    """When the last would be done with all of the band for each, and with equal shares."""
    return tuple(float((own_s + bits / rate.value(share, snr)).max()) for share in (band_hz, band_hz / snr.size))


@pytest.mark.parametrize("rate", RATES, ids=repr)
@pytest.mark.parametrize("devices", [2, 9, 100])
def test_all_finish_at_the_moment_at_which_needs_add_up_to_the_band(rate, devices):
    snr, own_s, bits, band_hz = instance(np.random.default_rng(devices), devices)
    low, high = limits(rate, snr, own_s, bits, band_hz)
    moment_s, share = finish_together(rate, snr, own_s, bits, (low, high, band_hz))
    assert share.sum() == pytest.approx(band_hz, rel=1e-12)
    assert own_s + bits / rate.value(share, snr) == pytest.approx(np.full(devices, moment_s), rel=1e-12)

    def lacking(tau_s):
        return float(rate.inverse(bits / np.maximum(tau_s - own_s, 1e-12), snr).sum()) - band_hz

    assert moment_s == pytest.approx(falling_root(lacking, max(low, own_s.max() * (1 + 1e-9)), high), rel=1e-9)


@pytest.mark.parametrize("rate", RATES, ids=repr)
def test_steps_are_few(rate, monkeypatch):
    looks, tangent = [], finish.tangent

    def counted(*arguments):
        looks.append(1)
        return tangent(*arguments)

    monkeypatch.setattr(finish, "tangent", counted)
    most = 0
    for seed in range(20):
        snr, own_s, bits, band_hz = instance(np.random.default_rng(seed), 20)
        looks.clear()
        assert finish_together(rate, snr, own_s, bits, (*limits(rate, snr, own_s, bits, band_hz), band_hz)) is not None
        most = max(most, len(looks))
    assert most <= 8


class Times(np.ndarray):
    """Own times of devices that remember the moments that they are taken from."""

    def __rsub__(self, moment):
        self.tried.append(moment)
        return moment - self.view(np.ndarray)


@pytest.mark.parametrize("rate", RATES, ids=repr)
def test_moments_are_found_in_few_steps_too(rate):
    """Between looks at the rate the laws are followed to a moment: Newton's method, from where the last look led."""
    tried = []
    for seed in range(20):
        snr, own_s, bits, band_hz = instance(np.random.default_rng(seed), 20)
        times = own_s.view(Times)
        times.tried = tried
        assert finish_together(rate, snr, times, bits, (*limits(rate, snr, own_s, bits, band_hz), band_hz)) is not None
    assert len(tried) <= 12 * 20


@pytest.mark.parametrize("unit_s", [1e-9, 1e6])
def test_units_of_time_do_not_matter(unit_s):
    snr, own_s, bits, band_hz = instance(np.random.default_rng(1), 9)
    low, high = limits(Shannon(), snr, own_s, bits, band_hz)
    moment_s, share = finish_together(Shannon(), snr, own_s, bits, (low, high, band_hz))
    other_s, other = finish_together(Shannon(), snr, unit_s * own_s, unit_s * bits, (unit_s * low, unit_s * high, band_hz))
    assert other_s == pytest.approx(unit_s * moment_s, rel=1e-11)
    assert other == pytest.approx(share, rel=1e-11)


def test_a_device_that_is_ready_just_in_time_decides():
    """The last device begins so late that it needs nearly all of the band: log demand is straight where it decides."""
    own_s, bits, snr = np.array([0.1, 0.1, 50.0]), np.array([1e6, 1e6, 1e7]), np.full(3, 1e8)
    low, high = limits(Shannon(), snr, own_s, bits, 1e6)
    moment_s, share = finish_together(Shannon(), snr, own_s, bits, (low, high, 1e6))
    assert share[2] > 0.9e6
    assert own_s + bits / Shannon().value(share, snr) == pytest.approx(np.full(3, moment_s), rel=1e-12)
