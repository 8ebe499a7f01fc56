"""Masks as they are held between events: a bit for each parameter, where numpy's truth values take a byte."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, final

import numpy as np
from numpy.typing import NDArray

from cosim.learn.layers import Mask


@final
@dataclass(frozen=True, eq=False)
class PackedMask:
    """A mask (length,) as ``bits`` (ceil(length / 8),), most significant first. Told apart by identity."""

    bits: NDArray[np.uint8]
    length: int

    @classmethod
    def of(cls, mask: Mask) -> Self:
        """Pack it."""
        return cls(np.packbits(mask), len(mask))

    def mask(self) -> Mask:
        """The mask, as a new array."""
        return np.unpackbits(self.bits, count=self.length).view(np.bool_)


def to_rows(masks: Sequence[PackedMask]) -> NDArray[np.uint8]:
    """The bits of masks of one length, one row each; (0, 0) without masks."""
    return np.array([mask.bits for mask in masks], np.uint8) if masks else np.empty((0, 0), np.uint8)


def from_rows(rows: NDArray[np.generic], length: int) -> list[PackedMask]:
    """The masks of ``to_rows``."""
    return [PackedMask(row, length) for row in rows.astype(np.uint8)]
