"""A device gets no more blocks than it can light up: a scheduler that ignores this hands the band to those who cannot use it."""

import numpy as np
import pytest

from cosim.net.mcs import TransportBlocks
from cosim.net.transfer import Medium, Transfers
from cosim.net.uplink_schedulers import MaxCI, ProportionalFair, RoundRobin
from cosim.rng import Streams

SLOT_S, SLOTS = 1e-3, 600


class Fading:
    """20 devices at the edge of a cell: their power over 52 blocks reaches -20 dB on average."""

    def __init__(self):
        self._table = np.random.default_rng(2).exponential(size=(SLOTS + 300, 20))

    def gain(self, times_s, device_ids):
        return self._table[np.rint(np.asarray(times_s) / SLOT_S).astype(int)][:, device_ids]

    mean_gain = gain


def throughput_bps(uplink):
    transfers = Transfers.of(np.arange(20), np.zeros(20), 10**-2.0 * uplink.usable_bandwidth_hz, np.full(20, 1e12))
    transfers.begin(np.arange(20), 0.0)
    medium, now_s = Medium(uplink, Fading(), streams=Streams(1)), 0.0
    while now_s < (SLOTS - 0.5) * SLOT_S:
        window = medium.window(transfers, 0.0, now_s, SLOTS * SLOT_S)
        now_s = window.end_s
        window.settle(transfers, np.arange(20), now_s)
    return (1e12 - transfers.backlog_bits).sum() / now_s


@pytest.mark.parametrize("kind", [ProportionalFair, RoundRobin, MaxCI])
def test_ignoring_the_limit_of_power_collapses(kind, monkeypatch):
    uplink = kind(bandwidth_hz=10e6, slot_s=SLOT_S, rate=TransportBlocks())
    limited = throughput_bps(uplink)
    assert limited > 0.8e6
    monkeypatch.setattr(kind, "snr_min", 1e-9)  # the whole band to one device
    assert throughput_bps(uplink) < limited / 10
