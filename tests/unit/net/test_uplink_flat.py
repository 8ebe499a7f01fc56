"""On a flat channel, counting blocks is the same as handing them out one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.interfaces import Band
from cosim.net.power import PowerLaw
from cosim.net.transfer import Medium, Transfers
from cosim.net.uplink_schedulers import MaxCI, ProportionalFair, RoundRobin, WorkConserving

SLOT_S, N = 1e-3, 5
GAINS = np.random.default_rng(4).exponential(size=(400, N)) * np.array([3.0, 1.0, 1.0, 0.1, 0.02])


class Channel:
    """As a flat one, and as a selective one whose sub-bands, one per block, are all alike."""

    def __init__(self, blocks):
        self.band = Band(blocks * 180e3, blocks)

    def gain(self, times_s, device_ids):
        return GAINS[np.rint(np.asarray(times_s) / SLOT_S).astype(int)][:, device_ids]

    def mean_gain(self, times_s, device_ids):
        return np.broadcast_to(GAINS.mean(axis=0)[device_ids], (len(times_s), len(device_ids)))


class Alike(Channel):
    def gain(self, times_s, device_ids):
        return np.repeat(super().gain(times_s, device_ids)[:, :, None], self.band.subbands, axis=2)


def windows(uplink, subbands, bits, begin_slots, law):
    """All windows until everything is sent; rows begin at slot edges."""
    transfers = Transfers.of(np.arange(N), uplink.quotas(np.full(N, uplink.usable_bandwidth_hz / N)), 8e6, np.array(bits, float))
    medium, now, found = Medium(uplink, Channel(uplink.blocks), subbands, law=law), 0, []
    while not transfers.done.all() and now < 300:
        transfers.begin(np.flatnonzero(~transfers.done & ~transfers.sending & (np.array(begin_slots) <= now)), now * SLOT_S)
        coming = [slot for slot in begin_slots if slot > now]
        rows = np.flatnonzero(transfers.sending)
        if not rows.size:
            now = min(coming)
            continue
        window = medium.window(transfers, 0.0, now * SLOT_S, min(coming, default=300) * SLOT_S)
        end_s = window.completion_s(transfers, rows)
        window.settle(transfers, rows, np.minimum(end_s, window.end_s))
        transfers.complete(rows[end_s <= window.end_s])
        now = round(window.end_s / SLOT_S)
        found.append((rows, window, end_s))
    return found, transfers


@pytest.mark.parametrize("kind", [WorkConserving, RoundRobin, ProportionalFair, MaxCI])
@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.integers(1, 50_000), min_size=N, max_size=N),
    st.lists(st.integers(0, 30), min_size=N, max_size=N),
    st.sampled_from([0, 3]),
    st.booleans(),
)
def test_counting_is_handing_out(kind, bits, begin_slots, delay, controlled):
    uplink = kind(bandwidth_hz=1.8e6, slot_s=SLOT_S, report_delay_slots=delay, overhead=0.1, uplink_share=0.7)
    law = PowerLaw(aim=0.4, alpha=0.8, snr_per_gain_hz=8e6) if controlled else None
    counted, one = windows(uplink, None, bits, begin_slots, law)
    handed_out, other = windows(uplink, Alike(uplink.blocks), bits, begin_slots, law)
    assert len(counted) == len(handed_out)
    for (rows, window, end_s), (same_rows, same, same_end_s) in zip(counted, handed_out, strict=True):
        np.testing.assert_array_equal(rows, same_rows)
        np.testing.assert_allclose(end_s, same_end_s, rtol=1e-9)
        np.testing.assert_array_equal(window.edges_s, same.edges_s)
        np.testing.assert_allclose(window.slope, same.slope[:3], rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(one.airtime_s, other.airtime_s, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(one.backlog_bits, other.backlog_bits, rtol=1e-9, atol=1e-6)
