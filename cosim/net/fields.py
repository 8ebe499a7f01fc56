"""Random fields of position: sums of plane waves, so that a value is a pure function of where one stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

import numpy as np

from cosim.net.waves import SingleArray, added

if TYPE_CHECKING:
    from collections.abc import Callable

    from cosim.interfaces import FloatArray

_WAVES: Final = 128
"""Plane waves per field."""
_POINTS: Final = 128
"""Points evaluated at once: points x waves in float64 is 128 KiB, which stays in a core's cache."""


@final
@dataclass(frozen=True, slots=True)
class RandomField:
    """Zero-mean, unit-variance, nearly normal: g(x, y) = sum_m sqrt(2 p_m) cos(2 pi (kx_m x + ky_m y + phi_m)).

    ``kx_per_m``, ``ky_per_m``: spatial frequencies [cycles/m]; ``phase``: [cycles]; ``amplitude``: sqrt(2 p_m), the powers p_m adding up
    to 1; arrays (M,). The excess kurtosis is -1.5 sum p_m^2.
    """

    kx_per_m: FloatArray
    ky_per_m: FloatArray
    phase: FloatArray
    amplitude: SingleArray

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
        np.cos(waves, out=waves)
        waves *= self.amplitude[:, None]
        return added(waves).astype(np.float64)


def exponential_field(correlation_m: float, generator: np.random.Generator) -> RandomField:
    """Field with autocorrelation exp(-d/d_corr) (Gudmundson 1991, in the plane).

    Its spectrum in the plane is that of the Hankel transform: a wave's angular wavenumber k [rad/m] has
    distribution function 1 - 1/sqrt(1 + (k d_corr)^2), hence k = sqrt((1-u)^-2 - 1) / d_corr. Its tail is heavy: towards
    short waves the strata of u grow narrower, or single waves of a few metres would stand out as ripples.
    """
    edges = 1.0 - np.linspace(1.0, 0.0, _WAVES + 1) ** 2
    return _field(lambda u: np.sqrt((1.0 - u) ** -2.0 - 1.0) / correlation_m, edges, generator)


def gaussian_field(correlation_m: float, generator: np.random.Generator) -> RandomField:
    """Field with autocorrelation exp(-(d/d_corr)^2), which is smooth.

    Its angular wavenumber k [rad/m] has distribution function 1 - exp(-(k d_corr)^2 / 4), hence
    k = 2 sqrt(-ln(1-u)) / d_corr.
    """
    return _field(lambda u: 2.0 * np.sqrt(-np.log1p(-u)) / correlation_m, np.linspace(0.0, 1.0, _WAVES + 1), generator)


def _field(wavenumber: Callable[[FloatArray], FloatArray], edges: FloatArray, generator: np.random.Generator) -> RandomField:
    """Waves with wavenumbers in strata of u and, in a random pairing, stratified directions; random phases; p_m the width of a stratum."""
    jitter_k, order, jitter_angle, phase = generator.random((4, _WAVES))
    power = np.diff(edges)
    k_per_m = wavenumber(edges[:-1] + power * jitter_k) / (2.0 * np.pi)
    angle = 2.0 * np.pi * (np.argsort(order) + jitter_angle) / _WAVES
    return RandomField(k_per_m * np.cos(angle), k_per_m * np.sin(angle), phase, np.sqrt(2.0 * power).astype(np.float32))
