"""Bits over a time-varying channel: exact on a constant one, conserved on any."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.errors import SimulationError
from cosim.interfaces import Band
from cosim.net import transfer
from cosim.net.power import PowerLaw
from cosim.net.transfer import Medium, Transfers
from cosim.net.transfer_records import AIRTIME, BITS, Window
from cosim.net.uplink import Allocated, Ideal
from cosim.rate import Shannon

SLOT_S = 0.01


class Channel:
    """A gain that is any function of (time, device)."""

    def __init__(self, gain):
        self._gain = gain

    def gain(self, times_s, device_ids):
        return self._gain(np.asarray(times_s)[:, None], np.asarray(device_ids)[None, :]) * np.ones((len(times_s), len(device_ids)))

    mean_gain = gain


def constant(value=1.0):
    return Channel(lambda _t, _k: value)


def wavy():
    return Channel(lambda t, k: 1.1 + np.sin(7 * t + k))


def drain(medium, transfers, start_s):
    return medium.finish(transfers, start_s)


def advance(medium, transfers, start_s, stop_s):
    """Everyone sends from ``start_s``; the record at ``stop_s``."""
    transfers.begin(np.arange(len(transfers.device_ids)), start_s)
    now_s = start_s
    while now_s < stop_s:
        window, rows = medium.window(transfers, start_s, now_s), np.flatnonzero(transfers.sending)
        now_s = min(stop_s, window.end_s)
        window.settle(transfers, rows, now_s)


def test_constant_channel_ideal_is_bits_over_rate():
    ids, snr = np.arange(3), 2e6
    band, bits = np.array([1e5, 3e5, 6e5]), np.array([3e5, 2.5e6, 0.5])  # of fluids there are parts of a bit
    ends = drain(Medium(Ideal(slot_s=SLOT_S), constant()), Transfers.of(ids, band, snr, bits), 0.1234567)
    expected = bits / Shannon().value(band, snr)
    assert ends - 0.1234567 == pytest.approx(expected, rel=1e-9)


def test_constant_channel_allocated_is_the_mean_of_the_quotas_rates_within_a_rotation():
    uplink = Allocated(bandwidth_hz=10 * 180e3, slot_s=SLOT_S, rotation_slots=50)
    band = np.array([0.34, 2.5, 7.16]) * 180e3
    snr, bits = 5e6, np.array([2e6, 9e6, 3e7])
    ends = drain(Medium(uplink, constant()), Transfers.of(np.arange(3), uplink.quotas(band), snr, bits), 0.0)
    expected = bits / uplink.planning_rate(Shannon()).value(band, snr)
    # A rotation lasts 0.5 s; within it a device may be ahead of or behind its mean by less than one rotation.
    assert np.abs(ends - expected).max() <= 50 * SLOT_S
    assert ends == pytest.approx(expected, rel=0.02)


def test_completion_inside_a_slot_is_exact():
    step = Channel(lambda t, _k: np.where(t < 0.5 * SLOT_S, 1.0, 3.0))  # slot 0: gain 1, later slots: gain 3
    rate = Shannon().value(1e5, np.array([1e6, 3e6]))
    bits = rate[0] * SLOT_S + rate[1] * 0.4 * SLOT_S
    end = drain(Medium(Ideal(slot_s=SLOT_S), step), Transfers.of(np.arange(1), np.array([1e5]), 1e6, np.array([bits])), 0.0)
    assert end[0] == pytest.approx(1.4 * SLOT_S, rel=1e-12)


def test_nothing_to_send_is_done_at_once():
    end = drain(Medium(Ideal(slot_s=SLOT_S), constant()), Transfers.of(np.arange(1), np.array([1e5]), 1e6, np.zeros(1)), 3.7)
    assert end[0] == 3.7


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.0, 2.0), min_size=1, max_size=6), st.booleans())
def test_settling_in_between_changes_nothing(cuts, whole_blocks):
    """However often the record is brought up to date in between, the same bits end at the same time."""
    uplink = Allocated(bandwidth_hz=10 * 180e3, slot_s=SLOT_S) if whole_blocks else Ideal(bandwidth_hz=10 * 180e3, slot_s=SLOT_S)
    quotas, bits = uplink.quotas(np.array([0.6, 4.4]) * 180e3), np.array([4e5, 3e6])
    whole = drain(Medium(uplink, wavy()), Transfers.of(np.arange(2), quotas, 1e6, bits), 0.003)
    medium, transfers, now, ends = Medium(uplink, wavy()), Transfers.of(np.arange(2), quotas, 1e6, bits), 0.003, np.full(2, np.inf)
    transfers.begin(np.arange(2), now)
    for cut in [*sorted(0.003 + cut for cut in cuts), np.inf]:
        while transfers.sending.any() and now < cut:
            window, rows = medium.window(transfers, 0.003, now), np.flatnonzero(transfers.sending)
            now = min(cut, window.end_s)
            end_s = window.completion_s(transfers, rows)
            window.settle(transfers, rows, np.minimum(end_s, now))
            ready = end_s <= now
            ends[rows[ready]] = end_s[ready]
            transfers.complete(rows[ready])
    assert ends == pytest.approx(whole, rel=1e-9)
    assert transfers.backlog_bits.tolist() == [0, 0]
    assert transfers.done.all()


@pytest.mark.parametrize(("until_s", "end_s"), [(0.2, 0.21), (0.203, 0.22), (0.05, 0.11), (np.inf, 0.1 + 0.01 * transfer.WINDOW_SLOTS[1])])
def test_a_window_ends_just_beyond_the_moment_it_is_needed_for(until_s, end_s):
    """Never at it: who looks at a round at its deadline finds a window there. What it holds is what a longer one does."""
    uplink = Allocated(bandwidth_hz=10 * 180e3, slot_s=SLOT_S)
    transfers = Transfers.of(np.arange(2), uplink.quotas(np.array([3.3, 4.4]) * 180e3), 1e6, np.full(2, 1e9))
    window, longer = (Medium(uplink, wavy()).window(transfers, 0.0, 0.1, until) for until in (until_s, np.inf))
    slots = window.slope.shape[-1]
    assert window.end_s == pytest.approx(end_s, rel=1e-12)
    np.testing.assert_array_equal(window.edges_s, longer.edges_s[: slots + 1])
    np.testing.assert_array_equal(window.slope, longer.slope[..., :slots])
    np.testing.assert_array_equal(window.total, longer.total[..., : slots + 1])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.0, 1.0), min_size=3, max_size=3))
def test_who_begins_later_is_read_off_the_same_window(begins):
    """Shares are reserved: a transfer ends when it would if it were alone."""
    uplink = Allocated(bandwidth_hz=10 * 180e3, slot_s=SLOT_S)
    quotas, bits = uplink.quotas(np.array([3.0, 3.0, 4.0]) * 180e3), np.array([3e5, 4e5, 5e5])
    transfers = Transfers.of(np.arange(3), quotas, 1e6, bits)
    window = Medium(uplink, wavy()).window(transfers, -1e5, 0.0)  # a long one, as in a round that has lasted long
    for row, begin_s in enumerate(begins):
        transfers.begin(row, begin_s)
        alone = drain(Medium(uplink, wavy()), Transfers.of(np.arange(3), quotas, 1e6, np.where(np.arange(3) == row, bits, 0.0)), begin_s)
        assert window.completion_s(transfers, np.array([row])) == pytest.approx(alone[row], rel=1e-12)


def test_bits_are_conserved_when_a_device_gives_up():
    transfers = Transfers.of(np.arange(2), np.array([1e5, 2e5]), 1e6, np.array([1e9, 1e9]))
    advance(Medium(Ideal(slot_s=SLOT_S), wavy()), transfers, 0.0, 0.555)
    slots = np.arange(56)
    length = np.where(slots == 55, 0.005, SLOT_S)
    rate = Shannon().value(np.array([1e5, 2e5]), 1e6 * (1.1 + np.sin(7 * slots[:, None] * SLOT_S + np.arange(2))))
    assert transfers.done.tolist() == [False, False]
    assert 1e9 - transfers.backlog_bits == pytest.approx((rate * length[:, None]).sum(axis=0), rel=1e-9)
    assert transfers.airtime_s == pytest.approx([0.555, 0.555])
    transfers.stop(0)
    assert transfers.sending.tolist() == [False, True]


def test_airtime_counts_slots_with_blocks_only():
    uplink = Allocated(bandwidth_hz=4 * 180e3, slot_s=SLOT_S, rotation_slots=10)
    transfers = Transfers.of(np.arange(1), uplink.quotas(np.array([0.3 * 180e3])), 1e6, np.array([1e9]))
    advance(Medium(uplink, constant()), transfers, 0.0, 1.0)
    assert transfers.airtime_s[0] == pytest.approx(0.3)  # 3 of 10 slots


@pytest.mark.parametrize("edge", [29, 57, 58, 113, 114, 115])
def test_a_transfer_that_begins_on_a_slot_edge_gets_the_slot_that_begins_there(edge):
    """29 * 0.01 / 0.01 < 29 in floating point: the window must still move on."""
    transfers = Transfers.of(np.arange(1), np.array([1e5]), 1e6, np.array([1e9]))
    window = Medium(Ideal(slot_s=SLOT_S), constant()).window(transfers, 0.0, edge * SLOT_S)
    assert window.edges_s[1] == (edge + 1) * SLOT_S


def test_a_link_without_power_is_an_error_not_a_hang(monkeypatch):
    monkeypatch.setattr(transfer, "STALLED_SLOTS", 1000)
    weak = Transfers.of(np.array([7]), np.array([1e5]), 1e-30, np.array([1e6]))
    with pytest.raises(SimulationError, match=r"device 7 has lasted for \d+\.\d+ s \(1000 slots\) .* too weak") as found:
        drain(Medium(Ideal(slot_s=SLOT_S), constant()), weak, 2.0)
    lasted_s = float(str(found.value).split("lasted for ")[1].split()[0])
    assert 10.0 < lasted_s < 11.0  # not before, and by the end of the window


def test_windows_grow_with_the_round_and_not_beyond_a_sixteenth_of_it():
    """What lies behind the last completion is in vain: few slots at first, later a small part of those that there have been."""
    medium, transfers = Medium(Ideal(slot_s=SLOT_S), constant()), Transfers.of(np.arange(2), np.array([1e5, 1e5]), 1e6, np.full(2, 1e9))
    start_s = 12.5
    lengths = {past: len(medium.window(transfers, start_s, start_s + past * SLOT_S).edges_s) - 1 for past in (0, 10, 500, 3200, 20_000)}
    assert 1 <= lengths[0] < lengths[10]
    assert all(length <= max(64, past / 16) for past, length in lengths.items())
    assert lengths[10] <= lengths[500] < lengths[3200] < lengths[20_000]
    many = Transfers.of(np.arange(5000), np.full(5000, 1e5), 1e6, np.full(5000, 1e9))
    assert 1 <= len(medium.window(many, start_s, start_s + 20_000 * SLOT_S).edges_s) - 1 <= lengths[10]


class Striped:
    """A channel that differs over a band: any function of (time, device, sub-band)."""

    def __init__(self, band, gain):
        self.band, self._gain = band, gain

    def gain(self, times_s, device_ids):
        shape = len(times_s), len(device_ids), self.band.subbands
        t, k, f = np.asarray(times_s)[:, None, None], np.asarray(device_ids)[:, None], np.arange(self.band.subbands)
        return self._gain(t, k, f) * np.ones(shape)


def test_the_rate_over_a_piece_of_a_selective_band_by_hand():
    # piece from 0.5 to 2.25 of a band of 4 sub-bands of 1 MHz: 0.5, 1 and 0.25 MHz at SNRs of 1, 3 and 7 MHz in 1 Hz;
    # power evenly over 1.75 MHz: sum_f b_f log2(1 + s_f / 1.75 MHz)
    snr = np.array([1e6, 3e6, 7e6, 1e9])
    rate = transfer.selective_rate(Shannon(), Band(4e6, 4), (np.array(0.5e6), np.array(2.25e6)), snr)
    expected = 0.5e6 * np.log2(1 + 1 / 1.75) + 1e6 * np.log2(1 + 3 / 1.75) + 0.25e6 * np.log2(1 + 7 / 1.75)
    assert rate == pytest.approx(expected, rel=1e-12)
    assert transfer.selective_rate(Shannon(), Band(4e6, 4), (np.array(1e6), np.array(1e6)), snr) == 0.0


@pytest.mark.parametrize("uplink", [Ideal(bandwidth_hz=1.8e6, slot_s=SLOT_S), Allocated(bandwidth_hz=1.8e6, slot_s=SLOT_S)])
def test_a_selective_channel_that_is_flat_changes_nothing(uplink):
    band = Band(1.8e6, 10)
    quotas = uplink.quotas(np.array([0.6, 4.4, 5.0]) * 180e3)
    bits = np.array([4e5, 3e6, 1e6])
    flat = Medium(uplink, wavy()).finish(Transfers.of(np.arange(3), quotas, 1e6, bits), 0.003)
    striped = Medium(uplink, wavy(), Striped(band, lambda t, k, _: 1.1 + np.sin(7 * t + k)))
    striped = striped.finish(Transfers.of(np.arange(3), quotas, 1e6, bits), 0.003)
    assert striped == pytest.approx(flat, rel=1e-9)


def test_power_control_on_a_selective_channel_that_is_flat_is_that_on_a_flat_one():
    """A quarter of the power: the bits of a gain a quarter as large, whether the channel comes in sub-bands or not."""
    uplink, band = Ideal(bandwidth_hz=1.8e6, slot_s=SLOT_S), Band(1.8e6, 10)
    law = PowerLaw(aim=0.25 * 4.0 * 1e6 / 0.9e6, alpha=1.0, snr_per_gain_hz=1e6)  # a quarter of the power, at a gain of 4 over 0.9 MHz
    striped = Striped(band, lambda _t, _k, _f: 4.0)
    found = []
    for subbands in (None, striped):
        transfers = Transfers.of(np.arange(2), uplink.quotas(np.full(2, 0.9e6)), 1e6, np.full(2, 1e9))
        found.append(Medium(uplink, constant(4.0), subbands, law=law).window(transfers, 0.0, 0.0))
    for window in found:
        assert window.slope[AIRTIME] == pytest.approx(0.25)
        assert window.rate_bps == pytest.approx(np.full(window.rate_bps.shape, Shannon().value(0.9e6, 1e6)))


def test_a_link_that_carries_nothing_is_charged_nothing():
    """Without any gain a device is silent: no airtime, no bandwidth held."""
    fades = Channel(lambda t, _k: np.where(t < 0.5 * SLOT_S, 0.0, 1.0))
    transfers = Transfers.of(np.arange(1), np.array([1e5]), 1e6, np.array([1e9]))
    advance(Medium(Ideal(slot_s=SLOT_S), fades), transfers, 0.0, 3 * SLOT_S)
    assert transfers.airtime_s[0] == pytest.approx(2 * SLOT_S)
    assert transfers.held_hz_s[0] == pytest.approx(2 * SLOT_S * 1e5)


def test_a_device_sends_over_the_blocks_it_holds_in_a_slot():
    # 3 blocks; shares 1.5 and 1.5: in every other slot the first device holds block 0 alone, in the others blocks 0 and 1. Block f
    # has gain f + 1
    uplink = Allocated(bandwidth_hz=540e3, slot_s=SLOT_S, rotation_slots=2)
    quotas, snr = uplink.quotas(np.array([270e3, 270e3])), 1e6
    medium = Medium(uplink, constant(), Striped(Band(540e3, 3), lambda t, k, f: f + 1.0))
    window = medium.window(Transfers.of(np.arange(2), quotas, snr, np.full(2, 1e12)), 0.0, 0.0)
    low, high = (edge / 180e3 for edge in uplink.edges_in_slots(quotas, np.arange(2)))
    for slot in range(2):
        for device in range(2):
            held = np.arange(round(low[slot, device]), round(high[slot, device]))
            expected = sum(180e3 * np.log2(1 + snr * (f + 1) / (180e3 * held.size)) for f in held)
            assert window.rate_bps[device, slot] == pytest.approx(expected, rel=1e-12)
    assert sorted(np.round(high - low)[:, 0]) == [1, 2]


def test_a_rate_is_that_of_sending_but_for_bits_that_arrive_at_once():
    """Sends at 10 bit/s for 0.4 s of a slot of 1 s; then 6 bits arrive together at the end of one of 2 s."""
    slope, total = np.zeros((BITS + 1, 1, 2)), np.zeros((BITS + 1, 1, 3))
    slope[BITS], total[BITS] = [[10.0, 0.0]], [[0.0, 4.0, 10.0]]
    window = Window(edges_s=np.array([0.0, 1.0, 3.0]), place=np.array([0]), slope=slope, total=total)
    np.testing.assert_array_equal(window.rate_bps, [[10.0, 3.0]])
