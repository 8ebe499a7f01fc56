"""What coupled uplinks remember from slot to slot, and what they see in one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cosim.net.harq import Harq

if TYPE_CHECKING:
    from cosim.interfaces import BoolArray, FloatArray, IntArray


@dataclass(slots=True)
class Memory:
    """Of a round's transfers: ``average_bps`` (n,), smoothed rates, 0 before the first slot; ``cursor``: the row whose turn is next."""

    average_bps: FloatArray
    cursor: int
    harq: Harq

    @staticmethod
    def fresh(transfers: int) -> Memory:
        """Nothing has been sent."""
        return Memory(np.zeros(transfers), 0, Harq(np.zeros(transfers)))


@dataclass(frozen=True, slots=True)
class Turn:
    """A slot as a scheduler sees it, for the m devices that are on the air.

    ``rows`` (m,): of the transfers, ascending; ``room`` (m,): most blocks that each may have, 0 for those with nothing new to send;
    ``quotas`` (n,): shares of all transfers; ``snr_hz``: reported SNR in 1 Hz (m,), or (m, F) per block; ``efficiency``: the rate per Hz
    that it promises on as many blocks as the device can light up, of the same shape [bit/s/Hz]; ``free`` (N,): the blocks to give away.
    """

    slot: int
    rows: IntArray
    room: IntArray
    quotas: FloatArray
    snr_hz: FloatArray
    efficiency: FloatArray
    free: BoolArray
