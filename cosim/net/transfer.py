"""Bits drained over the time-varying channel, in vectorised windows of slots, with exact completion times.

In slot i, device k sends at the constant rate r_ik = R(b_ik, s_k g_k(i * slot_s)); where the channel differs over the
band, at the sum of that over the sub-bands that it holds. Where shares are reserved, what a device can send depends on nobody
else. A *window* then holds, for all transfers that are not done, the bits that each could send by every slot edge; whoever begins
or stops within it only reads off there when it will be done, or what it has sent. A coupled uplink makes its windows for those who
send, slot by slot (``cosim.net.uplink_slots``).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import numpy as np

from cosim.errors import SimulationError
from cosim.net.harq import SlotChances
from cosim.net.mcs import TransportBlocks
from cosim.net.transfer_records import AIRTIME, BITS, HELD, Transfers, Window, cumulative
from cosim.net.uplink_flat import FlatSlots
from cosim.net.uplink_slots import Ahead, Slots

if TYPE_CHECKING:
    from cosim.interfaces import Band, FloatArray, GainSource, IntArray, ReservedUplink, SubbandGains, Uplink
    from cosim.net.cell_slots import CellSlots
    from cosim.net.power import PowerLaw
    from cosim.net.uplink_schedulers import Scheduler
    from cosim.rate import Rate
    from cosim.rng import Streams

__all__ = ["Medium", "Transfers", "Window", "selective_rate"]

WINDOW_ELEMENTS = 8_192
"""Slots x devices of a window, at most, while it has more than the fewest slots."""
WINDOW_SLOTS = (8, 64)
"""Fewest and, in the first thousand slots of a round, most slots of a window: what lies behind the last completion is wasted."""
FIRST_WINDOW_SLOTS = 16
"""Slots of a round's first window: downloads are over after a few."""
COUPLED_SLOTS = 64
"""Most slots of a window of a coupled uplink."""
STALLED_SLOTS = 1_000_000
"""A transfer that has lasted for this many slots is an error, not a result."""


class Medium:
    """A band, its scheduler and the channel behind it."""

    def __init__(
        self,
        uplink: Uplink,
        channel: GainSource,
        subbands: SubbandGains | None = None,
        *,
        law: PowerLaw | None = None,
        streams: Streams | None = None,
        cells: CellSlots | None = None,
    ) -> None:
        """``uplink`` schedules the band (the downlink passes an `Ideal` one); ``subbands``: what differs over it; ``law``: power control.

        ``streams``: where transport blocks have their luck from; only they need any. ``cells``: the slots of many cells, each with it.
        """
        self.uplink, self._law = uplink, law
        self._gain = channel.gain if subbands is None else subbands.gain
        self._channel = channel
        self._band = None if subbands is None else subbands.band
        self._slots: FlatSlots | Slots | CellSlots | None = cells
        if uplink.coupled and cells is None:
            scheduler, ahead = cast("Scheduler", uplink), Ahead(self._gain, channel, law, uplink.slot_s)
            chances = SlotChances(cast("Streams", streams)) if isinstance(uplink.rate, TransportBlocks) else None
            fluid = subbands is None and chances is None
            self._slots = FlatSlots(scheduler, ahead) if fluid else Slots(scheduler, ahead, chances)

    @property
    def coupled(self) -> bool:
        """Whether what somebody may send depends on who else sends, here or in other cells."""
        return self._slots is not None

    def next_edge_s(self, now_s: float) -> float:
        """The first slot edge at or after a moment."""
        return self._slot_from(now_s) * self.uplink.slot_s

    def window(self, transfers: Transfers, start_s: float, now_s: float, until_s: float = math.inf) -> Window:
        """A window in a round of transfers that began at ``start_s``.

        Reserved shares: what all who are not done could send, from the slot of ``now_s`` on, no further than just beyond ``until_s``,
        when nobody may need it any more. A coupled uplink: what those on the air send, from the next slot edge on, as far as ``until_s``,
        before which nobody else begins and nobody leaves.
        """
        slot_s = self.uplink.slot_s
        if self._slots is not None:
            first = self._slot_from(now_s)
            most = COUPLED_SLOTS if math.isinf(until_s) else self._slot_from(until_s) - first
            return self._slots.window(transfers, first, max(1, min(most, COUPLED_SLOTS)))
        first = int(now_s / slot_s)
        first += (first + 1) * slot_s <= now_s  # the quotient may fall just short of a slot's edge
        rows = np.flatnonzero(~transfers.done)
        length = self._length(len(rows), first - int(start_s / slot_s))
        if math.isfinite(until_s):
            length = max(1, min(length, self._slot_from(until_s) + 1 - first))
        slots = np.arange(first, first + length)
        edges = np.append(slots, slots[-1] + 1) * slot_s
        slope = self.slopes(transfers, slots, rows)
        place = np.full(len(transfers.done), -1)
        place[rows] = np.arange(len(rows))
        return Window(edges, place, slope, cumulative(slope * np.diff(edges)))

    def _slot_from(self, now_s: float) -> int:
        """The first slot that does not begin before a moment."""
        slot = round(now_s / self.uplink.slot_s)
        return slot + (slot * self.uplink.slot_s < now_s)

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

    def slopes(self, transfers: Transfers, slots: IntArray, rows: IntArray) -> FloatArray:
        """Of reserved shares, (3, m, T): what rows (m,) send in slots (T,) [bit/s], airtime per second, bandwidth held [Hz]."""
        uplink = cast("ReservedUplink", self.uplink)
        snr_per_gain, times_s = transfers.snr_per_gain_hz[rows], np.asarray(slots * uplink.slot_s)
        held = uplink.bandwidth_in_slots(transfers.quotas, slots)[:, rows]
        gains = self._gain(times_s, transfers.device_ids[rows])
        share = self._power(transfers, times_s, rows, held)
        if self._band is None:
            rate = uplink.rate.value(held, snr_per_gain * share * gains)
        else:
            low, high = (edge[:, rows] for edge in uplink.edges_in_slots(transfers.quotas, slots))
            rate = selective_rate(uplink.rate, self._band, (low, high), (snr_per_gain * share)[..., None] * gains)
        slope, sends = np.empty((HELD + 1, rows.size, slots.size)), rate > 0
        slope[BITS] = (uplink.useful * rate).T
        slope[AIRTIME] = np.where(sends, uplink.uplink_share * share, 0.0).T
        slope[HELD] = np.where(sends, held, 0.0).T
        return slope

    def _power(self, transfers: Transfers, times_s: FloatArray, rows: IntArray, held_hz: FloatArray) -> FloatArray:
        """Share of its greatest power that each device uses (T, m), or (1, m) where that is all of it."""
        if self._law is None:
            return np.ones((1, len(rows)))
        per_hz = self._law.per_hz(self._channel.mean_gain(times_s, transfers.device_ids[rows]))
        return np.minimum(1.0, per_hz * (self._law.snr_per_gain_hz / transfers.snr_per_gain_hz[rows]) * held_hz)


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
