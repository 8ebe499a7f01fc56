"""Schedulers by their textbook properties: on channels drawn anew in each slot, and against `allocated`."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.interfaces import Band
from cosim.net.transfer import Medium, Transfers
from cosim.net.transfer_records import BITS, HELD
from cosim.net.uplink import Allocated
from cosim.net.uplink_schedulers import MaxCI, ProportionalFair, RoundRobin, WorkConserving

SLOT_S = 1e-3
N = 6
BAND = {"bandwidth_hz": 1.8e6, "slot_s": SLOT_S}  # 10 blocks of 180 kHz
KINDS = [WorkConserving, RoundRobin, ProportionalFair, MaxCI]


class Channel:
    def __init__(self, gain):
        self._gain = gain

    def gain(self, times_s, device_ids):
        slots = np.rint(np.asarray(times_s) / SLOT_S).astype(int)
        return np.asarray(self._gain(slots[:, None], np.asarray(device_ids)[None, :]) * np.ones((len(slots), len(device_ids))))

    mean_gain = gain


def rayleigh(slots, seed=1, devices=N):
    """Exponential gains of mean 1, independent over slots and devices."""
    table = np.random.default_rng(seed).exponential(size=(slots, devices))
    return Channel(lambda slot, device: table[slot % slots, device]), table


def constant(gains=(1.0,) * N):
    return Channel(lambda _slot, device: np.asarray(gains)[device])


def windows(uplink, channel, transfers, slots, subbands=None):
    """Everybody sends from t = 0 for a number of slots."""
    medium = Medium(uplink, channel, subbands)
    transfers.begin(np.arange(len(transfers.device_ids)), 0.0)
    found, now_s = [], 0.0
    while now_s < (slots - 0.5) * SLOT_S and transfers.sending.any():
        window, rows = medium.window(transfers, 0.0, now_s, slots * SLOT_S), np.flatnonzero(transfers.sending)
        end_s = window.completion_s(transfers, rows)
        now_s = window.end_s
        window.settle(transfers, rows, np.minimum(end_s, now_s))
        transfers.complete(rows[end_s <= now_s])
        found.append(window)
    return found


def full_buffer(uplink, snr_hz, devices=N, bits=1e12):
    share = np.full(devices, uplink.usable_bandwidth_hz / devices)
    return Transfers.of(np.arange(devices), uplink.quotas(share), snr_hz, np.full(devices, bits))


def held_blocks(uplink, found):
    """Blocks (T, m) of windows in which all send."""
    return np.concatenate([window.slope[HELD] for window in found], axis=1).T / uplink.block_hz


def test_round_robin_gives_equal_slots():
    uplink = RoundRobin(**BAND)
    channel, _ = rayleigh(1000)
    blocks = held_blocks(uplink, windows(uplink, channel, full_buffer(uplink, 1e9), 1000))
    served = (blocks > 0).sum(axis=0)
    assert served.max() - served.min() <= 1
    assert (blocks.max(axis=1) == uplink.blocks).all()  # strong devices take the whole band, one in each slot


def test_round_robin_gives_equal_slots_to_devices_that_can_use_a_part_of_the_band():
    uplink = RoundRobin(**BAND)
    gains = np.array([1.0, 1.0, 0.3, 0.2, 0.1, 0.05])  # at most 10, 10, 8, 5, 2 and 1 blocks above -6 dB
    snr_hz = 10.8 * uplink.block_hz * uplink.snr_min / 0.4
    blocks = held_blocks(uplink, windows(uplink, constant(gains), full_buffer(uplink, snr_hz), 600))
    served = (blocks > 0).sum(axis=0)
    assert served.max() - served.min() <= 1
    assert (blocks.sum(axis=1) <= uplink.blocks).all()


@pytest.mark.parametrize("kind", [ProportionalFair, MaxCI])
def test_multi_user_diversity_is_the_harmonic_number(kind):
    """Equal means, independent Rayleigh: the best of n has mean SNR H_n x mean, and the band carries E log2(1 + max)."""
    uplink = kind(**BAND, **({"average_slots": 2000.0} if kind is ProportionalFair else {}))
    slots, mean_snr = 20_000, 4.0
    channel, gain = rayleigh(slots)
    found = windows(uplink, channel, full_buffer(uplink, mean_snr * uplink.usable_bandwidth_hz), slots)
    blocks = held_blocks(uplink, found)
    assert ((blocks > 0).sum(axis=1) == 1).mean() > 0.99  # but for deep fades of all, one device has the whole band
    selected = (blocks * gain).sum(axis=1) / uplink.blocks
    harmonic = (1 / np.arange(1, N + 1)).sum()
    # standard error of the mean of the largest of 6: 1.22 / sqrt(20000) = 0.009; PF's averages wander by about a per cent
    assert selected.mean() == pytest.approx(harmonic, rel=0.015)
    throughput = np.concatenate([window.rate_bps for window in found], axis=1).sum(axis=0).mean()
    snr = np.linspace(0, 60, 60_001)
    density = N * np.exp(-snr) * (1 - np.exp(-snr)) ** (N - 1)
    expected = uplink.usable_bandwidth_hz * np.trapezoid(density * np.log2(1 + mean_snr * snr), snr)
    assert throughput == pytest.approx(expected, rel=0.01)


def test_proportional_fair_starves_nobody_and_max_ci_does():
    means = np.array([8.0, 4.0, 2.0, 1.0, 0.5, 0.25])
    slots = 6000
    _, table = rayleigh(slots)
    channel = Channel(lambda slot, device: table[slot % slots, device] * means[device])
    rates = {}
    for kind in (ProportionalFair, MaxCI):
        uplink = kind(**BAND)
        blocks = held_blocks(uplink, windows(uplink, channel, full_buffer(uplink, 4 * uplink.usable_bandwidth_hz), slots))
        rates[kind] = blocks.mean(axis=0) / uplink.blocks
        if kind is ProportionalFair:
            gaps = [np.diff(np.flatnonzero(blocks[200:, k] > 0)).max() for k in range(N)]
            assert max(gaps) < 10 * uplink.average_slots
    assert rates[ProportionalFair] == pytest.approx(np.full(N, 1 / N), abs=0.06)  # equal time, whatever the mean
    assert rates[MaxCI][-1] < 0.01
    assert rates[MaxCI][0] > 0.5


def drained(uplink, channel, bits, begins):
    """Completion times under any uplink; rows begin at their times, all multiples of a slot."""
    share = np.full(len(bits), uplink.usable_bandwidth_hz / len(bits)) * np.linspace(0.4, 1.6, len(bits))
    transfers = Transfers.of(np.arange(len(bits)), uplink.quotas(share), 3e6, np.asarray(bits, float))
    medium, ends, now_s = Medium(uplink, channel), np.full(len(bits), np.nan), 0.0
    begins = np.asarray(begins) * SLOT_S
    idle = []
    while not transfers.done.all():
        transfers.begin(np.flatnonzero(~transfers.done & ~transfers.sending & (begins <= now_s + 1e-9)), now_s)
        next_s = min([b for b in begins if b > now_s + 1e-9], default=np.inf)
        rows = np.flatnonzero(transfers.sending)
        if not rows.size:
            now_s = next_s
            continue
        window = medium.window(transfers, 0.0, now_s, next_s)
        stop_s = window.end_s if window.end_s < next_s + 1e-9 else next_s
        end_s = window.completion_s(transfers, rows)
        window.settle(transfers, rows, np.minimum(end_s, stop_s))
        ends[rows[end_s <= stop_s]] = end_s[end_s <= stop_s]
        transfers.complete(rows[end_s <= stop_s])
        idle.append(uplink.blocks - window.slope[HELD].sum(axis=0) / uplink.block_hz)
        now_s = stop_s
    return ends, np.concatenate(idle)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.floats(1e3, 4e5), min_size=2, max_size=7),
    st.lists(st.integers(0, 80), min_size=7, max_size=7),
    st.integers(1, 60),
)
def test_work_conserving_is_never_later_than_allocated(bits, begins, period):
    channel = constant(np.linspace(0.5, 2.0, 7))
    begins = begins[: len(bits)]
    reserved, _ = drained(Allocated(**BAND, rotation_slots=period), channel, bits, begins)
    conserving, idle = drained(WorkConserving(**BAND, rotation_slots=period, snr_min_db=-30.0), channel, bits, begins)
    assert (conserving <= reserved * (1 + 1e-9)).all()
    assert (idle == 0).all()  # no block idle while somebody sends


def test_work_conserving_gives_everything_to_the_last_one():
    ends, _ = drained(WorkConserving(**BAND, snr_min_db=-30.0), constant(), [1e3, 1e6], [0, 0])
    alone = 1e6 / (1.8e6 * np.log2(1 + 3e6 / 1.8e6))
    assert ends[1] == pytest.approx(alone, rel=0.05)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_blocks_are_there_and_can_be_lit_up(kind, data):
    """Never more blocks than the band has, never more than a device can use, and all of them while anybody could use more."""
    uplink = kind(**BAND)
    gains = np.array(data.draw(st.lists(st.floats(0.01, 10.0), min_size=N, max_size=N)))
    selective = data.draw(st.booleans())
    sub = Striped(uplink, gains, data.draw(st.integers(0, 1000))) if selective else None
    snr_hz = 2e6
    transfers = full_buffer(uplink, snr_hz)
    found = windows(uplink, constant(gains), transfers, 20, sub)
    blocks = held_blocks(uplink, found)
    assert np.array_equal(blocks, np.rint(blocks))
    assert (blocks.sum(axis=1) <= uplink.blocks).all()
    mean = gains if sub is None else sub.table.mean(axis=1)
    room = np.clip(np.floor(snr_hz * mean / (uplink.snr_min * uplink.block_hz)), 1, uplink.blocks)
    if kind is not WorkConserving:  # reserved blocks are a device's own, lit up or not
        assert (blocks <= room).all()
    assert ((blocks.sum(axis=1) == uplink.blocks) | (blocks >= room).all(axis=1)).all()


class Striped:
    """Gains that differ from block to block, constant in time."""

    def __init__(self, uplink, gains, seed):
        self.band = Band(uplink.usable_bandwidth_hz, uplink.blocks)
        self.table = gains[:, None] * np.random.default_rng(seed).exponential(size=(len(gains), uplink.blocks))

    def gain(self, times_s, device_ids):
        return np.broadcast_to(self.table[device_ids], (len(times_s), len(device_ids), self.band.subbands)).copy()


def test_on_a_selective_channel_each_block_goes_to_the_strongest():
    uplink = MaxCI(**BAND, snr_min_db=-40.0)
    channel = Striped(uplink, np.ones(N), 3)
    (window,) = windows(uplink, constant(), full_buffer(uplink, 1e8), 1, channel)
    best = channel.table.argmax(axis=0)
    assert window.slope[HELD][:, 0] / uplink.block_hz == pytest.approx(np.bincount(best, minlength=N))
    snr = 1e8 * channel.table[best, np.arange(10)] / np.bincount(best)[best] / uplink.block_hz
    rate = np.bincount(best, uplink.block_hz * np.log2(1 + snr), minlength=N)
    assert window.slope[BITS][:, 0] == pytest.approx(rate, rel=1e-12)


def test_old_reports_decide_but_do_not_carry():
    """With reports one slot old, the slot goes to who was best then, at the SNR of now."""
    uplink = MaxCI(**BAND, report_delay_slots=1)
    channel = Channel(lambda slot, device: np.where(slot % 2 == device % 2, 4.0, 1.0))
    transfers = full_buffer(uplink, 1e8, devices=2)
    window = Medium(uplink, channel).window(begun(transfers), 0.0, 5 * SLOT_S, 9 * SLOT_S)
    # slot 5: in slot 4, device 0 was best; now it is the weaker one
    assert (window.slope[HELD][0] > 0).tolist() == [True, False, True, False]
    assert window.slope[BITS].sum(axis=0) == pytest.approx(np.full(4, 1.8e6 * np.log2(1 + 1e8 / 1.8e6)))


def begun(transfers):
    transfers.begin(np.arange(len(transfers.device_ids)), 0.0)
    return transfers


@pytest.mark.parametrize("kind", KINDS)
def test_tdd_share_and_overhead_scale_bits_and_airtime(kind):
    plain, less = kind(**BAND), kind(**BAND, uplink_share=0.4, overhead=0.25)
    whole, part = (windows(uplink, constant(), full_buffer(uplink, 1e8), 10)[0] for uplink in (plain, less))
    assert part.slope[BITS] == pytest.approx(0.4 * 0.75 * whole.slope[BITS])
    assert part.slope[1] == pytest.approx(0.4 * whole.slope[1])
