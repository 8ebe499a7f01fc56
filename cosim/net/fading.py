"""Small-scale fading of narrow-band links: the power |h|^2 (mean 1) as a function of (device, t).

What has memory in frequency, or a direct path, lies in ``tdl`` and ``rician``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from cosim.component import Component, quantity
from cosim.net.waves import Sinusoids, scattered
from cosim.units import SPEED_OF_LIGHT_M_S

if TYPE_CHECKING:
    from cosim.interfaces import Band, FloatArray, IntArray, PathLoss
    from cosim.rate import Rate
    from cosim.rng import Streams


@final
class NoFading(Component):
    """No small-scale fading: |h|^2 = 1."""

    selective: ClassVar[bool] = False
    follows_sight: ClassVar[bool] = False

    def start(self, pathloss: PathLoss, band: Band, site: int, devices: int, streams: Streams) -> Unfaded:  # noqa: ARG002 - the protocol's
        """The process that is 1 at any time."""
        return Unfaded()

    def ergodic(self, rate: Rate) -> Rate:
        """The mean of ``rate`` over this fading: itself."""
        return rate

    def average_variance(self, window_s: float, doppler_hz: FloatArray) -> FloatArray:  # noqa: ARG002
        """0 (n,)."""
        return np.zeros_like(doppler_hz)


@final
class BlockRayleigh(Component):
    """Block Rayleigh fading: |h|^2 ~ Exp(1), constant for ``block_s``, independent between blocks and devices.

    An instant within 1e-9 of a block before a boundary belongs to the block that begins there, so that
    slot times computed as i * slot_s fall where they are meant to.
    """

    block_s: float = quantity(0.01, "s", "length of a block", gt=0)
    selective: ClassVar[bool] = False
    follows_sight: ClassVar[bool] = False

    def start(self, pathloss: PathLoss, band: Band, site: int, devices: int, streams: Streams) -> BlockProcess:  # noqa: ARG002
        """The process of the links of ``site``; stream ("fading", site, block), device k its k-th draw."""
        return BlockProcess(self.block_s, site, devices, streams)

    def ergodic(self, rate: Rate) -> Rate:
        """The mean of ``rate`` over |h|^2 ~ Exp(1)."""
        from cosim.rate import ergodic_rayleigh

        return ergodic_rayleigh(rate)

    def average_variance(self, window_s: float, doppler_hz: FloatArray) -> FloatArray:
        """Variance (n,) of the mean of |h|^2 over a window, ``cosim.net.averaging.block_average_variance``; motion plays no part."""
        from cosim.net.averaging import block_average_variance

        return np.full_like(doppler_hz, block_average_variance(window_s, self.block_s))


@final
class Jakes(Component):
    """Rayleigh fading with the Doppler spectrum of Clarke and Jakes: a sum of M sinusoids, each two plane waves from opposite sides.

        h = sqrt(2/M) sum_m e^(i theta_m) cos(2 pi (s cos(alpha_m) / lambda + f_r t cos(beta_m) + phi_m))

    s: distance travelled [m]; lambda: wavelength [m]; f_r: residual Doppler [Hz], from what moves around
    the device, so that a static device's channel is not frozen. The autocorrelation of h over a time tau
    at speed v is J0(2 pi v tau / lambda) J0(2 pi f_r tau). alpha_m and beta_m are stratified: one in each M-th
    of the half circle and of the circle, paired at random; theta_m and phi_m are uniform. Sources: Clarke 1968; Jakes,
    "Microwave Mobile Communications", 1974; Zheng and Xiao, IEEE Trans. Commun. 51(6), 2003.
    """

    sinusoids: int = quantity(16, "", "sinusoids per link, two plane waves each; E|h|^4 = 2 - 1/(2 sinusoids)", ge=8, le=1024)
    residual_doppler_hz: float = quantity(1.5, "Hz", "greatest Doppler shift caused by moving surroundings", ge=0)
    selective: ClassVar[bool] = False
    follows_sight: ClassVar[bool] = False

    def start(self, pathloss: PathLoss, band: Band, site: int, devices: int, streams: Streams) -> JakesProcess:  # noqa: ARG002
        """The process of the links of ``site``; stream ("fading", site), device k its k-th row of draws."""
        draws = streams.generator("fading", site).random((devices, 1, 5, self.sinusoids))
        return JakesProcess(scattered(draws, SPEED_OF_LIGHT_M_S / pathloss.carrier_hz, self.residual_doppler_hz))

    def ergodic(self, rate: Rate) -> Rate:
        """The mean of ``rate`` over |h|^2 ~ Exp(1)."""
        from cosim.rate import ergodic_rayleigh

        return ergodic_rayleigh(rate)

    def average_variance(self, window_s: float, doppler_hz: FloatArray) -> FloatArray:
        """Variance (n,) of the mean of |h|^2 over a window, ``cosim.net.averaging.clarke_average_variance``."""
        from cosim.net.averaging import clarke_average_variance

        return clarke_average_variance(window_s, doppler_hz, self.residual_doppler_hz)


@final
@dataclass(frozen=True, slots=True)
class Unfaded:
    """The process of ``NoFading``."""

    def power(
        self,
        times_s: FloatArray,
        travelled_m: FloatArray,  # noqa: ARG002 - the protocol's
        device_ids: IntArray,
        sight: FloatArray | None = None,  # noqa: ARG002
    ) -> FloatArray:
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

    def power(
        self,
        times_s: FloatArray,
        travelled_m: FloatArray,  # noqa: ARG002 - the protocol's
        device_ids: IntArray,
        sight: FloatArray | None = None,  # noqa: ARG002
    ) -> FloatArray:
        """|h|^2 (T, n) at times (T,) of devices (n,), by the inverse distribution function -ln(1 - u)."""
        blocks, row = np.unique(np.floor(times_s / self.block_s + 1e-9).astype(np.int64), return_inverse=True)
        uniforms = np.empty((blocks.size, device_ids.size))
        for index, block in enumerate(blocks):  # a block's draws have a stream of their own
            uniforms[index] = self.streams.uniform("fading", self.devices, self.site, block)[device_ids]
        return np.asarray(-np.log1p(-uniforms)[row])


@final
@dataclass(frozen=True, slots=True)
class JakesProcess:
    """The process of ``Jakes``."""

    waves: Sinusoids

    def power(
        self,
        times_s: FloatArray,
        travelled_m: FloatArray,
        device_ids: IntArray,
        sight: FloatArray | None = None,  # noqa: ARG002 - the protocol's
    ) -> FloatArray:
        """|h|^2 (T, n) at times (T,) of devices (n,) that have travelled ``travelled_m`` (T, n) [m]."""
        real, imaginary = self.waves.sum(times_s, travelled_m, device_ids)
        return np.asarray(real[0].astype(np.float64) ** 2 + imaginary[0].astype(np.float64) ** 2)
