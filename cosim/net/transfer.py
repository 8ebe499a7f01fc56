"""Bits drained over the time-varying channel, in vectorised windows of slots, with exact completion times.

In slot i, device k sends at the constant rate r_ik = R(b_ik, s_k g_k(i * slot_s)); where the channel differs over the
band, at the sum of that over the sub-bands that it holds. Shares are reserved, so what a device can send depends on nobody
else. A *window* holds, for all transfers that are not done, the bits that each could send by every slot edge; whoever begins
or stops within it only reads off there when it will be done, or what it has sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cosim.errors import SimulationError

if TYPE_CHECKING:
    from cosim.interfaces import Band, BoolArray, FloatArray, GainSource, IntArray, SubbandGains, Uplink
    from cosim.rate import Rate

WINDOW_ELEMENTS = 8_192
"""Slots x devices of a window, at most, while it has more than the fewest slots."""
WINDOW_SLOTS = (8, 64)
"""Fewest and, in the first thousand slots of a round, most slots of a window: what lies behind the last completion is wasted."""
FIRST_WINDOW_SLOTS = 16
"""Slots of a round's first window: downloads are over after a few."""
STALLED_SLOTS = 1_000_000
"""A transfer that has lasted for this many slots is an error, not a result."""


@dataclass(slots=True)
class Transfers:
    """Uploads (or downloads) of one round; arrays (n,), changed in place. A transfer can go on from any such record.

    ``backlog_bits``: what is still to be sent at ``settled_s``, and ``airtime_s``: time spent until then in slots with
    bandwidth; ``sending``: is on the air now; ``done``: nothing to come from it any more.
    """

    device_ids: IntArray
    quotas: FloatArray
    snr_per_gain_hz: FloatArray
    backlog_bits: FloatArray
    settled_s: FloatArray
    sending: BoolArray
    done: BoolArray
    airtime_s: FloatArray

    @staticmethod
    def of(device_ids: IntArray, quotas: FloatArray, snr_per_gain_hz: float | FloatArray, bits: FloatArray) -> Transfers:
        """Transfers that nobody has begun yet."""
        n = len(device_ids)
        return Transfers(
            device_ids=device_ids,
            quotas=quotas,
            snr_per_gain_hz=np.full(n, snr_per_gain_hz),
            backlog_bits=np.array(bits, np.float64),
            settled_s=np.zeros(n),
            sending=np.zeros(n, np.bool_),
            done=np.zeros(n, np.bool_),
            airtime_s=np.zeros(n),
        )

    def begin(self, rows: int | IntArray, now_s: float) -> None:
        """Rows start to send."""
        self.sending[rows] = True
        self.settled_s[rows] = now_s

    def stop(self, row: int) -> None:
        """A row stops, whatever is left of it."""
        self.sending[row], self.done[row] = False, True

    def complete(self, rows: int | IntArray) -> None:
        """Rows have sent everything; their airtime is settled later."""
        self.sending[rows], self.done[rows], self.backlog_bits[rows] = False, True, 0.0


@dataclass(frozen=True, slots=True)
class Window:
    """What m transfers could send in T slots; arrays over both are (m, T), sums by the edges (m, T+1).

    ``edges_s`` (T+1,); ``place`` (n,): where a row of the transfers stands, -1 for those that are done.
    """

    edges_s: FloatArray
    place: IntArray
    rate_bps: FloatArray
    sent_bits: FloatArray
    on_air_s: FloatArray

    @property
    def end_s(self) -> float:
        """Where the last slot ends."""
        return float(self.edges_s[-1])

    def completion_s(self, transfers: Transfers, rows: IntArray) -> FloatArray:
        """Moment at which the backlog of rows (k,) is sent: slot edge + what is then left / rate; inf if not in the window."""
        places, since_s, backlog = self.place[rows], transfers.settled_s[rows], transfers.backlog_bits[rows]
        target, sent = self._by(self.sent_bits, self.rate_bps, places, since_s) + backlog, self.sent_bits[places]
        slot = np.count_nonzero(sent[:, 1:] < target[:, None], axis=1)
        last = np.minimum(slot, self.rate_bps.shape[1] - 1)
        left = target - sent[np.arange(len(last)), last]
        rate = self.rate_bps[places, last]
        end_s = self.edges_s[last] + np.divide(left, rate, out=np.zeros_like(left), where=rate > 0)
        return np.where(slot > last, np.inf, np.where(backlog > 0, np.maximum(end_s, since_s), since_s))

    def settle(self, transfers: Transfers, rows: IntArray, until_s: float | FloatArray) -> None:
        """Bring rows (k,) to moments within the window, and not after their completion."""
        places, since_s = self.place[rows], transfers.settled_s[rows]
        until_s = np.maximum(until_s, since_s)
        sent, on_air = (
            self._by(sums, slope, places, until_s) - self._by(sums, slope, places, since_s)
            for sums, slope in ((self.sent_bits, self.rate_bps), (self.on_air_s, self.rate_bps > 0))
        )
        transfers.backlog_bits[rows] = np.maximum(transfers.backlog_bits[rows] - sent, 0.0)
        transfers.airtime_s[rows] += on_air
        transfers.settled_s[rows] = until_s

    def _by(self, sums: FloatArray, slope: FloatArray | BoolArray, places: IntArray, times_s: FloatArray) -> FloatArray:
        """A sum over the window (m, T+1) that grows by ``slope`` (m, T) within a slot, at a place and a moment each (k,)."""
        slot = self.edges_s[1:-1].searchsorted(times_s, side="right")
        elapsed = np.maximum(times_s - self.edges_s[slot], 0.0)
        return np.asarray(sums[places, slot] + slope[places, slot] * elapsed)


class Medium:
    """A band, its scheduler and the channel behind it."""

    def __init__(self, uplink: Uplink, channel: GainSource, subbands: SubbandGains | None = None) -> None:
        """``uplink`` schedules the band (the downlink passes an `Ideal` one); ``subbands``: what differs over it."""
        self.uplink = uplink
        self._gain = channel.gain if subbands is None else subbands.gain
        self._band = None if subbands is None else subbands.band

    def window(self, transfers: Transfers, start_s: float, now_s: float) -> Window:
        """What all who are not done could send from the slot of ``now_s`` on, in a round of transfers that began at ``start_s``."""
        slot_s = self.uplink.slot_s
        first = int(now_s / slot_s)
        first += (first + 1) * slot_s <= now_s  # the quotient may fall just short of a slot's edge
        rows = np.flatnonzero(~transfers.done)
        slots = np.arange(first, first + self._length(len(rows), first - int(start_s / slot_s)))
        edges = np.append(slots, slots[-1] + 1) * slot_s
        rate = np.ascontiguousarray(self._rate(transfers, slots, rows).T)
        length = np.diff(edges)
        place = np.full(len(transfers.done), -1)
        place[rows] = np.arange(len(rows))
        return Window(edges, place, rate, _cumulative(rate * length), _cumulative(np.where(rate > 0, length, 0.0)))

    def _length(self, transfers: int, elapsed_slots: int) -> int:
        """Slots of a window: few at first, then as many as fit, more where a round lasts very long."""
        fewest, most = WINDOW_SLOTS
        wanted = max(most, elapsed_slots // 16) if elapsed_slots else FIRST_WINDOW_SLOTS
        return max(fewest, min(wanted, WINDOW_ELEMENTS // max(1, transfers)))

    def finish(self, transfers: Transfers, start_s: float) -> FloatArray:
        """Completion times (n,) of transfers that all begin at ``start_s`` and that nothing can disturb."""
        rows, completion = np.arange(len(transfers.device_ids)), np.full(len(transfers.device_ids), np.inf)
        transfers.begin(rows, start_s)
        now_s = start_s
        while transfers.sending.any():
            self.refuse_stall(transfers, start_s, now_s)
            window, rows = self.window(transfers, start_s, now_s), np.flatnonzero(transfers.sending)
            completion[rows] = window.completion_s(transfers, rows)
            transfers.complete(rows[np.isfinite(completion[rows])])
            now_s = window.end_s
            window.settle(transfers, rows, np.minimum(completion[rows], now_s))
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

    def _rate(self, transfers: Transfers, slots: IntArray, rows: IntArray) -> FloatArray:
        """What rows (m,) send in slots (T,) [bit/s]; (T, m)."""
        snr_per_gain = transfers.snr_per_gain_hz[rows]
        gains = self._gain(np.asarray(slots * self.uplink.slot_s), transfers.device_ids[rows])
        if self._band is None:
            bandwidth = self.uplink.bandwidth_in_slots(transfers.quotas, slots)[:, rows]
            return self.uplink.rate.value(bandwidth, snr_per_gain * gains)
        low, high = (edge[:, rows] for edge in self.uplink.edges_in_slots(transfers.quotas, slots))
        return selective_rate(self.uplink.rate, self._band, (low, high), snr_per_gain[:, None] * gains)


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


def _cumulative(parts: FloatArray) -> FloatArray:
    """Sums (m, T+1) of parts (m, T), beginning with 0."""
    sums = np.zeros((len(parts), parts.shape[1] + 1))
    np.cumsum(parts, axis=1, out=sums[:, 1:])
    return sums
