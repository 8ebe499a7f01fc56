"""Open-loop power control: TS 38.213, 7.1.1 by hand, and as a rate."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosim.net.power import OpenLoop
from cosim.net.transfer import Medium, Transfers
from cosim.net.transfer_records import AIRTIME, BITS
from cosim.net.uplink import Ideal
from cosim.net.uplink_schedulers import RoundRobin
from cosim.rate import Shannon

P_MAX_DBM, SNR_PER_GAIN = 23.0, 10 ** ((23 + 174 - 5) / 10)


@given(st.floats(-110, -60), st.floats(0, 1), st.integers(1, 270), st.sampled_from([15e3, 30e3, 60e3]), st.floats(60, 150))
def test_power_of_the_standard(p0_dbm, alpha, blocks, spacing_hz, loss_db):
    law = OpenLoop(p0_dbm=p0_dbm, alpha=alpha).start(P_MAX_DBM, SNR_PER_GAIN)
    share = np.minimum(1.0, law.per_hz(np.array(10 ** (-loss_db / 10))) * blocks * 12 * spacing_hz)
    mu = np.log2(spacing_hz / 15e3)
    expected_dbm = min(P_MAX_DBM, p0_dbm + 10 * np.log10(2**mu * blocks) + alpha * loss_db)
    assert 10 * np.log10(share) + P_MAX_DBM == pytest.approx(expected_dbm, abs=1e-9)


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0])
def test_the_controlled_rate_is_a_rate(alpha):
    law = OpenLoop(p0_dbm=-85, alpha=alpha).start(P_MAX_DBM, SNR_PER_GAIN)
    rate, s = law.planning_rate(Shannon()), SNR_PER_GAIN * 10 ** (-np.array([80.0, 100.0, 115.0, 130.0]) / 10)
    b = np.geomspace(1e3, 1e8, 400)[:, None]
    value, slope = rate.value(b, s), rate.derivative(b, s)
    assert (np.diff(value, axis=0) > 0).all()
    assert (np.diff(slope, axis=0) <= 1e-9 * slope[:-1]).all()
    chord = np.diff(value, axis=0) / np.diff(b, axis=0)
    assert (chord <= slope[:-1] * (1 + 1e-9)).all()
    assert (chord >= rate.derivative(b[1:], s, side="left") * (1 - 1e-9)).all()
    assert rate.inverse(value, s) == pytest.approx(np.broadcast_to(b, value.shape), rel=1e-6)
    assert (value <= Shannon().value(b, s) * (1 + 1e-12)).all()
    assert np.isinf(rate.inverse(rate.supremum(s) * 1.01, s)).all()
    assert rate.inverse(0.0, s).tolist() == [0, 0, 0, 0]


class Near:
    def gain(self, times_s, device_ids):
        return np.full((len(times_s), len(device_ids)), 1e-9)  # 90 dB

    mean_gain = gain


@pytest.mark.parametrize("uplink", [Ideal(bandwidth_hz=1.8e6), RoundRobin(bandwidth_hz=1.8e6)])
def test_a_near_device_sends_with_less_power_and_is_charged_less(uplink):
    """10 blocks at P_0 = -100 dBm and full compensation: -90 + 90 = 0 dBm, 23 dB below the greatest power."""
    law = OpenLoop(p0_dbm=-100, alpha=1.0).start(P_MAX_DBM, SNR_PER_GAIN)
    transfers = Transfers.of(np.arange(1), uplink.quotas(np.array([1.8e6])), SNR_PER_GAIN, np.array([1e9]))
    transfers.begin(0, 0.0)
    window = Medium(uplink, Near(), law=law).window(transfers, 0.0, 0.0)
    share = 10**-2.3
    assert window.slope[AIRTIME, 0] == pytest.approx(np.full(window.slope.shape[2], share))
    assert window.slope[BITS, 0] == pytest.approx(np.full(window.slope.shape[2], Shannon().value(1.8e6, share * SNR_PER_GAIN * 1e-9)))
    window.settle(transfers, np.array([0]), window.end_s)
    assert transfers.airtime_s[0] == pytest.approx(share * window.end_s)


@pytest.mark.parametrize("uplink", [Ideal(bandwidth_hz=1.8e6), RoundRobin(bandwidth_hz=1.8e6)])
def test_a_device_of_less_power_sends_at_the_same_and_uses_more_of_its_own(uplink):
    """The power that arrives is what is controlled: with a quarter of the greatest power, four times the share of it, and the same bits."""
    law = OpenLoop(p0_dbm=-100, alpha=1.0).start(P_MAX_DBM, SNR_PER_GAIN)
    windows = []
    for part in (1.0, 0.25):
        transfers = Transfers.of(np.arange(1), uplink.quotas(np.array([1.8e6])), part * SNR_PER_GAIN, np.array([1e9]))
        transfers.begin(0, 0.0)
        windows.append(Medium(uplink, Near(), law=law).window(transfers, 0.0, 0.0))
    strong, weak = windows
    assert weak.slope[AIRTIME, 0] == pytest.approx(4.0 * strong.slope[AIRTIME, 0])
    assert weak.slope[BITS, 0] == pytest.approx(strong.slope[BITS, 0])
