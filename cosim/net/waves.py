"""Sums of plane waves: what scattered links fade with, as a function of the distance travelled and of time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cosim.interfaces import FloatArray, IntArray

SingleArray: TypeAlias = NDArray[np.float32]

_ELEMENTS: Final = 16_384
"""Waves x links x times evaluated at once: the buffers stay in a core's cache."""


@final
@dataclass(frozen=True, slots=True)
class Waves:
    """Plane waves (G, M, devices) of links: cycles per metre travelled, cycles per second, phase in cycles.

    A link has G sums (taps) of M waves each.
    """

    per_m: FloatArray
    per_s: FloatArray
    phase: FloatArray

    @property
    def count(self) -> int:
        """Waves per sum, M."""
        return int(self.phase.shape[1])

    def sum(self, times_s: FloatArray, travelled_m: FloatArray, device_ids: IntArray) -> tuple[SingleArray, SingleArray]:
        """Real and imaginary part (G, T, n) of sum_m exp(2 pi i phase_gm) at times (T,), distances travelled (T, n).

        Phases are reduced in float64 and cosines taken in float32 (an error of about 1e-6).
        """
        groups, waves, _ = self.phase.shape
        real, imaginary = (np.empty((groups, *travelled_m.shape), np.float32) for _ in range(2))
        links = max(1, _ELEMENTS // (groups * waves))
        wide = min(max(1, device_ids.size), links)
        for columns in pieces(device_ids.size, wide):
            ids = device_ids[columns]
            part = tuple(array[:, :, None, ids] for array in (self.per_m, self.per_s, self.phase))
            for rows in pieces(times_s.size, links // wide):
                real[:, rows, columns], imaginary[:, rows, columns] = _sums(times_s[rows, None], travelled_m[rows, columns], *part)
        return real, imaginary


def _sums(
    time_s: FloatArray, travelled_m: FloatArray, per_m: FloatArray, per_s: FloatArray, phase: FloatArray
) -> tuple[SingleArray, SingleArray]:
    """Both parts of the sums (G, T, n) of waves (G, M, 1, n) at times (T, 1)."""
    cycles, other = per_m * travelled_m, per_s * time_s
    cycles += other
    cycles += phase
    np.rint(cycles, out=other)
    cycles -= other
    angle = cycles.astype(np.float32)
    angle *= np.float32(2.0 * np.pi)
    return _added(np.cos(angle)), _added(np.sin(angle, out=angle))


def _added(waves: SingleArray) -> SingleArray:
    """The sum over axis 1 by a fixed tree of additions, in place.

    np.sum would choose an order by the arrays' shape, and a device's bits would depend on which others are asked for.
    """
    while (count := waves.shape[1]) > 1:
        half = count // 2
        waves[:, :half] += waves[:, half : 2 * half]
        if count % 2:
            waves[:, 0] += waves[:, -1]
        waves = waves[:, :half]
    return waves[:, 0]


def scattered(draws: FloatArray, wavelength_m: float, residual_doppler_hz: float) -> Waves:
    """Waves from all around, arriving and being scattered at stratified angles, from uniforms (devices, G, 4, M).

    Wave m of a sum has frequencies cos(alpha_m) / lambda [1/m] and f_r cos(beta_m) [Hz] and a random phase. alpha_m
    and beta_m lie one in each M-th of the circle, paired at random.
    """
    jitter_alpha, order, jitter_beta, phase = np.moveaxis(draws, 2, 0)
    count = draws.shape[-1]
    alpha = 2.0 * np.pi * (np.arange(count) + jitter_alpha) / count
    beta = 2.0 * np.pi * (np.argsort(order, axis=-1) + jitter_beta) / count
    return Waves(
        per_m=_last(np.cos(alpha)) / wavelength_m,
        per_s=_last(np.cos(beta)) * residual_doppler_hz,
        phase=_last(phase),
    )


def _last(per_device: FloatArray) -> FloatArray:
    """(devices, G, M) to (G, M, devices)."""
    return np.ascontiguousarray(np.moveaxis(per_device, 0, -1))


def one_wave(per_m: FloatArray, phase: FloatArray) -> Waves:
    """A single wave per device, arrays (devices,), that stands still when the device does."""
    return Waves(per_m[None, None], np.zeros((1, 1, per_m.size)), phase[None, None])


def pieces(count: int, size: int) -> Iterator[slice]:
    """0 .. count in slices of a size."""
    return (slice(begin, begin + size) for begin in range(0, count, size))
