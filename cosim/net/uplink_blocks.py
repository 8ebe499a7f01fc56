"""Resource blocks: how many a band has, and how whole blocks are shared out in a slot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from cosim.interfaces import BoolArray, FloatArray, IntArray

SUBCARRIERS_PER_BLOCK: Final = 12
"""Subcarriers of a resource block (TS 38.211, 4.4.4.1)."""

_CHANNELS_MHZ: Final = (5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 60, 70, 80, 90, 100)
_BLOCKS: Final = {
    15: (25, 52, 79, 106, 133, 160, 188, 216, 242, 270),
    30: (11, 24, 38, 51, 65, 78, 92, 106, 119, 133, 162, 189, 217, 245, 273),
    60: (0, 11, 18, 24, 31, 38, 44, 51, 58, 65, 79, 93, 107, 121, 135),
}
"""Transmission bandwidth configuration N_RB by subcarrier spacing [kHz] (TS 38.101-1 V17, table 5.3.2-1); 0: not defined."""


def nr_blocks(bandwidth_hz: float, subcarrier_spacing_hz: float) -> int:
    """Resource blocks of an NR channel in FR1 (TS 38.101-1 V17, table 5.3.2-1); 0 where the table has no such channel."""
    row = _BLOCKS.get(round(subcarrier_spacing_hz / 1e3), ()) if subcarrier_spacing_hz % 1e3 == 0 else ()
    return next((blocks for channel, blocks in zip(_CHANNELS_MHZ, row, strict=False) if channel * 1e6 == bandwidth_hz), 0)


def blocks_in(bandwidth_hz: float, subcarrier_spacing_hz: float) -> int:
    """Those of the table where it has the channel: a tenth of 10 MHz is guard band. Elsewhere all that fit, without guard bands."""
    block_hz = SUBCARRIERS_PER_BLOCK * subcarrier_spacing_hz
    return nr_blocks(bandwidth_hz, subcarrier_spacing_hz) or int(bandwidth_hz / block_hz * (1 + 1e-12))


def in_order(order: IntArray, most: IntArray, blocks: int) -> IntArray:
    """Blocks (m,) when devices are served in an order, each with up to ``most`` (m,), until all are given away; others get none."""
    wish = most[order]
    given = np.zeros_like(most)
    given[order] = np.minimum(wish, np.maximum(blocks - (np.cumsum(wish) - wish), 0))
    return given


def in_proportion(weight: FloatArray, room: IntArray, blocks: int, offset: float) -> IntArray:
    """Blocks (m,) in proportion to weights, at most ``room`` (m,) each; all ``blocks`` while there is room.

    Systematic sampling: rounding up or down is decided by an offset in [0, 1), so that a share of 0.3 gets one block in 0.3 of
    the slots if offsets are spread evenly. What somebody has no room for goes to the others, in proportion again.
    """
    given = np.zeros_like(room)
    blocks = min(blocks, int(room.sum()))
    while blocks:
        open_ = np.where(given < room, weight, 0.0)
        if not open_.any():
            open_ = np.where(given < room, 1.0, 0.0)
        ends = np.cumsum(open_ / open_.max())
        ends = np.floor(ends * (blocks / ends[-1]) + offset + 1e-9).astype(np.int64)  # the last one is blocks, whatever the offset
        ends[1:] -= ends[:-1].copy()
        more = np.minimum(ends, room - given)
        given += more
        blocks -= int(more.sum())
    return given


def by_block(metric: FloatArray, most: IntArray, free: BoolArray) -> IntArray:
    """The device that gets each block (F,): the one of the largest metric (m, F), -1 where the block is not free or nobody has room.

    Who wins more than ``most`` (m,) blocks keeps the best of them; the others go to the best of those who have room left. A pass over
    all blocks fills up at least one device, or is the last.
    """
    owner = np.full(metric.shape[1], -1)
    room, metric = most.copy(), metric.copy()
    todo = np.flatnonzero(free)
    while todo.size and (room > 0).any():
        metric[room <= 0] = -np.inf
        best = metric[:, todo].argmax(axis=0)
        order = np.lexsort((-metric[best, todo], best))
        winner = best[order]
        rank = np.arange(winner.size) - np.searchsorted(winner, winner)
        kept = rank < room[winner]
        owner[todo[order[kept]]] = winner[kept]
        room -= np.bincount(winner[kept], minlength=room.size)
        todo = np.sort(todo[order[~kept]])
    return owner
