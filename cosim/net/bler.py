"""Block error rates of the 5G LDPC code, and of transport blocks made of several code blocks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from cosim.interfaces import FloatArray, IntArray

CODE_BLOCK_BITS: Final = 8424
"""Largest code block without its checksum: 8448 - 24 bits (TS 38.212, 5.2.2, base graph 1)."""


@dataclass(frozen=True, slots=True)
class BlockErrors:
    """Curves Q((SINR - middle) / width) of a code block, per MCS and size: arrays (M, S), in dB; ``log_bits`` (S,): ln of the size.

    Between the sizes, middle and width are interpolated over ln(size); beyond the last one they stay.
    """

    middle_db: FloatArray
    width_db: FloatArray
    log_bits: FloatArray

    def error(self, mcs: IntArray, bits: FloatArray, sinr_db: FloatArray) -> FloatArray:
        """Error probability of transport blocks of ``bits`` > 0 at an effective SINR [dB]; arrays broadcast.

        A transport block of B bits is cut into C = ceil(B / 8424) code blocks and fails if any of them does: 1 - (1 - e)^C.
        """
        from scipy.special import log_ndtr  # SciPy takes half a second to load: not before it is needed

        pieces, middle, width = self._curve(mcs, bits)
        return np.asarray(-np.expm1(pieces * log_ndtr((sinr_db - middle) / width)))

    def needed_db(self, mcs: IntArray, bits: FloatArray, target: float) -> FloatArray:
        """SINR [dB] at which transport blocks fail with probability ``target``; of more than 128 code blocks, that of 128."""
        pieces, middle, width = self._curve(mcs, bits)
        return np.asarray(middle + width * _quantiles(target)[np.minimum(pieces, 128.0).astype(np.int64)])

    def _curve(self, mcs: IntArray, bits: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Number of code blocks, and middle and width of their curve."""
        pieces = np.ceil(bits / CODE_BLOCK_BITS)
        place = np.interp(np.log(bits / pieces), self.log_bits, np.arange(self.log_bits.size))
        low = np.minimum(place.astype(np.int64), self.log_bits.size - 2)
        part = place - low
        index = mcs * self.log_bits.size + low
        middle, width = self.middle_db.ravel(), self.width_db.ravel()
        least, thin = middle[index], width[index]
        return pieces, least + (middle[index + 1] - least) * part, thin + (width[index + 1] - thin) * part


@cache
def _quantiles(target: float) -> FloatArray:
    """Normal quantiles z (129,) with 1 - Phi(z)^C = target for C = 0 .. 128; the first is not used."""
    from scipy.special import ndtri_exp

    return np.asarray(ndtri_exp(np.log1p(-target) / np.maximum(np.arange(129), 1)))


@cache
def block_errors(efficiency: tuple[float, ...]) -> BlockErrors:
    """The curves of the shipped table for MCS of these efficiencies [bit per symbol].

    ``bler_table1.json`` is fitted to Sionna's table, which begins at MCS 3; the curves of the MCS below are those of MCS 3 at a
    distance that Shannon's bound gives, 10 lg((2^e - 1) / (2^e_3 - 1)).
    """
    table = json.loads(files("cosim.net").joinpath("bler_table1.json").read_text(encoding="utf-8"))
    first = table["mcs"][0]
    bound_db = 10.0 * np.log10(np.exp2(np.array(efficiency[: first + 1])) - 1.0)
    middle, width = np.array(table["middle_db"]), np.array(table["width_db"])
    middle = np.vstack([middle[0] + (bound_db[:first] - bound_db[first])[:, None], middle])
    width = np.vstack([np.broadcast_to(width[0], (first, width.shape[1])), width])
    return BlockErrors(middle, width, np.log(np.array(table["code_block_bits"], np.float64)))
