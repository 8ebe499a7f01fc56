"""What a rate is, and the arrays that all rates work on."""

from __future__ import annotations

from typing import Final, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray: TypeAlias = NDArray[np.float64]
BoolArray: TypeAlias = NDArray[np.bool_]
Side: TypeAlias = Literal["left", "right"]
Triple: TypeAlias = tuple[FloatArray, FloatArray, FloatArray]

LN2: Final = float(np.log(2.0))
CHUNK: Final = 8192
"""Elements that are worked on at a time, so that temporaries stay in the cache."""

# a ufunc takes an array without dimensions in half the time that it takes a Python float
PER_LN2: Final = np.array(1.0 / LN2)
ONE: Final = np.array(1.0)
LEAST_BEND: Final = np.array(1e-6)
HUGE: Final = np.array(1e300)


class Rate(Protocol):
    """R(B) [bit/s] of a bandwidth B [Hz] at s [Hz], the SNR in 1 Hz: increasing and concave in B, R(0) = 0.

    Arguments broadcast against each other; B >= 0, s >= 0.
    """

    def value(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
        """R(B) [bit/s]."""
        ...

    def derivative(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike, *, side: Side = "right") -> FloatArray:
        """One-sided derivative dR/dB [bit/s/Hz]; at B = 0 always the right one, which may be inf."""
        ...

    def inverse(self, rate_bps: ArrayLike, snr_hz: ArrayLike) -> FloatArray:
        """The least B [Hz] with R(B) >= r; inf where no bandwidth is enough."""
        ...

    def supremum(self, snr_hz: ArrayLike) -> FloatArray:
        """Least upper bound of R over all bandwidths [bit/s]."""
        ...


def arrays(*values: ArrayLike) -> tuple[FloatArray, ...]:
    """As float64 arrays of one shape; views where they had to grow."""
    found = tuple([np.asarray(value, np.float64) for value in values])
    first = found[0].shape
    if all(array.shape == first for array in found):
        return found
    return tuple(np.broadcast_arrays(*found))


def ratio(bandwidth_hz: FloatArray, snr_hz: FloatArray, inside: BoolArray) -> FloatArray:
    """Ratio u = B/s kept within [1e-300, 1e300]; 1 outside."""
    with np.errstate(over="ignore"):
        u = np.divide(bandwidth_hz, snr_hz, out=np.ones(snr_hz.shape), where=inside)
    return np.clip(u, 1e-300, 1e300)
