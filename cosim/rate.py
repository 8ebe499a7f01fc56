"""Rates: how many bits per second a bandwidth carries at a given SNR. Used by the uplink and by the allocators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, final

import numpy as np

from cosim.component import Component

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


class Rate(Protocol):
    """R(B) [bit/s] of a bandwidth B [Hz] at s [Hz], the SNR in 1 Hz: increasing and concave in B, R(0) = 0."""

    def value(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike) -> NDArray[np.float64]: ...
    def derivative(
        self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike, *, side: Literal["left", "right"] = "right"
    ) -> NDArray[np.float64]: ...
    def inverse(self, rate_bps: ArrayLike, snr_hz: ArrayLike) -> NDArray[np.float64]: ...
    def supremum(self, snr_hz: ArrayLike) -> NDArray[np.float64]: ...


@final
class Shannon(Component):
    """R(B) = B log2(1 + s/B)."""

    def value(self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike) -> NDArray[np.float64]:
        b, s = np.broadcast_arrays(np.asarray(bandwidth_hz, np.float64), np.asarray(snr_hz, np.float64))
        return np.where(b > 0, b * np.log1p(s / np.where(b > 0, b, 1.0)) / np.log(2.0), 0.0)

    def derivative(
        self, bandwidth_hz: ArrayLike, snr_hz: ArrayLike, *, side: Literal["left", "right"] = "right"
    ) -> NDArray[np.float64]:
        raise NotImplementedError

    def inverse(self, rate_bps: ArrayLike, snr_hz: ArrayLike) -> NDArray[np.float64]:
        raise NotImplementedError

    def supremum(self, snr_hz: ArrayLike) -> NDArray[np.float64]:
        return np.asarray(snr_hz, np.float64) / np.log(2.0)
