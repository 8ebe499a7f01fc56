"""Rician fading: a direct path among scattered ones, where the link is in line of sight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from cosim.component import Component, quantity
from cosim.errors import ScenarioError
from cosim.net.waves import Sinusoids, one_wave, scattered
from cosim.units import SPEED_OF_LIGHT_M_S, from_db

if TYPE_CHECKING:
    from cosim.interfaces import Band, FloatArray, IntArray, PathLoss
    from cosim.rate import Rate
    from cosim.rng import Streams


@final
class Rician(Component):
    """Rician fading in line of sight, Rayleigh without: a direct wave among scattered ones.

        h = sqrt(q) exp(2 pi i (s cos(alpha_0) / lambda + phi_0)) + sqrt(1 - q) g,   q = w K / (K + 1)

    g is the fading of ``jakes``; s the distance travelled [m]; w in [0, 1] the share of line of sight; K the ratio of
    direct to scattered power. K in dB is normal over links with the mean and standard deviation of 3GPP TR 38.901 V17
    table 7.5-6 (UMa 9 and 3.5, UMi 9 and 5, RMa 7 and 4) unless it is given; a link keeps its K and its direct wave's angle alpha_0.
    """

    k_db: float | None = quantity(
        None, "dB", "K factor of every link in line of sight; none: drawn per link from the path-loss model's table"
    )
    sinusoids: int = quantity(16, "", "sinusoids per link, two scattered plane waves each", ge=8, le=1024)
    residual_doppler_hz: float = quantity(1.5, "Hz", "greatest Doppler shift caused by moving surroundings", ge=0)
    selective: ClassVar[bool] = False
    follows_sight: ClassVar[bool] = True

    def start(self, pathloss: PathLoss, band: Band, site: int, devices: int, streams: Streams) -> RicianProcess:  # noqa: ARG002 - the protocol's
        """The process of the links of ``site``; stream ("fading", site), device k its k-th row of draws.

        Raises:
            ScenarioError: K is to be that of the path-loss model, which has none.
        """
        draws = streams.generator("fading", site).random((devices, 5 * self.sinusoids + 3))
        wavelength_m = SPEED_OF_LIGHT_M_S / pathloss.carrier_hz
        angle, phase, chance = draws[:, -3:].T
        return RicianProcess(
            scattered(draws[:, :-3].reshape(devices, 1, 5, self.sinusoids), wavelength_m, self.residual_doppler_hz),
            one_wave(np.cos(2.0 * np.pi * angle) / wavelength_m, phase),
            self._direct_share(pathloss, chance),
        )

    def ergodic(self, rate: Rate) -> Rate:
        """The mean of ``rate`` over Rayleigh fading, |h|^2 ~ Exp(1): exact without line of sight, a lower bound with it.

        One plan serves links in both states, and a state may change in mid-round. Scaled to the same mean, Rician
        power is less spread than exponential power (in the convex order), so no rate concave in the SNR is overestimated.
        """
        from cosim.rate import ergodic_rayleigh

        return ergodic_rayleigh(rate)

    def average_variance(self, window_s: float, doppler_hz: FloatArray) -> FloatArray:
        """Variance (n,) of the mean of |h|^2 over a window, ``cosim.net.averaging.clarke_average_variance``: an upper bound
        in line of sight, whose power is less spread.
        """
        from cosim.net.averaging import clarke_average_variance

        return clarke_average_variance(window_s, doppler_hz, self.residual_doppler_hz)

    def _direct_share(self, pathloss: PathLoss, chance: FloatArray) -> FloatArray:
        """K / (K + 1) of each link, from uniforms."""
        from scipy.special import ndtri

        if self.k_db is not None:
            k = np.full(chance.shape, from_db(self.k_db))
        elif pathloss.rician_k_db is None:
            raise ScenarioError(f"channel.fading.k_db: give a value in dB; {type(pathloss).__name__} has no K factor of its own")
        else:
            mean_db, deviation_db = pathloss.rician_k_db
            k = from_db(mean_db + deviation_db * ndtri(np.maximum(chance, 1e-300)))
        return np.asarray(k / (k + 1.0))


@final
@dataclass(frozen=True, slots=True)
class RicianProcess:
    """The process of ``Rician``: ``waves`` scattered and ``direct``; ``direct_share`` (devices,): K / (K + 1)."""

    waves: Sinusoids
    direct: Sinusoids
    direct_share: FloatArray

    def power(self, times_s: FloatArray, travelled_m: FloatArray, device_ids: IntArray, sight: FloatArray | None = None) -> FloatArray:
        """|h|^2 (T, n) at times (T,) of devices (n,), travelled and share of line of sight (T, n); none: all in sight."""
        share = np.broadcast_to(self.direct_share[device_ids], travelled_m.shape) * (1.0 if sight is None else sight)
        here = times_s, travelled_m, device_ids
        direct, loose = np.sqrt(share), np.sqrt(1.0 - share)
        parts = zip(self.waves.sum(*here), self.direct.sum(*here), strict=True)
        real, imaginary = (loose * diffuse[0] + direct * clear[0] for diffuse, clear in parts)
        return np.asarray(real**2 + imaginary**2)
