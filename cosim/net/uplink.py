"""The OFDMA uplink: how the bandwidth shares that an allocator decides become bandwidth in each slot.

Time is cut into slots; slot i begins at i * slot_s. In a slot a device's transmit power is spread evenly
over the band b it holds there, so it sends R(b, s g) bit/s with s g = p g / (N0 Gamma), its SNR in 1 Hz. Where the
channel differs over the band, b is a contiguous piece at a known place, and each sub-band of it carries its part of the
power: sum_f R(b_f, s g_f b_f / b) bit/s, b_f being the width of the piece in sub-band f.
A share is reserved for the round: what a device that has finished leaves free is not given to others. Schedulers that do give
it are in ``cosim.net.uplink_schedulers``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Self, final

import numpy as np
from pydantic import model_validator

from cosim.component import quantity
from cosim.errors import SimulationError
from cosim.net.uplink_base import BandUplink, BlockUplink, refuse_transport_blocks

if TYPE_CHECKING:
    from cosim.interfaces import FloatArray, IntArray
    from cosim.rate import Rate


@final
class Ideal(BandUplink):
    """Fractional frequency division: every device holds exactly its share, all the time.

    The idealised FDMA of Liu et al. (IEEE TSP 2024): rate R(B_k) with B_k any real number.
    """

    @model_validator(mode="after")
    def _fluid(self) -> Self:
        refuse_transport_blocks(self.rate)
        return self

    @property
    def coupled(self) -> bool:
        """Shares are reserved."""
        return False

    @property
    def block_hz(self) -> float:
        """There are no blocks: NaN."""
        return math.nan

    @property
    def usable_bandwidth_hz(self) -> float:
        """The whole band [Hz]."""
        return self.bandwidth_hz

    def planning_rate(self, rate: Rate) -> Rate:
        """The rate itself, less overhead: a share is held as it was given."""
        return self.less_overhead(rate)

    def quotas(self, bandwidth_hz: FloatArray) -> FloatArray:
        """The shares (n,) [Hz], unchanged."""
        return bandwidth_hz

    def bandwidth_in_slots(self, quotas: FloatArray, slots: IntArray) -> FloatArray:
        """The same bandwidth (T, n) [Hz] in every slot."""
        return np.broadcast_to(quotas, (len(slots), len(quotas)))

    def edges_in_slots(self, quotas: FloatArray, slots: IntArray) -> tuple[FloatArray, FloatArray]:
        """Lower and upper edges (T, n) [Hz]: shares lie side by side from the band's lower edge, in the order of the devices."""
        shape = len(slots), len(quotas)
        edges = np.cumsum(np.append(0.0, quotas))
        return np.broadcast_to(edges[:-1], shape), np.broadcast_to(edges[1:], shape)


@final
class Allocated(BlockUplink):
    """Whole resource blocks per slot, handed out by rotating quotas that average to the shares.

    With share q_k = B_k / W blocks (W: block width), C_k = q_1 + ... + q_k and an offset u_i in [0, 1) that
    changes from slot to slot, device k holds floor(C_k + u_i) - floor(C_{k-1} + u_i) blocks in slot i
    (systematic sampling): either floor(q_k) or ceil(q_k), never more in total than there are, and exactly
    q_k on average over one rotation. The offsets are the multiples of 1/P in the order of a golden-ratio
    stride; shares are rounded to multiples of 1/P block, P = ``rotation_slots``.
    """

    rotation_slots: int = quantity(100, "", "slots after which the quotas repeat: shares are multiples of 1/this block", ge=1, le=100_000)

    @model_validator(mode="after")
    def _fluid(self) -> Self:
        refuse_transport_blocks(self.rate)
        return self

    @property
    def coupled(self) -> bool:
        """Shares are reserved."""
        return False

    def quotas(self, bandwidth_hz: FloatArray) -> FloatArray:
        """Shares (n,) in units of 1/P block, whole numbers; a share > 0 becomes at least 1.

        Raises SimulationError if more devices hold a share than a rotation has blocks.
        """
        return whole_quotas(np.asarray(bandwidth_hz, np.float64) / self.block_hz, self.blocks, self.rotation_slots)

    def bandwidth_in_slots(self, quotas: FloatArray, slots: IntArray) -> FloatArray:
        """Bandwidth (T, n) [Hz], whole blocks."""
        starts, ends = rotated(quotas, slots, self.rotation_slots)
        return np.asarray((ends - starts) * self.block_hz)

    def edges_in_slots(self, quotas: FloatArray, slots: IntArray) -> tuple[FloatArray, FloatArray]:
        """Lower and upper edges (T, n) [Hz] of the neighbouring blocks that each device holds."""
        starts, ends = rotated(quotas, slots, self.rotation_slots)
        return np.asarray(starts * self.block_hz), np.asarray(ends * self.block_hz)


def whole_quotas(share_blocks: FloatArray, blocks: int, period: int) -> FloatArray:
    """Shares (n,), given in blocks, in units of 1/period block: whole numbers; a share > 0 becomes at least 1.

    Raises SimulationError if more devices hold a share than a rotation of ``blocks`` x ``period`` has blocks.
    """
    exact = share_blocks * period
    units = np.diff(np.rint(np.cumsum(exact)), prepend=0.0)
    units = np.where(exact > 0, np.maximum(units, 1.0), 0.0)
    total = blocks * period
    if np.count_nonzero(exact > 0) > total:
        raise SimulationError(
            f"{np.count_nonzero(exact > 0)} devices hold a share of the uplink, but a rotation has only {total} blocks "
            f"({blocks} blocks x {period} slots): raise uplink.rotation_slots or uplink.bandwidth_hz"
        )
    while (excess := units.sum() - total) > 0:  # rounding up the tiny shares is paid by the largest
        largest = int(np.argmax(units))
        units[largest] -= min(excess, max(1.0, units[largest] // 2))
    return units


def rotated(quotas: FloatArray, slots: IntArray, period: int) -> tuple[IntArray, IntArray]:
    """First block and the one after the last (T, n) of quotas (n,) in units of 1/period block."""
    upper = np.cumsum(quotas.astype(np.int64))
    offset = rotating_offsets(slots, period)[:, None]
    ends = (upper[None, :] + offset) // period
    starts = (upper[None, :] - quotas.astype(np.int64)[None, :] + offset) // period
    return starts, ends


def rotating_offsets(slots: IntArray, period: int) -> IntArray:
    """Offsets (T,) in 0 .. period-1, each once in a rotation, neighbours far apart: multiples of a golden-ratio stride."""
    return np.asarray(np.asarray(slots, np.int64) % period * _stride(period) % period)


def _stride(period: int) -> int:
    """The step nearest to the golden section of the period that visits every offset once."""
    golden = max(1, round(period * (math.sqrt(5) - 1) / 2))
    return next(step for step in range(golden, 0, -1) if math.gcd(step, period) == 1)
