"""How the model reaches the devices, by hand: on a constant channel each mode has a closed form."""

import numpy as np
import pytest

from cosim.net.downlink import Downlink
from cosim.rate import Shannon

GAIN = np.array([4.0, 1.0, 2.0])
BAND_HZ, BITS, IDS = 1e6, 3e6, np.arange(3)


class Constant:
    def gain(self, times_s, device_ids):
        return np.broadcast_to(GAIN[device_ids], (len(times_s), len(device_ids)))


class Alternating:
    """Device 0 is the weaker one in even slots, device 1 in odd ones."""

    def gain(self, times_s, device_ids):
        odd = (np.rint(np.asarray(times_s) / 0.01).astype(int) % 2 == 1)[:, None]
        return np.where(odd == (np.asarray(device_ids) == 0), 3.0, 1.0)


def end_s(mode, channel=None, ids=IDS, bits=BITS):
    downlink = Downlink(mode=mode, bandwidth_hz=BAND_HZ)
    return downlink.end_s(channel or Constant(), ids, np.full(len(ids), bits), 2.0, snr_per_gain_hz=1e6, slot_s=0.01)


def rate(share, gain):
    return share * BAND_HZ * np.log2(1 + gain)


EXPECTED = {
    "broadcast": BITS / rate(1, GAIN),
    "multicast": np.full(3, BITS / rate(1, 1.0)),
    "unicast": BITS / rate(1 / 3, GAIN),
}


@pytest.mark.parametrize("mode", EXPECTED)
def test_closed_forms(mode):
    np.testing.assert_allclose(end_s(mode) - 2.0, EXPECTED[mode], rtol=1e-9)
    planned = Downlink(mode=mode, bandwidth_hz=BAND_HZ).planned_s(Shannon(), 1e6 * GAIN, np.full(3, BITS))
    np.testing.assert_allclose(planned, EXPECTED[mode], rtol=1e-12)


def test_multicast_goes_at_the_rate_of_whoever_is_weakest_in_the_slot():
    both = end_s("multicast", Alternating(), np.arange(2))
    np.testing.assert_allclose(both - 2.0, BITS / rate(1, 1.0), rtol=1e-9)
    alone = end_s("broadcast", Alternating(), np.arange(2))
    np.testing.assert_allclose(alone - 2.0, BITS / ((rate(1, 1.0) + rate(1, 3.0)) / 2), rtol=5e-3)  # a slot of 200


def test_nobody_and_nothing():
    for mode in EXPECTED:
        assert end_s(mode, ids=np.zeros(0, np.int64)).size == 0
        np.testing.assert_array_equal(end_s(mode, bits=0.0), 2.0)
        assert Downlink(mode=mode).planned_s(Shannon(), np.zeros(0), np.zeros(0)).size == 0
