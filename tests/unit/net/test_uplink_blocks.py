"""Numbers of blocks, and how they are shared out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosim.net.uplink import Allocated
from cosim.net.uplink_blocks import blocks_in, by_block, in_order, in_proportion, nr_blocks


@pytest.mark.parametrize(
    ("bandwidth_mhz", "spacing_khz", "blocks"),
    [(5, 15, 25), (10, 15, 52), (20, 15, 106), (50, 15, 270), (5, 30, 11), (20, 30, 51), (100, 30, 273), (10, 60, 11), (100, 60, 135)],
)
def test_nr_channels(bandwidth_mhz, spacing_khz, blocks):
    assert nr_blocks(bandwidth_mhz * 1e6, spacing_khz * 1e3) == blocks
    assert Allocated(bandwidth_hz=bandwidth_mhz * 1e6, subcarrier_spacing_hz=spacing_khz * 1e3).blocks == blocks


@pytest.mark.parametrize("spacing_khz", [15, 30, 60])
def test_the_table_leaves_a_guard_band_and_not_much_more(spacing_khz):
    for bandwidth_mhz in (5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 60, 70, 80, 90, 100):
        blocks = nr_blocks(bandwidth_mhz * 1e6, spacing_khz * 1e3)
        if blocks:
            used = blocks * 12 * spacing_khz / 1e3 / bandwidth_mhz
            assert 0.79 < used < 0.985


@pytest.mark.parametrize(("bandwidth_hz", "spacing_hz"), [(100e6, 15e3), (5e6, 60e3), (10e6, 120e3), (7.2e6, 15e3), (10e6, 15.5e3)])
def test_other_bands_hold_what_fits(bandwidth_hz, spacing_hz):
    assert nr_blocks(bandwidth_hz, spacing_hz) == 0
    assert blocks_in(bandwidth_hz, spacing_hz) == int(bandwidth_hz / (12 * spacing_hz) * (1 + 1e-12))


def test_a_band_below_a_block_is_refused():
    with pytest.raises(ValueError, match="holds no resource block"):
        Allocated(bandwidth_hz=100e3)


def test_in_order_by_hand():
    assert in_order(np.array([2, 0, 1]), np.array([3, 4, 5]), 10).tolist() == [3, 2, 5]
    assert in_order(np.array([1]), np.array([3, 4, 5]), 10).tolist() == [0, 4, 0]


@given(
    st.lists(st.tuples(st.floats(0, 10), st.integers(0, 30)), min_size=1, max_size=20),
    st.integers(0, 60),
    st.floats(0, 0.999),
)
def test_in_proportion_gives_all_there_is_room_for(devices, blocks, offset):
    weight, room = np.array([w for w, _ in devices]), np.array([r for _, r in devices])
    given_ = in_proportion(weight, room, blocks, offset)
    assert (given_ <= room).all()
    assert given_.sum() == min(blocks, room.sum())


def test_in_proportion_is_the_weights_on_average():
    weight = np.array([1.0, 2.5, 0.3, 4.2])
    total = sum(in_proportion(weight, np.full(4, 99), 7, offset / 1000) for offset in range(1000))
    assert total / 1000 == pytest.approx(7 * weight / weight.sum(), abs=0.01)


@given(st.integers(1, 8), st.integers(1, 20), st.integers(0, 10_000))
def test_by_block_uses_what_can_be_used_and_prefers_the_best(devices, blocks, seed):
    rng = np.random.default_rng(seed)
    metric, room, free = rng.random((devices, blocks)), rng.integers(0, 9, devices), rng.random(blocks) < 0.8
    owner = by_block(metric, room, free)
    assert (owner[~free] == -1).all()
    counts = np.bincount(owner[owner >= 0], minlength=devices)
    assert (counts <= room).all()
    assert counts.sum() == min(free.sum(), room.sum())
    for block in np.flatnonzero(owner >= 0):  # whoever would be better here has no room for another
        better = np.flatnonzero(metric[:, block] > metric[owner[block], block])
        assert (counts[better] == room[better]).all()
