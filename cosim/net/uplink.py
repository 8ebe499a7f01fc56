"""The OFDMA uplink: how the bandwidth shares that an allocator decides become bandwidth in each slot.

Time is cut into slots; slot i begins at i * slot_s. In a slot a device's transmit power is spread evenly
over the band b it holds there, so it sends R(b, s g) bit/s with s g = p g / (N0 Gamma), its SNR in 1 Hz. Where the
channel differs over the band, b is a contiguous piece at a known place, and each sub-band of it carries its part of the
power: sum_f R(b_f, s g_f b_f / b) bit/s, b_f being the width of the piece in sub-band f.
A share is reserved for the round: what a device that has finished leaves free is not given to others.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, final

import numpy as np

from cosim.catalog import Node, default
from cosim.component import Component, quantity
from cosim.errors import SimulationError
from cosim.rate import Blocks, Rate
from cosim.units import from_db

if TYPE_CHECKING:
    from cosim.interfaces import FloatArray, IntArray

SUBCARRIERS_PER_BLOCK = 12
"""Subcarriers of a resource block (TS 38.211, 4.4.4.1)."""


class _Band(Component):
    """What every uplink has: a band, slots and a rate function."""

    bandwidth_hz: float = quantity(10e6, "Hz", "band of the uplink", gt=0, le=1e12)
    slot_s: float = quantity(0.01, "s", "the channel and the shares are constant during a slot", gt=0, le=1.0)
    gap_db: float = quantity(0.0, "dB", "SNR gap to capacity (Gamma): divides the SNR", ge=0)
    rate: Annotated[Rate, Node("rate")] = default("rate", "shannon")

    @property
    def gap(self) -> float:
        """SNR gap to capacity, linear, >= 1."""
        return float(from_db(self.gap_db))

    @property
    @abstractmethod
    def block_hz(self) -> float: ...
    @property
    @abstractmethod
    def usable_bandwidth_hz(self) -> float: ...
    @abstractmethod
    def planning_rate(self, rate: Rate) -> Rate: ...
    @abstractmethod
    def quotas(self, bandwidth_hz: FloatArray) -> FloatArray: ...
    @abstractmethod
    def bandwidth_in_slots(self, quotas: FloatArray, slots: IntArray) -> FloatArray: ...
    @abstractmethod
    def edges_in_slots(self, quotas: FloatArray, slots: IntArray) -> tuple[FloatArray, FloatArray]: ...


@final
class Ideal(_Band):
    """Fractional frequency division: every device holds exactly its share, all the time.

    The idealised FDMA of Liu et al. (IEEE TSP 2024): rate R(B_k) with B_k any real number.
    """

    @property
    def block_hz(self) -> float:
        """There are no blocks: NaN."""
        return math.nan

    @property
    def usable_bandwidth_hz(self) -> float:
        """The whole band [Hz]."""
        return self.bandwidth_hz

    def planning_rate(self, rate: Rate) -> Rate:
        """The rate itself: a share is held as it was given."""
        return rate

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
class Allocated(_Band):
    """Whole resource blocks per slot, handed out by rotating quotas that average to the shares.

    With share q_k = B_k / W blocks (W: block width), C_k = q_1 + ... + q_k and an offset u_i in [0, 1) that
    changes from slot to slot, device k holds floor(C_k + u_i) - floor(C_{k-1} + u_i) blocks in slot i
    (systematic sampling): either floor(q_k) or ceil(q_k), never more in total than there are, and exactly
    q_k on average over one rotation. The offsets are the multiples of 1/P in the order of a golden-ratio
    stride; shares are rounded to multiples of 1/P block, P = ``rotation_slots``.
    """

    subcarrier_spacing_hz: float = quantity(15e3, "Hz", "subcarrier spacing; a block has 12 subcarriers", gt=0)
    rotation_slots: int = quantity(100, "", "slots after which the quotas repeat: shares are multiples of 1/this block", ge=1, le=100_000)

    @property
    def block_hz(self) -> float:
        """Width W of a resource block [Hz]."""
        return SUBCARRIERS_PER_BLOCK * self.subcarrier_spacing_hz

    @property
    def blocks(self) -> int:
        """Number of resource blocks in the band."""
        return int(self.bandwidth_hz / self.block_hz * (1 + 1e-12))

    @property
    def usable_bandwidth_hz(self) -> float:
        """Whole blocks only [Hz]."""
        return self.blocks * self.block_hz

    def planning_rate(self, rate: Rate) -> Rate:
        """Linear interpolation between whole numbers of blocks: the mean over a rotation."""
        return Blocks(rate, self.block_hz)

    def quotas(self, bandwidth_hz: FloatArray) -> FloatArray:
        """Shares (n,) in units of 1/P block, whole numbers; a share > 0 becomes at least 1.

        Raises SimulationError if more devices hold a share than a rotation has blocks.
        """
        exact = np.asarray(bandwidth_hz, np.float64) / self.block_hz * self.rotation_slots
        units = np.diff(np.rint(np.cumsum(exact)), prepend=0.0)
        units = np.where(exact > 0, np.maximum(units, 1.0), 0.0)
        total = self.blocks * self.rotation_slots
        if np.count_nonzero(exact > 0) > total:
            raise SimulationError(
                f"{np.count_nonzero(exact > 0)} devices hold a share of the uplink, but a rotation has only {total} blocks "
                f"({self.blocks} blocks x {self.rotation_slots} slots): raise uplink.rotation_slots or uplink.bandwidth_hz"
            )
        while (excess := units.sum() - total) > 0:  # rounding up the tiny shares is paid by the largest
            largest = int(np.argmax(units))
            units[largest] -= min(excess, max(1.0, units[largest] // 2))
        return units

    def bandwidth_in_slots(self, quotas: FloatArray, slots: IntArray) -> FloatArray:
        """Bandwidth (T, n) [Hz], whole blocks."""
        starts, ends = self._blocks_in_slots(quotas, slots)
        return np.asarray((ends - starts) * self.block_hz)

    def edges_in_slots(self, quotas: FloatArray, slots: IntArray) -> tuple[FloatArray, FloatArray]:
        """Lower and upper edges (T, n) [Hz] of the neighbouring blocks that each device holds."""
        starts, ends = self._blocks_in_slots(quotas, slots)
        return np.asarray(starts * self.block_hz), np.asarray(ends * self.block_hz)

    def _blocks_in_slots(self, quotas: FloatArray, slots: IntArray) -> tuple[IntArray, IntArray]:
        """First block and the one after the last (T, n)."""
        period = self.rotation_slots
        upper = np.cumsum(quotas.astype(np.int64))
        offset = (np.asarray(slots, np.int64) % period * _stride(period) % period)[:, None]
        ends = (upper[None, :] + offset) // period
        starts = (upper[None, :] - quotas.astype(np.int64)[None, :] + offset) // period
        return starts, ends


def _stride(period: int) -> int:
    """The step nearest to the golden section of the period that visits every offset once."""
    golden = max(1, round(period * (math.sqrt(5) - 1) / 2))
    return next(step for step in range(golden, 0, -1) if math.gcd(step, period) == 1)
