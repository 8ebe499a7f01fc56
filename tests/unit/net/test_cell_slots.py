"""Many cells slot by slot: interference from the blocks really used, and a cell alone is a single cell, bit for bit."""

import numpy as np
import pytest

from cosim.net.cell_slots import CellSlots, Reserved, cell_quotas, in_a_cell, interference
from cosim.net.harq import SlotChances
from cosim.net.mcs import TransportBlocks
from cosim.net.transfer import Medium, Transfers
from cosim.net.uplink import Allocated, Ideal
from cosim.net.uplink_schedulers import MaxCI, ProportionalFair, RoundRobin, WorkConserving
from cosim.rng import Streams

W = 180e3
BAND_HZ = 6 * W
SNR_PER_GAIN = 1e9


class World:
    """Given gains (n, sites), serving sites that change at given moments, and no subbands."""

    subbands = None

    def __init__(self, gains, site, moves=(), interruption_s=0.0):
        self.table, self.site, self.moves, self.interruption_s = np.array(gains, float), np.array(site), moves, interruption_s

    def serving(self, times_s, ids):
        out = np.tile(self.site[ids], (len(times_s), 1))
        for t_s, device, target in self.moves:
            out[np.ix_(times_s >= t_s, ids == device)] = target
        return out

    def interrupted(self, times_s, ids):
        out = np.zeros((len(times_s), len(ids)), bool)
        for t_s, device, _ in self.moves:
            out[np.ix_((times_s >= t_s) & (times_s < t_s + self.interruption_s), ids == device)] = True
        return out

    def gains(self, times_s, ids):
        wave = 1.0 + 0.5 * np.sin(7.0 * times_s[:, None] + ids)
        return wave[:, :, None] * self.table[ids]

    def mean_gain(self, times_s, ids):
        return self.gain(times_s, ids)

    def gain(self, times_s, ids):
        found = np.take_along_axis(self.gains(times_s, ids), self.serving(times_s, ids)[:, :, None], axis=2)[:, :, 0]
        return np.where(self.interrupted(times_s, ids), 0.0, found)


def slots_of(uplink, world, *, heard=True, scale=None):
    chances = SlotChances(Streams(3)) if isinstance(uplink.rate, TransportBlocks) else None
    scale = np.ones(world.table.shape[1]) if scale is None else scale
    return CellSlots(in_a_cell(uplink), world, noise_scale=scale, interference=heard, chances=chances)


def sending(uplink, bits, share_hz):
    n = len(bits)
    share = np.broadcast_to(np.asarray(share_hz, float), (n,)).copy()
    transfers = Transfers.of(
        np.arange(n), uplink.quotas(share) if share.sum() <= BAND_HZ else np.zeros(n), SNR_PER_GAIN, np.asarray(bits, float)
    )
    transfers.share_hz = share
    transfers.begin(np.arange(n), 0.0)
    return transfers


def test_two_cells_two_devices_by_hand_block_by_block():
    """Device 0 (cell 0) has 4 of 6 blocks, device 1 (cell 1) all 6: four blocks of cell 0 are hit, four of cell 1, two are clean."""
    uplink, world = Allocated(bandwidth_hz=BAND_HZ), World([[1e-3, 2e-4], [5e-5, 4e-3]], [0, 1])
    transfers = sending(uplink, [1e12, 1e12], [4 * W, 6 * W])
    window = slots_of(uplink, world).window(transfers, 0, 5)
    for i in range(5):
        g = world.gains(np.array([i * 0.01]), np.arange(2))[0] * SNR_PER_GAIN
        on_0 = g[1, 0] / (6 * W)  # interference over noise at site 0: all power of device 1 over its six blocks
        on_1 = g[0, 1] / (4 * W)
        sinr_0 = g[0, 0] / (4 * W) / (1 + on_0)
        hit, clean = g[1, 1] / (6 * W) / (1 + on_1), g[1, 1] / (6 * W)
        expected = [4 * W * np.log2(1 + sinr_0), 4 * W * np.log2(1 + hit) + 2 * W * np.log2(1 + clean)]
        np.testing.assert_allclose(window.slope[0, :, i], expected, rtol=1e-12)


def test_a_gap_is_in_the_signal_and_not_in_the_interference():
    plain, backed_off = (Allocated(bandwidth_hz=BAND_HZ, gap_db=gap) for gap in (0.0, 3.0))
    world = World([[1e-3, 2e-4], [5e-5, 4e-3]], [0, 1])
    transfers = sending(backed_off, [1e12, 1e12], [6 * W, 6 * W])
    transfers.snr_per_gain_hz /= backed_off.gap
    rate = slots_of(backed_off, world).window(transfers, 0, 1).slope[0, 0, 0]
    g = world.gains(np.zeros(1), np.arange(2))[0] * SNR_PER_GAIN
    sinr = g[0, 0] / (6 * W) / backed_off.gap / (1 + g[1, 0] / (6 * W))
    assert rate == pytest.approx(6 * W * np.log2(1 + sinr), rel=1e-12)
    assert plain.gap == 1.0


def test_other_noise_at_a_site_scales_what_it_hears():
    uplink, world = Allocated(bandwidth_hz=BAND_HZ), World([[1e-3, 2e-4], [5e-5, 4e-3]], [0, 1])
    scale = np.array([1.0, 0.5])  # site 1 has twice the noise
    rate = slots_of(uplink, world, scale=scale).window(sending(uplink, [1e12, 1e12], [6 * W, 6 * W]), 0, 1).slope[0, :, 0]
    g = world.gains(np.zeros(1), np.arange(2))[0] * SNR_PER_GAIN / (6 * W)
    assert rate[0] == pytest.approx(6 * W * np.log2(1 + g[0, 0] / (1 + g[1, 0])), rel=1e-12)
    assert rate[1] == pytest.approx(6 * W * np.log2(1 + 0.5 * g[1, 1] / (1 + 0.5 * g[0, 1])), rel=1e-12)


def test_the_sum_over_blocks_conserves_power():
    rng = np.random.default_rng(1)
    snr_hz, share = rng.uniform(1e3, 1e9, (5, 3)), rng.uniform(0.2, 1.0, 5)
    owner = rng.integers(0, 5, 40)
    counts = np.bincount(owner, minlength=5)
    heard = interference(snr_hz, share / (np.maximum(counts, 1) * W), owner)
    received = np.where(counts[:, None] > 0, share[:, None] * snr_hz, 0.0)  # s g p of everybody who sends, however many blocks
    np.testing.assert_allclose(heard.sum(axis=1) * W, received.sum(axis=0), rtol=1e-12)


UPLINKS = {
    "work_conserving": WorkConserving(bandwidth_hz=BAND_HZ),
    "round_robin": RoundRobin(bandwidth_hz=BAND_HZ),
    "proportional_fair": ProportionalFair(bandwidth_hz=BAND_HZ),
    "max_ci": MaxCI(bandwidth_hz=BAND_HZ),
    "nr": ProportionalFair(bandwidth_hz=BAND_HZ, rate=TransportBlocks(), slot_s=1e-3, report_delay_slots=2),
}
GAINS = np.array([[1e-3, 2e-5], [3e-4, 1e-5], [2e-3, 4e-5], [5e-5, 1e-5]])


@pytest.mark.parametrize("name", UPLINKS)
def test_with_silent_neighbours_a_cell_is_a_single_cell_bit_for_bit(name):
    uplink, world = UPLINKS[name], World(GAINS, [0, 0, 0, 0])
    bits, share = [2e4, 4e4, 3e4, 1e4], [2 * W, W, W, 2 * W]
    many, single = sending(uplink, bits, share), sending(uplink, bits, share)
    cells, medium = slots_of(uplink, world), Medium(uplink, world, streams=Streams(3))
    first = 0
    while many.sending.any():
        one, other = cells.window(many, first, 1), medium._slots.window(single, first, 1)
        for here, there in ((one, many), (other, single)):
            rows = np.flatnonzero(there.sending)
            ends = here.completion_s(there, rows)
            there.complete(rows[np.isfinite(ends)])
            here.settle(there, rows, np.minimum(ends, here.end_s))
        np.testing.assert_array_equal(one.total[: len(other.total)], other.total)
        for field in ("backlog_bits", "airtime_s", "held_hz_s", "again_bits", "settled_s"):
            np.testing.assert_array_equal(getattr(many, field), getattr(single, field))
        first += one.slope.shape[2]


def test_reserved_shares_of_a_cell_alone_are_those_of_allocated():
    uplink, world = Allocated(bandwidth_hz=BAND_HZ), World(GAINS, [0, 0, 0, 0])
    transfers = sending(uplink, [1e12] * 4, [1.3 * W, 0.7 * W, 2.2 * W, 1.8 * W])
    window = slots_of(uplink, world).window(transfers, 0, 50)
    slope = Medium(uplink, world).slopes(transfers, np.arange(50), np.arange(4))
    np.testing.assert_array_equal(window.slope[:3], slope)
    assert isinstance(in_a_cell(uplink), Reserved)


def test_each_cell_has_the_whole_band():
    uplink = Allocated(bandwidth_hz=BAND_HZ)
    quotas = cell_quotas(uplink, np.full(4, 3 * W), np.array([0, 1, 0, 1]))
    assert quotas.tolist() == [300.0] * 4
    crowded = cell_quotas(uplink, np.full(4, 3 * W), np.array([0, 1, 0, 0]))
    assert crowded[1] == 300.0
    assert crowded.sum() == 900.0
    assert np.ptp(crowded[[0, 2, 3]]) <= 1


def test_who_moves_takes_its_share_along_and_is_silent_for_a_while():
    uplink = Allocated(bandwidth_hz=BAND_HZ)
    world = World(GAINS, [0, 0, 1, 1], moves=[(0.05, 1, 1)], interruption_s=0.02)
    transfers = sending(uplink, [1e12] * 4, np.full(4, 3 * W))
    transfers.quotas[:] = cell_quotas(uplink, transfers.share_hz, world.site)
    slots = slots_of(uplink, world)
    before = slots.window(transfers, 0, 5)
    handing = slots.window(transfers, 5, 2)
    after = slots.window(transfers, 7, 100)
    assert (before.held_hz == 3 * W).all()
    assert (handing.held_hz[1] == 0).all()
    assert (after.held_hz[2] > 0).any()
    np.testing.assert_allclose(after.held_hz[1:].mean(axis=1), 2 * W, rtol=1e-9)  # three devices share six blocks
    assert (after.held_hz[0] == 3 * W).all()


def test_blocks_in_flight_are_lost_with_the_site_and_sent_again():
    uplink = UPLINKS["nr"]
    world = World(GAINS * 1e-3, [0, 0, 0, 0], moves=[(0.02, 0, 1)])
    transfers = sending(uplink, [1e12] * 4, np.full(4, W))
    slots = slots_of(uplink, world)
    slots.window(transfers, 0, 20)
    flying = [memory.harq.in_flight_bits[0] for memory in slots._cells.memories]
    slots.window(transfers, 20, 1)
    harq = slots._cells.memories[0].harq
    assert harq.in_flight_bits[0] == 0.0
    assert not any((sent.rows == 0).any() for sent in harq.due.values())
    assert flying[1] == 0.0


def test_an_uplink_without_blocks_is_refused():
    with pytest.raises(ValueError, match="several sites need an uplink that hands out blocks: allocated, work_conserving"):
        in_a_cell(Ideal())
