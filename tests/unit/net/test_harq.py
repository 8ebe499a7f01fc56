"""Transport blocks that fail: sent again, combined, given back to the queue after the last attempt."""

import numpy as np
import pytest

from cosim.net import harq
from cosim.net.harq import Harq, Sent, SlotChances
from cosim.net.mcs import TransportBlocks, curves
from cosim.net.transfer import Medium, Transfers
from cosim.net.transfer_records import AGAIN, BITS, HELD
from cosim.net.uplink_schedulers import MaxCI, ProportionalFair
from cosim.rng import Streams

SLOT_S = 1e-3
BAND = {"bandwidth_hz": 10e6, "slot_s": SLOT_S}


class Constant:
    def __init__(self, gain=1.0):
        self._gain = gain

    def gain(self, times_s, device_ids):
        return np.full((len(times_s), len(device_ids)), self._gain)

    mean_gain = gain


def window_of(uplink, snr_db, bits, devices=1, seed=1):
    """The first window of transfers with this SNR over the whole band."""
    snr_hz = 10 ** (snr_db / 10) * uplink.usable_bandwidth_hz
    transfers = Transfers.of(np.arange(devices), np.zeros(devices), snr_hz, np.full(devices, bits))
    transfers.begin(np.arange(devices), 0.0)
    return Medium(uplink, Constant(), streams=Streams(seed)).window(transfers, 0.0, 0.0), transfers


class Luck:
    """Draws as they are wanted, by (slot, device)."""

    def __init__(self, bad):
        self.bad = bad

    def of(self, slot, device_ids):
        return np.array([0.0 if (slot, int(k)) in self.bad else 0.999999 for k in device_ids])


@pytest.fixture
def luck(monkeypatch):
    def set_to(*bad):
        monkeypatch.setattr("cosim.net.transfer.SlotChances", lambda _streams: Luck(set(bad)))

    return set_to


def test_what_arrives_without_errors_is_the_block_size(luck):
    luck()
    uplink = MaxCI(**BAND, rate=TransportBlocks(), overhead=0.1)
    window, _ = window_of(uplink, 12.0, 1e9)
    needed = curves().needed_db(np.arange(29), np.floor(52 * 144 * _efficiency()), 0.1)
    mcs = np.flatnonzero(needed <= 12.0).max()
    assert np.diff(window.total[BITS, 0]) == pytest.approx(np.full(64, np.floor(np.floor(52 * 144 * _efficiency()[mcs]) * 0.9)))


def _efficiency():
    from cosim.net.mcs import EFFICIENCY

    return EFFICIENCY


def test_a_failed_block_comes_again_after_its_delay_and_combining_decodes_it(luck):
    luck((3, 0))
    uplink = MaxCI(**BAND, rate=TransportBlocks(harq_delay_slots=5))
    window, transfers = window_of(uplink, 12.0, 1e9)
    arrived = np.diff(window.total[BITS, 0])
    size = arrived[0]
    assert arrived[3] == 0
    assert arrived[8] == size  # slot 3 + 5 is spent on it
    assert np.delete(arrived, 3) == pytest.approx(np.full(63, size))
    assert np.flatnonzero(window.slope[AGAIN, 0]).tolist() == [8]
    assert window.slope[AGAIN, 0, 8] * SLOT_S == pytest.approx(size)
    assert transfers.memory.harq.in_flight_bits[0] == 0


def test_an_upload_resumes_with_what_has_failed_for_good(luck):
    luck((0, 0), (4, 0), (8, 0))
    uplink = MaxCI(**BAND, rate=TransportBlocks(harq_delay_slots=4, harq_attempts=3))
    window, transfers = window_of(uplink, -6.0, 2000.0)  # two blocks of MCS 0; at -3 and -1.2 dB combined luck decides
    assert transfers.memory is not None
    arrived = np.diff(window.total[BITS, 0])
    assert arrived.sum() == 2000.0
    assert arrived[0] == arrived[4] == arrived[8] == 0
    assert window.completion_s(transfers, np.array([0]))[0] == window.end_s
    first = Sent(*(np.array([v]) for v in (0, 900.0, 1000.0, 52, 0, 1.0, 1)))
    assert first.sent_again(np.array([0.5])).sinr[0] == 1.5


def test_chase_combining_halves_the_needed_sinr_with_each_copy():
    sent = Sent(*(np.array([v]) for v in (0, 900.0, 5000.0, 52, 10, 0.0, 0)))
    needed = 10 ** (curves().needed_db(np.array([10]), np.array([5000.0]), 0.1)[0] / 10)
    once = sent.sent_again(np.array([needed / 2]))
    assert once.failed(np.array([0.999]))[0]
    assert not once.sent_again(np.array([needed / 2])).failed(np.array([0.11]))[0]
    assert once.sent_again(np.array([needed / 2])).failed(np.array([0.09]))[0]


def test_block_error_rate_is_within_the_target():
    """First transmissions on a known channel fail at most as often as asked for; the choice is not needlessly timid either."""
    uplink = ProportionalFair(**BAND, rate=TransportBlocks(), snr_min_db=-6.0)
    rng = np.random.default_rng(5)
    table = rng.exponential(size=4096)

    class Rayleigh(Constant):
        def gain(self, times_s, device_ids):
            return table[np.rint(np.asarray(times_s) / SLOT_S).astype(int) % 4096][:, None] * np.ones(len(device_ids))

    transfers = Transfers.of(np.arange(1), np.zeros(1), 30 * uplink.usable_bandwidth_hz, np.array([1e12]))
    transfers.begin(0, 0.0)
    medium, now_s, again, slots = Medium(uplink, Rayleigh(), streams=Streams(3)), 0.0, 0, 0
    while slots < 1500:
        window = medium.window(transfers, 0.0, now_s)
        slots, now_s = slots + window.slope.shape[2], window.end_s
        again += np.count_nonzero(window.slope[AGAIN])
        window.settle(transfers, np.array([0]), now_s)
    assert 0.01 < again / slots < 0.1


def test_luck_is_a_function_of_seed_slot_and_device():
    few, many = SlotChances(Streams(7)), SlotChances(Streams(7))
    for slot in (0, 63, 64, 1000, 5):
        some = few.of(slot, np.array([4, 1]))
        assert (many.of(slot, np.arange(50))[[4, 1]] == some).all()
    assert few.of(5, np.array([1])) != few.of(6, np.array([1]))
    draws = np.concatenate([many.of(slot, np.arange(50)) for slot in range(200)])
    assert draws.mean() == pytest.approx(0.5, abs=0.01)  # 3.5 standard errors of 10,000 draws
    assert harq._SLOTS == 64


def test_two_devices_retransmit_and_send_in_the_same_slot(luck):
    """The blocks that a retransmission needs are taken off the band; what is left goes to others."""
    luck((0, 0))
    uplink = MaxCI(**BAND, rate=TransportBlocks(harq_delay_slots=2), snr_min_db=0.0)
    snr_hz = 30.5 * uplink.block_hz  # 30 blocks at most
    transfers = Transfers.of(np.arange(3), np.zeros(3), snr_hz, np.full(3, 1e9))
    transfers.begin(np.arange(3), 0.0)
    window = Medium(uplink, Constant(), streams=Streams(1)).window(transfers, 0.0, 0.0, 4 * SLOT_S)
    blocks = window.slope[HELD] / uplink.block_hz
    assert blocks.T.tolist() == [[30, 22, 0], [30, 22, 0], [30, 22, 0], [30, 22, 0]]
    assert np.diff(window.total[BITS])[0, 0] == 0
    assert Harq(np.zeros(1)).take(0, np.ones(1, bool)) is None
