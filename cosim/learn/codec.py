"""The upload's format: a real encoder and decoder, and the length of what they write, known before training.

Header of 16 bytes, little-endian: "CSIM", version (1 byte), form (1 byte), the codec's number (1 byte), a zero byte, N (4 bytes), kept
entries (4 bytes). Then the mask, if the receiver does not know it, then M unprunable and the kept prunable values as the codec
writes them. Forms: ``KNOWN`` no mask; ``BITMAP`` one bit per prunable entry; ``KEPT`` and ``PRUNED`` the positions of the kept or
pruned entries, ceil(log2 N) bits each, packed. A mask takes the shortest of the last three. Where whole units are pruned it is
``UNITS``: one bit per unit, and N counts all parameters of the shared part.

A dense form (all N values, pruned ones as zeros) would cost 32 bits per pruned entry in float32; the positions of the pruned
entries never cost more, since N < 2^32, and they cost nothing where nothing is pruned: ``PRUNED`` replaces it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, Protocol, final

import numpy as np
from numpy.typing import NDArray

from cosim.interfaces import IntArray
from cosim.learn.layers import Mask, Vector
from cosim.learn.roles import Codec

HEADER: Final = struct.Struct("<4sBBBBII")
MAGIC: Final = b"CSIM"
VERSION: Final = 1
KNOWN, BITMAP, KEPT, PRUNED, UNITS = range(5)
HEADER_BITS: Final = 8 * HEADER.size
_WORDS: Final = ("no mask", "a mask", "a mask", "a mask", "a mask of units")


class UnitCode(Protocol):
    """What both sides know of units that are pruned as a whole."""

    @property
    def count(self) -> int: ...
    def kept(self, mask: Mask) -> Mask:
        """Which units (count,) a mask (N,) keeps."""
        ...

    def mask(self, kept: Mask) -> Mask:
        """The mask (N,) that keeps these units (count,)."""
        ...


def bitmap_bits(prunable: int) -> int:
    """Length of the bitmap form of a mask over N entries, whole bytes [bit]."""
    return 8 * (-(-prunable // 8))


@final
@dataclass(frozen=True, slots=True)
class UploadFormat:
    """What both sides know of an upload beforehand: the shared layers, the codec, and whether the server knows the masks.

    ``sizes``: prunable parameters of each shared layer, N in all. ``unprunable``: M. ``units``: what goes as a whole, if anything does.
    """

    sizes: tuple[int, ...]
    unprunable: int
    codec: Codec
    mask_known: bool
    units: UnitCode | None = None

    @property
    def prunable(self) -> int:
        """N."""
        return sum(self.sizes)

    @property
    def fixed_bits(self) -> int:
        """Least upper bound of what does not depend on how many values are kept: header, M values, groups, bitmap [bit]."""
        return self._values_from_bits + (0 if self.mask_known else self.bitmap_bits)

    @property
    def bitmap_bits(self) -> int:
        """Length of a mask as a bitmap of entries or units [bit]."""
        return bitmap_bits(self.prunable if self.units is None else self.units.count)

    @property
    def _values_from_bits(self) -> int:
        return HEADER_BITS + self.codec.group_bits * (len(self.sizes) + 1) + self.codec.value_bits * self.unprunable

    def bits(self, kept: NDArray[np.integer] | int) -> IntArray:
        """Length of an upload [bit] with ``kept`` (any shape) of the N prunable values; equals 8 len(encode(...))."""
        count = np.asarray(kept, np.int64)
        return np.asarray(self._values_from_bits + self._mask_bits(count, self._form(count)) + self.codec.value_bits * count)

    def _form(self, kept: IntArray) -> IntArray:
        """Form of masks that keep so many entries."""
        if self.mask_known or self.units is not None:
            return np.full_like(kept, KNOWN if self.mask_known else UNITS)
        return np.asarray(BITMAP + _mask_bits(self.prunable, kept).argmin(axis=0))

    def _mask_bits(self, kept: IntArray, form: IntArray) -> IntArray:
        """Length of a mask in this form [bit]."""
        listed = _mask_bits(self.prunable, kept)
        return np.asarray(np.choose(form, [0, *listed, self.bitmap_bits]))

    def encode(self, shared: Vector, mask: Mask, rng: np.random.Generator) -> bytes:
        """The upload of u_k (N + M,) with mask (N,): pruned entries are left out, whatever their value.

        ``rng``: for codecs that leave the rounding to chance. Raises ValueError for values that the codec cannot write.
        """
        prunable, kept = len(mask), int(np.count_nonzero(mask))
        form = KNOWN if self.mask_known else int(self._form(np.asarray(kept)))
        weights = shared[:prunable] if kept == prunable else shared[:prunable][mask]
        values = np.concatenate([shared[prunable:], weights])
        header = HEADER.pack(MAGIC, VERSION, form, self.codec.code, 0, prunable, kept)
        known = _encode_mask(mask if self.units is None else self.units.kept(mask), form)
        return b"".join((header, known, self.codec.write(values, self._counts(mask, kept), rng)))

    def decode(self, data: bytes, mask: Mask | None = None) -> tuple[Vector, Mask]:
        """u_k (N + M,) with zeros where pruned, and its mask (N,); ``mask``: what the receiver knows already.

        Raises ValueError if the data are not a whole upload of this format, or if the mask is neither in them nor given.
        """
        kept, form = self._header(data)
        start = HEADER.size + (0 if form == KNOWN else int(self._mask_bits(np.asarray(kept), np.asarray(form))) // 8)
        length = start + (self._values_from_bits - HEADER_BITS + self.codec.value_bits * kept) // 8
        if len(data) != length:
            raise ValueError(f"upload of {len(data)} bytes is {'cut short' if len(data) < length else 'too long'}: must be {length} bytes")
        if form == UNITS and self.units is not None:
            mask = self.units.mask(_decode_mask(data[HEADER.size : start], self.units.count, kept, BITMAP))
        elif form != KNOWN:
            mask = _decode_mask(data[HEADER.size : start], self.prunable, kept, form)
        if mask is None or len(mask) != self.prunable or int(np.count_nonzero(mask)) != kept:
            raise ValueError(f"upload keeps {kept} of {self.prunable} prunable values, but its mask is missing or another one")
        values = self.codec.read(memoryview(data)[start:], self._counts(mask, kept))
        if kept == self.prunable:
            return np.concatenate([values[self.unprunable :], values[: self.unprunable]]), mask
        shared = np.zeros(self.prunable + self.unprunable, np.float32)
        shared[self.prunable :] = values[: self.unprunable]
        shared[: self.prunable][mask] = values[self.unprunable :]
        return shared, mask

    def deliver(self, shared: Vector, mask: Mask, rng: np.random.Generator) -> Vector:
        """u_k as it arrives: encoded and decoded. Raises ValueError for values that the codec cannot write."""
        return self.decode(self.encode(shared, mask, rng), mask)[0]

    def _counts(self, mask: Mask, kept: int) -> tuple[int, ...]:
        """Number of values in each group: what is never pruned, then what is kept of each layer; ``kept`` in all."""
        if kept == self.prunable:
            return (self.unprunable, *self.sizes)
        layers = np.split(mask, np.cumsum(self.sizes)[:-1])
        return (self.unprunable, *(int(np.count_nonzero(layer)) for layer in layers))

    def _header(self, data: bytes) -> tuple[int, int]:
        """(kept entries, form)."""
        if len(data) < HEADER.size:
            raise ValueError(f"upload of {len(data)} bytes is shorter than its header of {HEADER.size} bytes")
        magic, version, form, code, zero, prunable, kept = HEADER.unpack_from(data)
        if magic != MAGIC or version != VERSION or form > UNITS or zero or kept > prunable:
            raise ValueError(f"not an upload of version {VERSION}: header {data[: HEADER.size].hex()}")
        units = not self.mask_known and self.units is not None
        if code != self.codec.code or prunable != self.prunable or (form == KNOWN) != self.mask_known or (form == UNITS) != units:
            raise ValueError(
                f"upload of another format: codec {code}, {prunable} prunable values, {_WORDS[form]}; must be"
                f" codec {self.codec.code}, {self.prunable} values, {_WORDS[int(self._form(np.asarray(kept)))]}"
            )
        return kept, form


def _mask_bits(prunable: int, kept: IntArray) -> IntArray:
    """Whole-byte lengths of the forms BITMAP, KEPT, PRUNED [bit]; (3, ...)."""
    width = _position_bits(prunable)
    listed = np.stack([kept, prunable - kept]) * width
    return np.concatenate([np.full((1, *kept.shape), bitmap_bits(prunable)), 8 * (-(-listed // 8))])


def _position_bits(prunable: int) -> int:
    return max(prunable - 1, 0).bit_length()


def _encode_mask(mask: Mask, form: int) -> bytes:
    if form == KNOWN:
        return b""
    if form in {BITMAP, UNITS}:
        return np.packbits(mask).tobytes()
    positions = np.flatnonzero(mask if form == KEPT else ~mask)
    return np.packbits((positions[:, None] >> np.arange(_position_bits(len(mask)))) & 1).tobytes()


def _decode_mask(data: bytes, prunable: int, kept: int, form: int) -> Mask:
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    if form == BITMAP:
        return bits[:prunable].astype(np.bool_)
    width, count = _position_bits(prunable), kept if form == KEPT else prunable - kept
    if len(bits) < count * width:
        raise ValueError(f"upload is cut short: a mask of {count} positions needs {count * width} bits")
    positions = bits[: count * width].reshape(count, width).astype(np.int64) @ (1 << np.arange(width, dtype=np.int64))
    if count and positions.max() >= prunable:
        raise ValueError(f"upload's mask names position {positions.max()} of {prunable}")
    mask = np.full(prunable, form == PRUNED)
    mask[positions] = form == KEPT
    return mask
