"""The upload's format: a real encoder and decoder, and the length of what they write, known before training.

Header of 16 bytes, little-endian: "CSIM", version (1 byte), form (1 byte), two zero bytes, N (4 bytes), kept entries
(4 bytes). Then the mask, if the receiver does not know it, then M unprunable and the kept prunable values as float32.
Forms: ``KNOWN`` no mask; ``BITMAP`` one bit per prunable entry; ``KEPT`` and ``PRUNED`` the positions of the kept or pruned
entries, ceil(log2 N) bits each, packed. A mask takes the shortest of the last three.

The dense form (all N values, pruned ones as zeros) would cost 32 bits per pruned entry; the positions of the pruned
entries never cost more, since N < 2^32, and they cost nothing where nothing is pruned: ``PRUNED`` replaces it.
"""

from __future__ import annotations

import struct
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cosim.interfaces import IntArray
from cosim.learn.layers import Mask, Vector

HEADER: Final = struct.Struct("<4sBBHII")
MAGIC: Final = b"CSIM"
VERSION: Final = 1
KNOWN, BITMAP, KEPT, PRUNED = range(4)
HEADER_BITS: Final = 8 * HEADER.size
VALUE_BITS: Final = 32


def bitmap_bits(prunable: int) -> int:
    """Length of the bitmap form of a mask over N entries, whole bytes [bit]."""
    return 8 * (-(-prunable // 8))


def encoded_bits(prunable: int, unprunable: int, kept: NDArray[np.integer] | int, *, mask_known: bool) -> IntArray:
    """Length of an upload [bit] with ``kept`` (any shape) of N prunable and M unprunable values; equals 8 len(encode(...))."""
    count = np.asarray(kept, np.int64)
    mask = np.zeros_like(count) if mask_known else _mask_bits(prunable, count).min(axis=0)
    return HEADER_BITS + mask + VALUE_BITS * (unprunable + count)


def encode(shared: Vector, mask: Mask, *, mask_known: bool) -> bytes:
    """The upload of u_k (N + M,) with mask (N,): pruned entries are left out, whatever their value."""
    prunable, kept = len(mask), int(mask.sum())
    form = KNOWN if mask_known else BITMAP + int(_mask_bits(prunable, np.asarray(kept)).argmin())
    values = np.concatenate([shared[prunable:], shared[:prunable][mask]]).astype("<f4", copy=False)
    return HEADER.pack(MAGIC, VERSION, form, 0, prunable, kept) + _encode_mask(mask, form) + values.tobytes()


def decode(data: bytes, mask: Mask | None = None) -> tuple[Vector, Mask]:
    """u_k (N + M,) with zeros where pruned, and its mask (N,); ``mask``: what the receiver knows already.

    Raises ValueError if the data are not a whole upload, or if the mask is neither in them nor given.
    """
    prunable, kept, form = _header(data)
    start = HEADER.size + (0 if form == KNOWN else int(_mask_bits(prunable, np.asarray(kept))[form - BITMAP]) // 8)
    if form != KNOWN:
        mask = _decode_mask(data[HEADER.size : start], prunable, kept, form)
    if mask is None or len(mask) != prunable or int(mask.sum()) != kept:
        raise ValueError(f"upload keeps {kept} of {prunable} prunable values, but its mask is missing or another one")
    if (len(data) - start) % 4 or len(data) - start < 4 * kept:
        raise ValueError(f"upload of {len(data)} bytes is cut short: {kept} kept values need {4 * kept} bytes after byte {start}")
    values = np.frombuffer(data, "<f4", offset=start)
    unprunable = len(values) - kept
    shared = np.zeros(prunable + unprunable, np.float32)
    shared[prunable:] = values[:unprunable]
    shared[:prunable][mask] = values[unprunable:]
    return shared, mask


def _header(data: bytes) -> tuple[int, int, int]:
    if len(data) < HEADER.size:
        raise ValueError(f"upload of {len(data)} bytes is shorter than its header of {HEADER.size} bytes")
    magic, version, form, zero, prunable, kept = HEADER.unpack_from(data)
    if magic != MAGIC or version != VERSION or form > PRUNED or zero or kept > prunable:
        raise ValueError(f"not an upload of version {VERSION}: header {data[: HEADER.size].hex()}")
    return prunable, kept, form


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
    if form == BITMAP:
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
