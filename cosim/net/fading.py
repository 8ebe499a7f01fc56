"""Small-scale fading: the power |h|^2 (mean 1) of a narrow-band link as a function of (device, t)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

import numpy as np

from cosim.component import Component, quantity

if TYPE_CHECKING:
    from cosim.interfaces import FloatArray, IntArray
    from cosim.rate import Rate
    from cosim.rng import Streams

_CHUNK: Final = 8192
"""Links x times evaluated at once: the buffers of the sum over plane waves stay in a core's cache."""


@final
class NoFading(Component):
    """No small-scale fading: |h|^2 = 1."""

    def start(self, wavelength_m: float, site: int, devices: int, streams: Streams) -> Unfaded:  # noqa: ARG002 - the protocol's arguments
        """The process that is 1 at any time."""
        return Unfaded()

    def ergodic(self, rate: Rate) -> Rate:
        """The mean of ``rate`` over this fading: itself."""
        return rate


@final
class BlockRayleigh(Component):
    """Block Rayleigh fading: |h|^2 ~ Exp(1), constant for ``block_s``, independent between blocks and devices.

    An instant within 1e-9 of a block before a boundary belongs to the block that begins there, so that
    slot times computed as i * slot_s fall where they are meant to.
    """

    block_s: float = quantity(0.01, "s", "length of a block", gt=0)

    def start(self, wavelength_m: float, site: int, devices: int, streams: Streams) -> BlockProcess:  # noqa: ARG002
        """The process of the links of ``site``; stream ("fading", site, block), device k its k-th draw."""
        return BlockProcess(self.block_s, site, devices, streams)

    def ergodic(self, rate: Rate) -> Rate:
        """The mean of ``rate`` over |h|^2 ~ Exp(1)."""
        from cosim.rate import ergodic_rayleigh

        return ergodic_rayleigh(rate)


@final
class Jakes(Component):
    """Rayleigh fading with the Doppler spectrum of Clarke and Jakes: a sum of M plane waves.

        h = M^-1/2 sum_m exp(2 pi i (s cos(alpha_m) / lambda + f_r t cos(beta_m) + phi_m))

    s: distance travelled [m]; lambda: wavelength [m]; f_r: residual Doppler [Hz], from what moves around
    the device, so that a static device's channel is not frozen. The autocorrelation of h over a time tau
    at speed v is J0(2 pi v tau / lambda) J0(2 pi f_r tau). alpha_m and beta_m are stratified: one in each M-th
    of the circle, paired at random. Sources: Clarke 1968; Jakes, "Microwave Mobile Communications", 1974;
    for sums with random angles and phases Zheng and Xiao, IEEE Trans. Commun. 51(6), 2003.
    """

    sinusoids: int = quantity(32, "", "plane waves per link; E|h|^4 = 2 - 1/sinusoids", ge=8, le=1024)
    residual_doppler_hz: float = quantity(1.5, "Hz", "greatest Doppler shift caused by moving surroundings", ge=0)

    def start(self, wavelength_m: float, site: int, devices: int, streams: Streams) -> JakesProcess:
        """The process of the links of ``site``; stream ("fading", site), device k its k-th row of draws."""
        draws = streams.generator("fading", site).random((devices, 4, self.sinusoids))
        jitter_alpha, order, jitter_beta, phase = np.moveaxis(draws, 1, 0)
        strata = np.arange(self.sinusoids)
        alpha = 2.0 * np.pi * (strata + jitter_alpha) / self.sinusoids
        beta = 2.0 * np.pi * (np.argsort(order, axis=1) + jitter_beta) / self.sinusoids
        return JakesProcess(
            per_m=np.ascontiguousarray(np.cos(alpha).T) / wavelength_m,
            per_s=np.ascontiguousarray(np.cos(beta).T) * self.residual_doppler_hz,
            phase=np.ascontiguousarray(phase.T),
        )

    def ergodic(self, rate: Rate) -> Rate:
        """The mean of ``rate`` over |h|^2 ~ Exp(1)."""
        from cosim.rate import ergodic_rayleigh

        return ergodic_rayleigh(rate)


@final
@dataclass(frozen=True, slots=True)
class Unfaded:
    """The process of ``NoFading``."""

    def power(self, times_s: FloatArray, travelled_m: FloatArray, device_ids: IntArray) -> FloatArray:  # noqa: ARG002
        """|h|^2 = 1 (T, n)."""
        return np.ones((times_s.size, device_ids.size))


@final
@dataclass(frozen=True, slots=True)
class BlockProcess:
    """The process of ``BlockRayleigh``."""

    block_s: float
    site: int
    devices: int
    streams: Streams

    def power(self, times_s: FloatArray, travelled_m: FloatArray, device_ids: IntArray) -> FloatArray:  # noqa: ARG002
        """|h|^2 (T, n) at times (T,) of devices (n,), by the inverse distribution function -ln(1 - u)."""
        blocks, row = np.unique(np.floor(times_s / self.block_s + 1e-9).astype(np.int64), return_inverse=True)
        uniforms = np.empty((blocks.size, device_ids.size))
        for index, block in enumerate(blocks):  # a block's draws have a stream of their own
            uniforms[index] = self.streams.uniform("fading", self.devices, self.site, block)[device_ids]
        return np.asarray(-np.log1p(-uniforms)[row])


@final
@dataclass(frozen=True, slots=True)
class JakesProcess:
    """The process of ``Jakes``: plane waves (M, devices), with phases in cycles."""

    per_m: FloatArray
    per_s: FloatArray
    phase: FloatArray

    def power(self, times_s: FloatArray, travelled_m: FloatArray, device_ids: IntArray) -> FloatArray:
        """|h|^2 (T, n) at times (T,) of devices (n,) that have travelled ``travelled_m`` (T, n) [m]."""
        waves = self.per_m[:, device_ids], self.per_s[:, device_ids], self.phase[:, device_ids]
        power = np.empty(travelled_m.shape)
        rows = max(1, _CHUNK // max(1, device_ids.size))
        for begin in range(0, times_s.size, rows):
            part = slice(begin, begin + rows)
            power[part] = _interference(times_s[part, None], travelled_m[part], *waves)
        return power


def _interference(time_s: FloatArray, travelled_m: FloatArray, per_m: FloatArray, per_s: FloatArray, phase: FloatArray) -> FloatArray:
    """|sum of the waves|^2 / M; time (T, 1), travelled (T, n), waves (M, n).

    Phases are reduced in float64 and cosines taken in float32 (an error of about 1e-6). The waves are added
    one after the other: np.sum would choose an order by the arrays' shape, and a device's bits would
    depend on which others are asked for.
    """
    shape = travelled_m.shape
    cycles, other = np.empty(shape), np.empty(shape)
    angle, wave = np.empty(shape, np.float32), np.empty(shape, np.float32)
    real, imaginary = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for m in range(len(phase)):
        np.multiply(travelled_m, per_m[m], out=cycles)
        np.multiply(time_s, per_s[m], out=other)
        cycles += other
        cycles += phase[m]
        np.rint(cycles, out=other)
        cycles -= other
        np.copyto(angle, cycles, casting="same_kind")
        angle *= np.float32(2.0 * np.pi)
        real += np.cos(angle, out=wave)
        imaginary += np.sin(angle, out=wave)
    return (real.astype(np.float64) ** 2 + imaginary.astype(np.float64) ** 2) / len(phase)
