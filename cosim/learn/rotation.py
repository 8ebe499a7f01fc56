"""Whose turn it is: how the entries that a sub-model keeps move on from device to device and from round to round."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from cosim.learn.layers import Mask


class Turn(NamedTuple):
    """Device k in round s."""

    device: int
    round: int


FIRST: Final = Turn(0, 0)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """Of n entries in order of importance K are kept: the K - E first ones, and E = ceil(``share`` K) of the other R = n - K + E in turn.

    Those E are a window on the R, round and round. It begins at ``step`` s in round s. Where devices are ``apart``, it also begins E
    further for each next device and round, so that ceil(R/E) of them in a row keep everything. For the weights between two layers that
    takes all pairs of windows: on ``axis`` 1 (every other layer) a window stays until those on axis 0 have all been there.
    """

    share: float = 0.0
    step: int = 0
    apart: bool = True

    def kept(self, importance: NDArray[np.floating], count: int, turn: Turn, axis: int = 0) -> Mask:
        """Mask (n,) that keeps ``count`` entries. Of equally important ones the first go."""
        rotating = math.ceil(self.share * count)
        if rotating == 0:
            return _most_important(importance, count)
        order = np.argsort(importance, kind="stable")[::-1]
        always, others = order[: count - rotating], order[count - rotating :]
        begin = self.step * turn.round + (rotating * _window(len(others), rotating, turn, axis) if self.apart else 0)
        mask = np.zeros(len(importance), np.bool_)
        mask[always] = True
        mask[others[(begin + np.arange(rotating)) % len(others)]] = True
        return mask


NONE: Final = Rotation()


def _window(entries: int, rotating: int, turn: Turn, axis: int) -> int:
    """Number of the window of ``rotating`` of the ``entries``."""
    windows, number = -(-entries // rotating), turn.device + turn.round
    return (number if axis == 0 else number // windows) % windows


def _most_important(importance: NDArray[np.floating], count: int) -> Mask:
    """All but the n - count least important: all below a bar go, and the first of those equal to it."""
    mask, gone = np.ones(len(importance), np.bool_), len(importance) - count
    if gone:
        bar = np.partition(importance, gone - 1)[gone - 1]
        below = importance < bar
        mask[below] = False
        mask[np.flatnonzero(importance == bar)[: gone - np.count_nonzero(below)]] = False
    return mask
