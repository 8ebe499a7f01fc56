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


def test_a_device_that_is_ready_just_in_time_decides():
    """The last device begins so late that it needs nearly all of the band: log demand is straight where it decides."""
    own_s, bits, snr = np.array([0.1, 0.1, 50.0]), np.array([1e6, 1e6, 1e7]), np.full(3, 1e8)
    low, high = limits(Shannon(), snr, own_s, bits, 1e6)
    moment_s, share = finish_together(Shannon(), snr, own_s, bits, (low, high, 1e6))
    assert share[2] > 0.9e6
    assert own_s + bits / Shannon().value(share, snr) == pytest.approx(np.full(3, moment_s), rel=1e-12)
