"""Bits over a time-varying channel: exact on a constant one, conserved on any."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.errors import SimulationError
from cosim.net import transfer
from cosim.net.transfer import Medium, Transfers
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
    now_s = start_s
    while now_s < stop_s:
        forecast = medium.forecast(transfers, now_s)
        now_s = min(stop_s, forecast.edges_s[-1])
        transfers = forecast.settle(transfers, now_s)
    return transfers


def test_constant_channel_ideal_is_bits_over_rate():
    ids, snr = np.arange(3), 2e6
    band, bits = np.array([1e5, 3e5, 6e5]), np.array([3e5, 2.5e6, 1e3])
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
def test_cutting_a_forecast_changes_nothing(cuts, whole_blocks):
    """However often the record is brought up to date in between, the same bits end at the same time."""
    uplink = Allocated(bandwidth_hz=10 * 180e3, slot_s=SLOT_S) if whole_blocks else Ideal(bandwidth_hz=10 * 180e3, slot_s=SLOT_S)
    quotas = uplink.quotas(np.array([0.6, 4.4]) * 180e3)
    fresh = Transfers.of(np.arange(2), quotas, 1e6, np.array([4e5, 3e6]))
    whole = drain(Medium(uplink, wavy()), fresh, 0.003)
    medium, transfers, now, ends = Medium(uplink, wavy()), fresh.begin(0).begin(1), 0.003, np.full(2, np.inf)
    for cut in [*sorted(0.003 + cut for cut in cuts), np.inf]:
        while transfers.sending.any() and now < cut:
            forecast = medium.forecast(transfers, now)
            now = min(cut, forecast.edges_s[-1])
            transfers = forecast.settle(transfers, now)
            for end_s, row in forecast.completions():
                ends[row] = end_s if end_s <= now else np.inf
        now = min(now, cut)
    assert ends == pytest.approx(whole, rel=1e-9)
    assert transfers.backlog_bits.tolist() == [0, 0]
    assert transfers.done.all()


def test_bits_are_conserved_when_a_device_gives_up():
    medium = Medium(Ideal(slot_s=SLOT_S), wavy())
    transfers = Transfers.of(np.arange(2), np.array([1e5, 2e5]), 1e6, np.array([1e9, 1e9])).begin(0).begin(1)
    transfers = advance(medium, transfers, 0.0, 0.555)
    slots = np.arange(56)
    length = np.where(slots == 55, 0.005, SLOT_S)
    rate = Shannon().value(np.array([1e5, 2e5]), 1e6 * (1.1 + np.sin(7 * slots[:, None] * SLOT_S + np.arange(2))))
    assert transfers.done.tolist() == [False, False]
    assert 1e9 - transfers.backlog_bits == pytest.approx((rate * length[:, None]).sum(axis=0), rel=1e-9)
    assert transfers.airtime_s == pytest.approx([0.555, 0.555])
    gone = transfers.abandon(0)
    assert gone.sending.tolist() == [False, True]


def test_airtime_counts_slots_with_blocks_only():
    uplink = Allocated(bandwidth_hz=4 * 180e3, slot_s=SLOT_S, rotation_slots=10)
    transfers = Transfers.of(np.arange(1), uplink.quotas(np.array([0.3 * 180e3])), 1e6, np.array([1e9])).begin(0)
    settled = advance(Medium(uplink, constant()), transfers, 0.0, 1.0)
    assert settled.airtime_s[0] == pytest.approx(0.3)  # 3 of 10 slots


@pytest.mark.parametrize("edge", [29, 57, 58, 113, 114, 115])
def test_a_transfer_that_begins_on_a_slot_edge_gets_the_slot_that_begins_there(edge):
    """29 * 0.01 / 0.01 < 29 in floating point: the forecast must still move on."""
    transfers = Transfers.of(np.arange(1), np.array([1e5]), 1e6, np.array([1e9])).begin(0)
    forecast = Medium(Ideal(slot_s=SLOT_S), constant()).forecast(transfers, edge * SLOT_S)
    assert forecast.edges_s[1] == (edge + 1) * SLOT_S


def test_a_link_without_power_is_an_error_not_a_hang(monkeypatch):
    monkeypatch.setattr(transfer, "STALLED_SLOTS", 1000)
    weak = Transfers.of(np.array([7]), np.array([1e5]), 1e-30, np.array([1e6]))
    with pytest.raises(SimulationError, match=r"device 7 .* too weak"):
        drain(Medium(Ideal(slot_s=SLOT_S), constant()), weak, 0.0)
