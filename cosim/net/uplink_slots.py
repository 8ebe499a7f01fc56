"""A coupled uplink, slot by slot: a slot depends on the last one, so this is a loop over slots, vectorised over devices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast, final

import numpy as np

from cosim.net.harq import Sent
from cosim.net.mcs import EESM_BETA, effective_sinr
from cosim.net.transfer_records import AGAIN, AIRTIME, BITS, HELD, Window, cumulative
from cosim.net.uplink_memory import Memory, Turn

if TYPE_CHECKING:
    from collections.abc import Callable

    from cosim.interfaces import BoolArray, FloatArray, GainSource, IntArray
    from cosim.net.harq import Chances
    from cosim.net.mcs import TransportBlocks
    from cosim.net.power import PowerLaw
    from cosim.net.transfer_records import Transfers
    from cosim.net.uplink_schedulers import Scheduler

    Gains = Callable[[FloatArray, IntArray], FloatArray]

_AHEAD_ELEMENTS, _AHEAD_SLOTS = 65_536, (16, 64)
"""Gains evaluated at once, and the fewest and most slots of them: few large questions cost less than many small ones, up to a point."""
_DUST_BITS = 1e-6
"""What rounding may leave of an upload."""


@final
@dataclass(frozen=True, slots=True)
class Air:
    """What the radio offers to m devices in T slots: SNR in 1 Hz at the greatest power (T, m), or (T, m, F) per block.

    ``reported_hz``: as far as the scheduler knows; ``power_per_hz`` (T, m): share of the greatest power per Hz held, inf without power
    control.
    """

    snr_hz: FloatArray
    reported_hz: FloatArray
    power_per_hz: FloatArray


@final
class Ahead:
    """What the radio offers in slots to come, evaluated in large pieces for all transfers that are not done.

    ``known``: the latest piece, from slot ``first`` on; ``place`` (n,): where a row of the transfers stands in it, -1 if nowhere.
    """

    def __init__(self, gain: Gains, channel: GainSource, law: PowerLaw | None, slot_s: float) -> None:
        self._gain_of, self._channel, self._law, self._slot_s = gain, channel, law, slot_s
        self._ids: IntArray | None = None
        self.first, self._end = 0, 0
        self.place: IntArray = np.zeros(0, np.int64)
        self.known = Air(*(np.zeros((0, 0)) for _ in range(3)))

    def reach(self, transfers: Transfers, rows: IntArray, first: int, most: int, delay: int) -> int:
        """How many slots of rows (m,) from ``first`` on are known, of ``most``; if none is, more are looked up."""
        if not self._knows(transfers, rows, (first, first + 1)):
            self._fetch(transfers, (first, first + 1), delay)
        return min(most, self._end - first)

    def air(self, transfers: Transfers, rows: IntArray, slots: tuple[int, int], delay: int) -> Air:
        """For rows (m,) in slots first .. end - 1, reports being ``delay`` slots old; before t = 0 as at 0."""
        if not self._knows(transfers, rows, slots):
            self._fetch(transfers, slots, delay)
        here, place = slice(slots[0] - self.first, slots[1] - self.first), self.place[rows]
        known = self.known
        return Air(known.snr_hz[here, place], known.reported_hz[here, place], known.power_per_hz[here, place])

    def _knows(self, transfers: Transfers, rows: IntArray, slots: tuple[int, int]) -> bool:
        first, end = slots
        return self._ids is transfers.device_ids and self.first <= first and end <= self._end and bool((self.place[rows] >= 0).all())

    def _fetch(self, transfers: Transfers, slots: tuple[int, int], delay: int) -> None:
        rows = np.flatnonzero(~transfers.done)
        ids = transfers.device_ids[rows]
        one = self._gain_of(np.zeros(1), ids[:1]).size
        fewest, most = _AHEAD_SLOTS
        self.first = slots[0]
        self._end = max(slots[1], slots[0] + max(fewest, delay, min(most, _AHEAD_ELEMENTS // (one * rows.size))))
        count = self._end - self.first
        times_s = np.maximum(np.arange(self.first - delay, self._end), 0) * self._slot_s
        self._ids, self.place = transfers.device_ids, np.full(transfers.done.size, -1)
        self.place[rows] = np.arange(rows.size)
        gain = self._gain_of(times_s, ids)
        snr = gain * transfers.snr_per_gain_hz[rows].reshape((-1,) + (1,) * (gain.ndim - 2))
        power = np.full((1, 1), np.inf)
        if self._law is not None:
            power = self._law.per_hz(self._channel.mean_gain(times_s[delay:], ids))
            power = power * (self._law.snr_per_gain_hz / transfers.snr_per_gain_hz[rows])
        self.known = Air(snr[delay:], snr[:count], np.broadcast_to(power, (count, rows.size)))


@final
class Slots:
    """Windows of a coupled uplink. Whoever has sent everything leaves the blocks of the slots after that to others."""

    def __init__(self, uplink: Scheduler, ahead: Ahead, chances: Chances | None) -> None:
        """``chances``: of transport blocks; needed where the rate has any."""
        self._uplink, self._ahead, self._chances = uplink, ahead, chances

    def window(self, transfers: Transfers, first: int, most: int) -> Window:
        """What those who are on the air send from slot ``first`` on, in ``most`` slots or fewer, until all have sent everything."""
        uplink, rows = self._uplink, np.flatnonzero(transfers.sending)
        transfers.memory = transfers.memory or Memory.fresh(transfers.done.size)
        most = self._ahead.reach(transfers, rows, first, most, uplink.report_delay_slots)
        air = self._ahead.air(transfers, rows, (first, first + most), uplink.report_delay_slots)
        kind = Fluid if self._chances is None else TransportRun
        run = kind(uplink, transfers, rows, air, self._chances)
        arrived = np.zeros((most + 1, rows.size))
        begun, slots = run.left_bits.copy(), 0
        while slots < most and (slots == 0 or run.left_bits.any()):
            run.slot(first + slots, slots)
            slots += 1
            arrived[slots] = begun - run.left_bits
        edges_s = np.asarray(np.arange(first, first + slots + 1) * uplink.slot_s, np.float64)
        slope = np.ascontiguousarray(run.slope[:, :slots].transpose(0, 2, 1))
        total = cumulative(slope * np.diff(edges_s))
        total[BITS] = arrived[: slots + 1].T
        place = np.full(transfers.done.size, -1)
        place[rows] = np.arange(rows.size)
        return Window(edges_s, place, slope, total)


class Run:
    """The slots of one window: ``left_bits`` (m,) that have not arrived yet; ``slope`` (4, T, m) as in the window."""

    def __init__(self, uplink: Scheduler, transfers: Transfers, rows: IntArray, air: Air, chances: Chances | None) -> None:
        assert transfers.memory is not None
        self._uplink, self._transfers, self._rows, self._air, self._chances = uplink, transfers, rows, air, chances
        self._memory = transfers.memory
        self.left_bits: FloatArray = transfers.backlog_bits[rows]
        self.slope: FloatArray = np.zeros((AGAIN + 1, len(air.snr_hz), rows.size))
        self._all = np.ones(uplink.blocks, np.bool_)
        self._flat, self._controlled = air.snr_hz.ndim == 2, bool(np.isfinite(air.power_per_hz[0, 0]))
        self._room, self._efficiency = self._prospects()

    def _prospects(self) -> tuple[IntArray, FloatArray]:
        """Most blocks that each device can light up (T, m), and the rate per Hz that it promises on them (T, m) or (T, m, F)."""
        uplink, reported, per_hz = self._uplink, self._air.reported_hz, self._air.power_per_hz
        mean = reported if self._flat else reported.mean(axis=2)
        room = np.clip(np.floor(mean / (uplink.snr_min * uplink.block_hz)), 1, uplink.blocks)
        held = room * uplink.block_hz
        share = np.minimum(1.0, per_hz * held)
        if not self._flat:
            held, share = held[:, :, None], share[:, :, None]
        return room.astype(np.int64), uplink.rate.value(held, reported * share) / held

    def _turn(self, slot: int, i: int, able: BoolArray, free: BoolArray) -> Turn:
        room = np.where(able, self._room[i], 0)
        return Turn(slot, self._rows, room, self._transfers.quotas, self._air.reported_hz[i], self._efficiency[i], free)

    def _share(self, i: int, counts: IntArray) -> FloatArray:
        """Share of the greatest power that devices (m,) use on these blocks, 0 without any."""
        if not self._controlled:
            return (counts > 0).astype(np.float64)
        return np.asarray(np.minimum(1.0, self._air.power_per_hz[i] * (counts * self._uplink.block_hz)))

    def _on_air(self, i: int, counts: IntArray, share: FloatArray) -> None:
        self.slope[AIRTIME, i] = self._uplink.uplink_share * share
        self.slope[HELD, i] = counts * self._uplink.block_hz

    def slot(self, slot: int, i: int) -> None:
        """Slot number ``slot``, the i-th of the window."""
        self.receive(slot, i, self.decide(slot, i), None)

    def decide(self, slot: int, i: int) -> IntArray:
        """Who sends on each block (N,), -1 for nobody."""
        raise NotImplementedError

    def receive(self, slot: int, i: int, owner: IntArray, loss: FloatArray | None) -> None:
        """What then arrives; ``loss`` (N,): N0 / (N0 + I) on each block, None where nobody else is heard."""
        raise NotImplementedError

    def density(self, i: int, owner: IntArray) -> FloatArray:
        """Power per Hz with which devices (m,) then send, as a share of their greatest power [1/Hz]."""
        counts = np.bincount(owner[owner >= 0], minlength=self._rows.size)
        return self._share(i, counts) / (np.maximum(counts, 1) * self._uplink.block_hz)


@final
class Fluid(Run):
    """Bits flow at the rate function's value for what a device holds."""

    def decide(self, slot: int, i: int) -> IntArray:
        return self._uplink.owners(self._memory, self._turn(slot, i, self.left_bits > 0, self._all))

    def receive(self, slot: int, i: int, owner: IntArray, loss: FloatArray | None) -> None:  # noqa: ARG002
        uplink = self._uplink
        used = np.flatnonzero(owner >= 0)
        counts = np.bincount(owner[used], minlength=self._rows.size)
        share = self._share(i, counts)
        heard = None if loss is None or (loss[used] == 1.0).all() else loss[used]
        if self._flat:
            held = np.flatnonzero(counts)
            rate: FloatArray = np.zeros(counts.size)
            rate[held] = uplink.rate.value(counts[held] * uplink.block_hz, (self._air.snr_hz[i] * share)[held])
        if heard is not None or not self._flat:
            who = owner[used]
            snr_hz = self._air.snr_hz[i, who] if self._flat else self._air.snr_hz[i, who, used]
            snr_hz = snr_hz * (share / np.maximum(counts, 1))[who]
            parts = uplink.rate.value(uplink.block_hz, snr_hz if heard is None else snr_hz * heard)
            apart = np.asarray(np.bincount(who, parts, counts.size), np.float64)
            rate = apart if heard is None or not self._flat else np.where(np.bincount(who, heard < 1.0, counts.size) > 0, apart, rate)
        rate *= uplink.useful
        uplink.learn(self._memory, self._rows, rate)
        self._on_air(i, counts, share)
        self.slope[BITS, i] = rate
        self.left_bits = np.maximum(self.left_bits - rate * uplink.slot_s, 0.0)


@final
class TransportRun(Run):
    """Transport blocks: first those to be sent again, then new ones on what is free. A device sends one block in a slot."""

    _again: Sent | None
    _fresh: IntArray

    def decide(self, slot: int, i: int) -> IntArray:
        harq = self._memory.harq
        again = self._again = harq.take(slot, self._transfers.sending)
        free = self._all.copy()
        able = self.left_bits - harq.in_flight_bits[self._rows] > _DUST_BITS
        owner = np.full(free.size, -1)
        if again is not None:
            places = self._rows.searchsorted(again.rows)
            old = np.repeat(places, again.blocks)
            owner[: old.size], free[: old.size], able[places] = old, False, False
        self._fresh = self._uplink.owners(self._memory, self._turn(slot, i, able, free))
        return np.asarray(np.maximum(owner, self._fresh))

    def receive(self, slot: int, i: int, owner: IntArray, loss: FloatArray | None) -> None:
        uplink, harq, link, again = self._uplink, self._memory.harq, self._link, self._again
        sent = self._new(i, self._fresh)
        used = np.flatnonzero(owner >= 0)
        counts = np.bincount(owner[used], minlength=self._rows.size)
        share = self._share(i, counts)
        fresh = np.zeros(counts.size)
        if sent is not None:
            fresh[self._rows.searchsorted(sent.rows)] = sent.payload_bits
            harq.in_flight_bits[sent.rows] += sent.payload_bits
        uplink.learn(self._memory, self._rows, fresh / uplink.slot_s)
        self._on_air(i, counts, share)
        if again is not None:
            self.slope[AGAIN, i, self._rows.searchsorted(again.rows)] = again.payload_bits / uplink.slot_s
            sent = again if sent is None else again.and_also(sent)
        if sent is None:
            return
        sinr = self._block_sinr(self._air.snr_hz[i], share, counts)
        if loss is not None and not (loss[used] == 1.0).all():
            sinr = (sinr[:, None] if self._flat else sinr) * loss
        sent = sent.sent_again(self._effective(sent, owner, used, sinr))
        assert self._chances is not None
        failed = sent.failed(self._chances.of(slot, self._transfers.device_ids[sent.rows]))
        rows, bits = harq.receive(sent, failed, slot + link.harq_delay_slots, link.harq_attempts)
        self.left_bits[self._rows.searchsorted(rows)] -= bits
        self.left_bits[self.left_bits < _DUST_BITS] = 0.0

    @property
    def _link(self) -> TransportBlocks:
        return cast("TransportBlocks", self._uplink.rate)

    def _new(self, i: int, owner: IntArray) -> Sent | None:
        """New blocks of those who have got some of the band, chosen by what is reported."""
        used = np.flatnonzero(owner >= 0)
        if not used.size:
            return None
        counts = np.bincount(owner[used], minlength=self._rows.size)
        places = np.flatnonzero(counts)
        sinr = self._block_sinr(self._air.reported_hz[i], self._share(i, counts), counts)
        believed = sinr[places, None] if self._flat else effective_sinr(sinr[owner[used], used], owner[used], EESM_BETA)
        elements = self._link.elements(self._uplink.slot_s, self._uplink.block_hz)
        mcs, size = self._link.choose(np.asarray(counts[places] * elements, np.float64), believed)
        rows = self._rows[places]
        unsent = self.left_bits[places] - self._memory.harq.in_flight_bits[rows]
        payload = np.minimum(np.maximum(np.floor(size * self._uplink.useful), 1.0), unsent)
        none = np.zeros(rows.size)
        return Sent(rows, payload, size, counts[places], mcs, none, none.astype(np.int64))

    def _block_sinr(self, snr_hz: FloatArray, share: FloatArray, counts: IntArray) -> FloatArray:
        """SINR (m,), or (m, F), of blocks among which a device's power is spread evenly."""
        spread = share / (np.maximum(counts, 1) * self._uplink.block_hz)
        return snr_hz * spread if self._flat else snr_hz * spread[:, None]

    def _effective(self, sent: Sent, owner: IntArray, used: IntArray, sinr: FloatArray) -> FloatArray:
        """Effective SINR (k,) of the blocks sent, each by its own MCS."""
        places = self._rows.searchsorted(sent.rows)
        if sinr.ndim == 1:
            return sinr[places]
        beta = np.zeros(self._rows.size)
        beta[places] = EESM_BETA[sent.mcs]
        found = np.zeros(self._rows.size)
        found[np.unique(owner[used])] = effective_sinr(sinr[owner[used], used], owner[used], beta[owner[used], None])[:, 0]
        return found[places]
