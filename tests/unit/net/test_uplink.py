"""Quotas of whole blocks: they add up, average to the allocation, and never exceed the band."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.errors import SimulationError
from cosim.net.uplink import Allocated, Ideal
from cosim.rate import Shannon


def shares(uplink, fractions):
    weights = np.asarray(fractions, float)
    return weights / max(weights.sum(), 1.0) * uplink.usable_bandwidth_hz


def test_ideal_holds_its_share_in_every_slot():
    uplink = Ideal(bandwidth_hz=1e6)
    held = uplink.bandwidth_in_slots(uplink.quotas(np.array([1e5, 9e5])), np.arange(5))
    assert (held == [1e5, 9e5]).all()
    assert held.shape == (5, 2)
    assert np.isnan(uplink.block_hz)


def test_blocks_of_a_nr_like_band():
    uplink = Allocated(bandwidth_hz=10e6, subcarrier_spacing_hz=30e3)
    assert uplink.block_hz == 360e3
    assert uplink.blocks == 24  # TS 38.101-1, table 5.3.2-1; floor(10 MHz / 360 kHz) = 27 would leave no guard band
    assert uplink.usable_bandwidth_hz == 24 * 360e3


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=40),
    st.integers(1, 128),
    st.integers(0, 10**9),
)
def test_quotas_add_up_and_average_to_the_allocation(fractions, period, first):
    uplink = Allocated(bandwidth_hz=40 * 180e3, rotation_slots=period)
    given_hz = shares(uplink, fractions)
    quotas = uplink.quotas(given_hz)
    slots = np.arange(first, first + period)
    blocks = uplink.bandwidth_in_slots(quotas, slots) / uplink.block_hz
    assert np.array_equal(blocks, np.rint(blocks))
    assert (blocks >= 0).all()
    assert (blocks.sum(axis=1) <= uplink.blocks).all()
    assert np.array_equal(blocks.sum(axis=0), quotas)  # one rotation: quotas are in 1/period block
    assert (blocks <= np.ceil(quotas / period)).all()
    assert (blocks >= np.floor(quotas / period)).all()
    assert (quotas >= 1).all()
    exact = given_hz / uplink.block_hz * period
    if (exact >= 1.5).all():  # nobody had to be lifted to one unit: running totals are merely rounded
        assert np.abs(np.cumsum(quotas) - np.cumsum(exact)).max() <= 0.5 + 1e-6


def test_a_device_without_share_holds_nothing():
    uplink = Allocated(bandwidth_hz=5 * 180e3)
    quotas = uplink.quotas(np.array([0.0, 180e3, 0.0]))
    assert (uplink.bandwidth_in_slots(quotas, np.arange(200))[:, [0, 2]] == 0).all()


def test_tiny_shares_are_paid_by_the_largest():
    uplink = Allocated(bandwidth_hz=2 * 180e3, rotation_slots=10)
    quotas = uplink.quotas(np.array([1.0, 1.0, 360e3 - 2.0]))
    assert quotas.tolist() == [1, 1, 18]


def test_more_devices_than_blocks_in_a_rotation_is_an_error():
    uplink = Allocated(bandwidth_hz=180e3, rotation_slots=4)
    with pytest.raises(SimulationError, match=r"5 devices hold a share.*4 blocks"):
        uplink.quotas(np.full(5, 180e3 / 5))


def test_planning_rate_is_the_mean_over_a_rotation():
    uplink = Allocated(bandwidth_hz=10 * 180e3, rotation_slots=100)
    given_hz = np.array([0.30, 2.75, 6.95]) * 180e3
    snr_hz = np.array([2e6, 5e5, 1e7])
    held = uplink.bandwidth_in_slots(uplink.quotas(given_hz), np.arange(100))
    realised = Shannon().value(held, snr_hz).mean(axis=0)
    assert realised == pytest.approx(uplink.planning_rate(Shannon()).value(given_hz, snr_hz), rel=1e-12)


@pytest.mark.parametrize("uplink", [Ideal(bandwidth_hz=5 * 180e3), Allocated(bandwidth_hz=5 * 180e3, rotation_slots=7)])
def test_pieces_of_the_band_lie_side_by_side(uplink):
    quotas, slots = uplink.quotas(np.array([0.3, 2.2, 0.0, 2.5]) * 180e3), np.arange(14)
    low, high = uplink.edges_in_slots(quotas, slots)
    np.testing.assert_allclose(high - low, uplink.bandwidth_in_slots(quotas, slots), atol=1e-6)
    np.testing.assert_array_equal(low[:, 1:], high[:, :-1])
    assert (low[:, 0] == 0.0).all()
    assert (high[:, -1] <= uplink.usable_bandwidth_hz * (1 + 1e-12)).all()
