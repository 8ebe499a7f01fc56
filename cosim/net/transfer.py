"""Bits drained over the time-varying channel, in vectorised chunks of slots, with exact completion times.

In slot i, device k sends at the constant rate r_ik = R(b_ik, s_k g_k(i * slot_s)); where the channel differs over the
band, at the sum of that over the sub-bands that it holds. A *forecast* holds the
cumulative bits of the senders over a chunk of slots: from it follow the exact completion times, and what
has been sent by any moment of the chunk, should the set of senders change there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from cosim.errors import SimulationError

if TYPE_CHECKING:
    from cosim.interfaces import Band, BoolArray, FloatArray, GainSource, IntArray, SubbandGains, Uplink
    from cosim.rate import Rate

CHUNK_ELEMENTS = 8_192
"""Slots x devices whose gains are evaluated together."""
CHUNK_SLOTS = (8, 256)
"""Least and greatest number of slots whose gains are evaluated together."""
FORECAST_SLOTS = 24
"""Slots of a forecast: with many devices the senders change every few slots, and the rest would be thrown away."""
STALLED_SLOTS = 1_000_000
"""A transfer that has lasted for this many slots is an error, not a result."""


@dataclass(frozen=True, slots=True)
class Transfers:
    """Uploads (or downloads) of one round; arrays (n,). A plain record: a transfer can go on from any of them.

    ``backlog_bits``: what is still to be sent; ``sending``: is on the air now; ``done``: nothing to come from
    it any more; ``airtime_s``: time spent in slots with bandwidth.
    """

    device_ids: IntArray
    quotas: FloatArray
    snr_per_gain_hz: FloatArray
    backlog_bits: FloatArray
    sending: BoolArray
    done: BoolArray
    airtime_s: FloatArray

    @staticmethod
    def of(device_ids: IntArray, quotas: FloatArray, snr_per_gain_hz: float, bits: FloatArray) -> Transfers:
        """Transfers that nobody has begun yet."""
        n = len(device_ids)
        no, zero = np.zeros(n, np.bool_), np.zeros(n)
        return Transfers(device_ids, quotas, np.full(n, snr_per_gain_hz), np.asarray(bits, np.float64), no, no, zero)

    def begin(self, row: int) -> Transfers:
        """Row starts to send."""
        return replace(self, sending=_with(self.sending, row, value=True))

    def abandon(self, row: int) -> Transfers:
        """Row stops, whatever is left of it."""
        return replace(self, sending=_with(self.sending, row, value=False), done=_with(self.done, row, value=True))


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the senders will have sent by each slot edge of a chunk, if nothing changes; m senders, T slots.

    ``edges_s`` (T+1,), ``rows`` (m,) of the transfers, ``rate_bps`` and ``sent_bits`` (T, m) and (T+1, m),
    ``on_air_s`` (T+1, m), ``done_s`` (m,): inf where the chunk does not suffice.
    """

    edges_s: FloatArray
    rows: IntArray
    rate_bps: FloatArray
    sent_bits: FloatArray
    on_air_s: FloatArray
    done_s: FloatArray

    def completions(self) -> list[tuple[float, int]]:
        """(moment, row) of those who complete within the chunk, in time order."""
        order = np.argsort(self.done_s, kind="stable")[: int(np.isfinite(self.done_s).sum())]
        return list(zip(self.done_s[order].tolist(), self.rows[order].tolist(), strict=True))

    def settle(self, transfers: Transfers, now_s: float) -> Transfers:
        """The transfers at ``now_s``, within the chunk."""
        completed = self.done_s <= now_s
        sent, on_air = self._at(np.where(completed, self.done_s, now_s))
        backlog, airtime = transfers.backlog_bits.copy(), transfers.airtime_s.copy()
        backlog[self.rows] = np.where(completed, 0.0, np.maximum(backlog[self.rows] - sent, 0.0))
        airtime[self.rows] += on_air
        rows = self.rows[completed]
        sending, done = transfers.sending.copy(), transfers.done.copy()
        sending[rows], done[rows] = False, True
        return replace(transfers, backlog_bits=backlog, airtime_s=airtime, sending=sending, done=done)

    def _at(self, times_s: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Bits sent and time on the air by one moment per sender (m,)."""
        slot = np.clip(np.searchsorted(self.edges_s, times_s, side="right") - 1, 0, len(self.edges_s) - 2)
        column = np.arange(len(self.rows))
        rate = self.rate_bps[slot, column]
        elapsed = np.clip(times_s - self.edges_s[slot], 0.0, None)
        return self.sent_bits[slot, column] + rate * elapsed, self.on_air_s[slot, column] + (rate > 0) * elapsed


class Medium:
    """A band, its scheduler and the channel behind it.

    Gains are evaluated for a window of slots and kept: they are functions of (device, slot), so what is
    kept cannot differ from what would be evaluated again.
    """

    def __init__(self, uplink: Uplink, channel: GainSource, subbands: SubbandGains | None = None) -> None:
        """``uplink`` schedules the band (the downlink passes an `Ideal` one); ``subbands``: what differs over it."""
        self.uplink = uplink
        self._gain = channel.gain if subbands is None else subbands.gain
        self._band = None if subbands is None else subbands.band
        self._ids: IntArray = np.zeros(0, np.int64)
        self._window: tuple[int, IntArray, FloatArray] = (0, np.zeros(0, np.int64), np.zeros((0, 0)))

    def forecast(self, transfers: Transfers, now_s: float) -> Forecast:
        """What those sending will have sent, from ``now_s`` over some slots."""
        slot_s = self.uplink.slot_s
        first = int(now_s / slot_s)
        first += (first + 1) * slot_s <= now_s  # the quotient may fall just short of a slot's edge
        rows = np.flatnonzero(transfers.sending)
        slots, gains = self._gains(transfers, first, rows)
        rate = self._rate(transfers, slots, rows, gains)
        edges = np.append(slots, slots[-1] + 1) * slot_s
        edges[0] = now_s
        length = np.maximum(np.diff(edges), 0.0)[:, None]
        sent = _cumulative(rate * length)
        return Forecast(
            edges,
            rows,
            rate,
            sent,
            _cumulative(np.where(rate > 0, length, 0.0)),
            _completion(edges, rate, sent, transfers.backlog_bits[rows]),
        )

    def finish(self, transfers: Transfers, start_s: float) -> FloatArray:
        """Completion times (n,) of transfers that all begin at ``start_s`` and that nothing can disturb."""
        transfers = replace(transfers, sending=np.ones_like(transfers.sending))
        completion, now_s = np.full(len(transfers.device_ids), np.inf), start_s
        while transfers.sending.any():
            self.refuse_stall(transfers, start_s, now_s)
            forecast = self.forecast(transfers, now_s)
            now_s = float(forecast.edges_s[-1])
            transfers = forecast.settle(transfers, now_s)
            completion[forecast.rows] = forecast.done_s
        return completion

    def refuse_stall(self, transfers: Transfers, start_s: float, now_s: float) -> None:
        """Raises SimulationError when transfers that began at ``start_s`` have lasted too many slots."""
        if now_s - start_s <= STALLED_SLOTS * self.uplink.slot_s:
            return
        row = int(np.argmax(transfers.sending))
        raise SimulationError(
            f"the transfer of device {transfers.device_ids[row]} has lasted for {now_s - start_s:.6g} s ({STALLED_SLOTS} slots) and "
            f"{transfers.backlog_bits[row]:.6g} bit are left: its link is too weak; raise powers or bandwidths, or move it nearer"
        )

    def _rate(self, transfers: Transfers, slots: IntArray, rows: IntArray, gains: FloatArray) -> FloatArray:
        """What rows (m,) send in slots (T,) at gains (T, m), or (T, m, F) [bit/s]."""
        if self._band is None:
            bandwidth = self.uplink.bandwidth_in_slots(transfers.quotas, slots)[:, rows]
            return self.uplink.rate.value(bandwidth, transfers.snr_per_gain_hz[rows] * gains)
        low, high = (edge[:, rows] for edge in self.uplink.edges_in_slots(transfers.quotas, slots))
        return selective_rate(self.uplink.rate, self._band, (low, high), transfers.snr_per_gain_hz[rows][:, None] * gains)

    def _gains(self, transfers: Transfers, first: int, rows: IntArray) -> tuple[IntArray, FloatArray]:
        """Slots (T,) from ``first`` on, and the gains (T, m), or (T, m, F), of some rows there."""
        start, columns, gains = self._window
        position = np.full(len(transfers.device_ids), -1)
        current = self._ids is transfers.device_ids
        if current:
            position[columns] = np.arange(len(columns))
        if not current or not start <= first < start + len(gains) or (position[rows] < 0).any():
            columns = np.flatnonzero(~transfers.done)
            least, most = CHUNK_SLOTS if current else (CHUNK_SLOTS[0], FORECAST_SLOTS)  # a download is over after few slots
            count = int(np.clip(CHUNK_ELEMENTS // max(1, len(columns)), least, most))
            times = np.arange(first, first + count, dtype=np.float64) * self.uplink.slot_s
            gains = self._gain(times, transfers.device_ids[columns])
            start, self._ids, self._window = first, transfers.device_ids, (first, columns, gains)
            position[columns] = np.arange(len(columns))
        slots = np.arange(first, min(first + FORECAST_SLOTS, start + len(gains)))
        return slots, gains[slots[0] - start : slots[-1] + 1 - start, position[rows]]


def selective_rate(rate: Rate, band: Band, edges_hz: tuple[FloatArray, FloatArray], snr_hz: FloatArray) -> FloatArray:
    """Bits per second (...,) over a contiguous piece of a band whose SNR differs: sum_f R(b_f, s_f b_f / b).

    ``edges_hz``: lower and upper edges (...,) of the piece; b_f: its overlap with sub-band f [Hz], b = sum_f b_f;
    ``snr_hz`` (..., F): SNR in 1 Hz if all power were in sub-band f [Hz].
    """
    low, high = (edge[..., None] for edge in edges_hz)
    sides = band.edges_hz
    overlap = np.clip(np.minimum(high, sides[1:]) - np.maximum(low, sides[:-1]), 0.0, None)
    whole = overlap.sum(axis=-1, keepdims=True)
    share = np.divide(overlap, whole, out=np.zeros_like(overlap), where=whole > 0)
    return np.asarray(rate.value(overlap, snr_hz * share).sum(axis=-1))


def _completion(edges: FloatArray, rate: FloatArray, sent: FloatArray, backlog: FloatArray) -> FloatArray:
    """Moment (m,) at which the backlog is sent: edge + what was then left / rate, inf if not in the chunk."""
    slot = np.sum(sent[1:] < backlog, axis=0)
    inside = slot < len(rate)
    slot, column = np.minimum(slot, len(rate) - 1), np.arange(len(backlog))
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.where(backlog > sent[slot, column], (backlog - sent[slot, column]) / rate[slot, column], 0.0)
    return np.where(inside, edges[slot] + left, np.inf)


def _cumulative(parts: FloatArray) -> FloatArray:
    """Sums (T+1, m) of parts (T, m), beginning with 0."""
    return np.concatenate([np.zeros((1, parts.shape[1])), np.cumsum(parts, axis=0)])


def _with(flags: BoolArray, row: int, *, value: bool) -> BoolArray:
    changed = flags.copy()
    changed[row] = value
    return changed
