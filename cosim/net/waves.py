"""Sums of sinusoids: what scattered links fade with, as a function of the distance travelled and of time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cosim.interfaces import FloatArray, IntArray

SingleArray: TypeAlias = NDArray[np.float32]

_ELEMENTS: Final = 16_384
"""Sinusoids x links x times evaluated at once: the buffers stay in a core's cache."""


@final
@dataclass(frozen=True, slots=True)
class Sinusoids:
    """Sinusoids (M, G, devices) of links: cycles per metre travelled, cycles per second, phase in cycles, complex amplitude.

    A link has G sums (taps) of M sinusoids each: h_g = sum_m (real + i imaginary)_mg cos(2 pi (s per_m + t per_s + phase)_mg).
    """

    per_m: FloatArray
    per_s: FloatArray
    phase: FloatArray
    real: SingleArray
    imaginary: SingleArray

    def sum(self, times_s: FloatArray, travelled_m: FloatArray, device_ids: IntArray) -> tuple[SingleArray, SingleArray]:
        """Real and imaginary part (G, T, n) of h_g at times (T,), distances travelled (T, n).

        Phases are reduced in float64 and cosines taken in float32 (an error of about 1e-6).
        """
        count, groups, _ = self.phase.shape
        real, imaginary = (np.empty((groups, *travelled_m.shape), np.float32) for _ in range(2))
        links = max(1, _ELEMENTS // (count * groups))
        wide = min(max(1, device_ids.size), links)
        for columns in pieces(device_ids.size, wide):
            part = self._of(device_ids[columns])
            for rows in pieces(times_s.size, links // wide):
                real[:, rows, columns], imaginary[:, rows, columns] = part.at(times_s[rows, None], travelled_m[rows, columns])
        return real, imaginary

    def at(self, time_s: FloatArray, travelled_m: FloatArray) -> tuple[SingleArray, SingleArray]:
        """Both parts (G, T, n) at times (T, 1) for arrays (M, G, 1, n)."""
        cycles, other = self.per_m * travelled_m, self.per_s * time_s
        cycles += other
        cycles += self.phase
        np.rint(cycles, out=other)
        cycles -= other
        waves = cycles.astype(np.float32)
        waves *= np.float32(2.0 * np.pi)
        np.cos(waves, out=waves)
        return added(self.real * waves), added(np.multiply(self.imaginary, waves, out=waves))

    def _of(self, device_ids: IntArray) -> Sinusoids:
        """Those of some devices, arrays (M, G, 1, n), in this order in memory: indexing with ids would put the devices first there."""
        first, last = int(device_ids[0]), int(device_ids[-1])
        consecutive = last - first + 1 == device_ids.size and bool((device_ids[1:] > device_ids[:-1]).all())

        def of(array: NDArray[Any]) -> NDArray[Any]:
            return (array[:, :, first : last + 1] if consecutive else np.take(array, device_ids, axis=2))[:, :, None]

        return Sinusoids(of(self.per_m), of(self.per_s), of(self.phase), of(self.real), of(self.imaginary))


def added(terms: SingleArray) -> SingleArray:
    """The sum over axis 0 by a fixed tree of additions, in place.

    np.sum would choose an order by the array's shape, and a device's bits would depend on which others are asked for.
    """
    while (count := len(terms)) > 1:
        half = count // 2
        terms[:half] += terms[half : 2 * half]
        if count % 2:
            terms[0] += terms[-1]
        terms = terms[:half]
    return np.asarray(terms[0])


def scattered(draws: FloatArray, wavelength_m: float, residual_doppler_hz: float, power: FloatArray | float = 1.0) -> Sinusoids:
    """Waves from all around, arriving and being scattered at stratified angles, from uniforms (devices, G, 5, M).

    Sinusoid m has frequencies cos(alpha_m) / lambda [1/m] and f_r cos(beta_m) [Hz], a random phase and the amplitude
    sqrt(2 power / M) e^(i theta_m): two plane waves of equal power from opposite directions, with phases of their own. alpha_m lies
    one in each M-th of the half circle and beta_m of the circle, paired at random. ``power``: mean |h|^2, one number or (G,).
    """
    jitter_alpha, order, jitter_beta, phase, turn = (part.T for part in np.moveaxis(draws, 2, 0))
    count = draws.shape[-1]
    stratum = np.arange(count)[:, None, None]
    alpha = np.pi * (stratum + jitter_alpha) / count
    beta = 2.0 * np.pi * (np.argsort(order, axis=0) + jitter_beta) / count
    amplitude = np.sqrt(2.0 * np.asarray(power) / count).reshape(1, -1, 1)
    return _sinusoids(
        np.cos(alpha) / wavelength_m,
        np.cos(beta) * residual_doppler_hz,
        phase,
        amplitude * np.cos(2.0 * np.pi * turn),
        amplitude * np.sin(2.0 * np.pi * turn),
    )


def one_wave(per_m: FloatArray, phase: FloatArray) -> Sinusoids:
    """A single plane wave e^(2 pi i (s per_m + phase)) per device, arrays (devices,), that stands still when the device does.

    Its real part is a cosine, its imaginary part one that lags behind by a quarter of a cycle.
    """
    clear = np.ones((1, 1, phase.size))
    none = np.zeros_like(clear)
    return _sinusoids(
        np.broadcast_to(per_m, (2, 1, phase.size)),
        np.zeros((2, 1, phase.size)),
        np.stack([phase, phase - 0.25])[:, None],
        np.concatenate([clear, none]),
        np.concatenate([none, clear]),
    )


def _sinusoids(per_m: FloatArray, per_s: FloatArray, phase: FloatArray, real: FloatArray, imaginary: FloatArray) -> Sinusoids:
    """From arrays (M, G, devices) of any order in memory."""
    doubles = [np.array(array, np.float64, order="C") for array in (per_m, per_s, phase)]
    singles = [np.array(array, np.float32, order="C") for array in (real, imaginary)]
    return Sinusoids(doubles[0], doubles[1], doubles[2], singles[0], singles[1])


def pieces(count: int, size: int) -> Iterator[slice]:
    """0 .. count in slices of a size."""
    return (slice(begin, begin + size) for begin in range(0, count, size))
