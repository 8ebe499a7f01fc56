"""Random fields of position: sums of plane waves, so that a value is a pure function of where one stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

import numpy as np

from cosim.net.waves import added

if TYPE_CHECKING:
    from collections.abc import Callable

    from cosim.interfaces import FloatArray

_WAVES: Final = 128
"""Plane waves per field, a power of two: excess kurtosis -1.5/128."""
_POINTS: Final = 128
"""Points evaluated at once: points x waves in float64 is 128 KiB, which stays in a core's cache."""


@final
@dataclass(frozen=True, slots=True)
class RandomField:
    """Zero-mean, unit-variance, nearly normal: g(x, y) = sqrt(2/M) sum_m cos(2 pi (kx_m x + ky_m y + phi_m)).

    ``kx_per_m``, ``ky_per_m``: spatial frequencies [cycles/m]; ``phase``: [cycles]; arrays (M,), M a power of two.
    """

    kx_per_m: FloatArray
    ky_per_m: FloatArray
    phase: FloatArray

    def at(self, x_m: FloatArray, y_m: FloatArray) -> FloatArray:
        """Values at points of any (one) shape. A point's value does not depend on which others are asked for."""
        x, y = np.ravel(x_m), np.ravel(y_m)
        value = np.empty(x.size)
        for begin in range(0, x.size, _POINTS):
            part = slice(begin, begin + _POINTS)
            value[part] = self._sum(x[part], y[part])
        return value.reshape(np.shape(x_m))

    def _sum(self, x_m: FloatArray, y_m: FloatArray) -> FloatArray:
        cycles, other = self.kx_per_m[:, None] * x_m, self.ky_per_m[:, None] * y_m
        cycles += other
        cycles += self.phase[:, None]
        np.rint(cycles, out=other)
        cycles -= other  # in float64; what is left in [-1/2, 1/2] goes well with float32
        waves = cycles.astype(np.float32)
        waves *= np.float32(2.0 * np.pi)
        return np.asarray(added(np.cos(waves, out=waves)) * np.sqrt(2.0 / self.phase.size))


def exponential_field(correlation_m: float, generator: np.random.Generator) -> RandomField:
    """Field with autocorrelation exp(-d/d_corr) (Gudmundson 1991, in the plane).

    Its spectrum in the plane is that of the Hankel transform: a wave's angular wavenumber k [rad/m] has
    distribution function 1 - 1/sqrt(1 + (k d_corr)^2), hence k = sqrt((1-u)^-2 - 1) / d_corr.
    """
    return _field(lambda u: np.sqrt((1.0 - u) ** -2.0 - 1.0) / correlation_m, generator)


def gaussian_field(correlation_m: float, generator: np.random.Generator) -> RandomField:
    """Field with autocorrelation exp(-(d/d_corr)^2), which is smooth.

    Its angular wavenumber k [rad/m] has distribution function 1 - exp(-(k d_corr)^2 / 4), hence
    k = 2 sqrt(-ln(1-u)) / d_corr.
    """
    return _field(lambda u: 2.0 * np.sqrt(-np.log1p(-u)) / correlation_m, generator)


def _field(wavenumber: Callable[[FloatArray], FloatArray], generator: np.random.Generator) -> RandomField:
    """Waves with stratified wavenumbers and, in a random pairing, stratified directions; random phases."""
    jitter_k, order, jitter_angle, phase = generator.random((4, _WAVES))
    strata = np.arange(_WAVES)
    k_per_m = wavenumber((strata + jitter_k) / _WAVES) / (2.0 * np.pi)
    angle = 2.0 * np.pi * (np.argsort(order) + jitter_angle) / _WAVES
    return RandomField(k_per_m * np.cos(angle), k_per_m * np.sin(angle), phase)
