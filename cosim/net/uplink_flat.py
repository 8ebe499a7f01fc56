"""A coupled uplink on a flat channel, slot by slot: all blocks are alike, so all that counts is how many of them a device has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from cosim.net.transfer_records import AIRTIME, BITS, HELD, Window, cumulative
from cosim.net.uplink_memory import Memory, Turn

if TYPE_CHECKING:
    from cosim.interfaces import FloatArray, IntArray
    from cosim.net.transfer_records import Transfers
    from cosim.net.uplink_schedulers import Scheduler
    from cosim.net.uplink_slots import Ahead, Air


@final
@dataclass(frozen=True, slots=True)
class _Prospects:
    """What devices could have in slots to come, arrays (T, m): most blocks that each can light up, and what they are worth.

    ``efficiency``: the rate per Hz on as many that the reports promise; ``rate_bps``: what it then sends.
    """

    air: Air
    room: IntArray
    efficiency: FloatArray
    rate_bps: FloatArray

    @staticmethod
    def of(air: Air, uplink: Scheduler) -> _Prospects:
        """Of all that is known about the air, at once."""
        reported = air.reported_hz
        room = np.clip(np.floor(reported / (uplink.snr_min * uplink.block_hz)), 1, uplink.blocks)
        held = room * uplink.block_hz
        share = np.minimum(1.0, air.power_per_hz * held)
        promised = uplink.rate.value(held, reported * share)
        kept = uplink.rate.value(held, air.snr_hz * share) if uplink.report_delay_slots else promised
        return _Prospects(air, room.astype(np.int64), promised / held, kept * uplink.useful)


@final
@dataclass(frozen=True, slots=True)
class _Sent:
    """What became of slots: blocks and rates (T, m), and the bits (T+1, m) that have arrived by their edges."""

    counts: IntArray
    rate_bps: FloatArray
    bits: FloatArray

    @staticmethod
    def nothing(slots: int, devices: int) -> _Sent:
        return _Sent(np.zeros((slots, devices), np.int64), np.zeros((slots, devices)), np.zeros((slots + 1, devices)))

    def until(self, slots: int) -> _Sent:
        return _Sent(self.counts[:slots], self.rate_bps[:slots], self.bits[: slots + 1])


@final
class FlatSlots:
    """Windows of a coupled uplink on which bits flow at the rate function's value: as ``Slots``, with nothing laid out block by block."""

    def __init__(self, uplink: Scheduler, ahead: Ahead) -> None:
        self._uplink, self._ahead = uplink, ahead
        self._all = np.ones(uplink.blocks, np.bool_)
        self._prospects: _Prospects | None = None

    def window(self, transfers: Transfers, first: int, most: int) -> Window:
        """What those who are on the air send from slot ``first`` on, in ``most`` slots or fewer, until all have sent everything."""
        uplink, rows = self._uplink, np.flatnonzero(transfers.sending)
        memory = transfers.memory = transfers.memory or Memory.fresh(transfers.done.size)
        most = self._ahead.reach(transfers, rows, first, most, uplink.report_delay_slots)
        air, at, skip = self._ahead.known, self._ahead.place[rows], first - self._ahead.first
        if self._prospects is None or self._prospects.air is not air:
            self._prospects = _Prospects.of(air, uplink)
        hope, quotas, sent = self._prospects, transfers.quotas, _Sent.nothing(most, rows.size)
        left = begun = transfers.backlog_bits[rows]
        able = np.count_nonzero(left)
        for i in range(most):
            room = hope.room[skip + i].take(at)
            if able < left.size:
                room *= left > 0
            reported, efficiency = air.reported_hz[skip + i].take(at), hope.efficiency[skip + i].take(at)
            counts = uplink.counts(memory, Turn(first + i, rows, room, quotas, reported, efficiency, self._all))
            rate = self._rate_bps(skip + i, at, room, counts)
            uplink.learn(memory, rows, rate)
            left = np.maximum(left - rate * uplink.slot_s, 0.0)
            sent.counts[i], sent.rate_bps[i], sent.bits[i + 1] = counts, rate, begun - left
            able = np.count_nonzero(left)
            if not able:
                most = i + 1
                break
        return self._as_window(transfers, rows, first, sent.until(most), air.power_per_hz[skip : skip + most].take(at, axis=1))

    def _rate_bps(self, i: int, at: IntArray, room: IntArray, counts: IntArray) -> FloatArray:
        """What devices (m,) send on these blocks [bit/s]: known beforehand for whoever has all that it can light up."""
        assert self._prospects is not None
        uplink, hope, rate = self._uplink, self._prospects, np.zeros(counts.size)
        served = counts.nonzero()[0]
        rate[served] = hope.rate_bps[i].take(at[served])
        odd = served[counts[served] != room[served]]
        if odd.size:  # a partial share, mostly that of the last in line
            held, column = counts[odd] * uplink.block_hz, at[odd]
            share = np.minimum(1.0, hope.air.power_per_hz[i].take(column) * held)
            rate[odd] = uplink.rate.value(held, hope.air.snr_hz[i].take(column) * share) * uplink.useful
        return rate

    def _as_window(self, transfers: Transfers, rows: IntArray, first: int, sent: _Sent, power_per_hz: FloatArray) -> Window:
        uplink, slots = self._uplink, len(sent.counts)
        edges_s = np.asarray(np.arange(first, first + slots + 1) * uplink.slot_s, np.float64)
        held_hz = sent.counts * uplink.block_hz
        share = np.minimum(1.0, power_per_hz * np.maximum(held_hz, uplink.block_hz)) * (sent.counts > 0)
        slope = np.empty((HELD + 1, rows.size, slots))
        slope[BITS], slope[AIRTIME], slope[HELD] = sent.rate_bps.T, uplink.uplink_share * share.T, held_hz.T
        total = cumulative(slope * np.diff(edges_s))
        total[BITS] = sent.bits.T
        place = np.full(transfers.done.size, -1)
        place[rows] = np.arange(rows.size)
        return Window(edges_s, place, slope, total)
