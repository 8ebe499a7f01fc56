"""Tapped delay lines: fading that differs over the band, as a response per sub-band (resource block)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, final

import numpy as np

from cosim.component import Component, quantity
from cosim.net.tdl_profiles import Profile, profile
from cosim.net.waves import SingleArray, Waves, one_wave, pieces, scattered
from cosim.units import SPEED_OF_LIGHT_M_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from cosim.interfaces import Band, FloatArray, IntArray, PathLoss
    from cosim.rate import Rate
    from cosim.rng import Streams

_COLUMNS: Final = 512
"""Links x times whose responses are evaluated at once: with 50 sub-bands in float32 100 KiB."""
_LINKS: Final = 8192
"""Links x times whose taps are kept at once."""
_DIRECT_DOPPLER: Final = 0.7
"""Doppler shift of the direct path over the greatest, TR 38.901 section 7.7.2."""


@final
class TappedDelayLine(Component):
    """Tapped delay line of 3GPP TR 38.901 V17, section 7.7.2 (tables 7.7.2-1 to 7.7.2-5).

        h(t, f) = sum_l sqrt(p_l) a_l(t) exp(-2 pi i f tau_l DS),   sum_l p_l = 1

    p_l, tau_l: the table's powers and normalised delays; DS: delay spread [s]; f: a sub-band's centre, from the middle of the
    band [Hz]. The a_l are independent and fade as ``jakes``; in profiles D and E the first tap also holds the direct path, a
    plane wave with 0.7 of the greatest Doppler shift. The profile is that of every link, whatever its line-of-sight state:
    A to C are made for links without, D and E for links with line of sight.
    """

    profile: Literal["A", "B", "C", "D", "E"] = quantity("C", "", "power delay profile")
    delay_spread_s: float = quantity(
        363e-9, "s", "root mean square delay spread DS; table 7.7.3-2: UMa 93e-9, 363e-9 or 1148e-9 at 2 to 6 GHz", ge=0, le=1e-4
    )
    sinusoids: int = quantity(8, "", "plane waves per tap; a sub-band sees those of all taps", ge=4, le=256)
    residual_doppler_hz: float = quantity(1.5, "Hz", "greatest Doppler shift caused by moving surroundings", ge=0)

    @property
    def selective(self) -> bool:
        """Frequencies fade apart."""
        return True

    @property
    def follows_sight(self) -> bool:
        """The profile is that of every link."""
        return False

    def start(self, pathloss: PathLoss, band: Band, site: int, devices: int, streams: Streams) -> TapProcess:
        """The process of the links of ``site``; stream ("fading", site), device k its k-th row of draws."""
        wavelength_m = SPEED_OF_LIGHT_M_S / pathloss.carrier_hz
        taps = profile(self.profile)
        generator = streams.generator("fading", site)
        draws = generator.random((devices, taps.power.size * 4 * self.sinusoids + 1))
        rows = draws[:, :-1].reshape(devices, taps.power.size, 4, self.sinusoids)
        return TapProcess(
            taps,
            scattered(rows, wavelength_m, self.residual_doppler_hz),
            one_wave(np.full(devices, _DIRECT_DOPPLER / wavelength_m), draws[:, -1]),
            np.outer(taps.delay * self.delay_spread_s, band.offsets_hz),
        )

    def ergodic(self, rate: Rate) -> Rate:
        """The mean of ``rate`` over Rayleigh fading: exact for A to C on any set of sub-bands, a lower bound for D and E.

        Each sub-band's power is exponential in A to C, and the mean of a sum over sub-bands is the sum of the means. In D
        and E it is Rician (K = 13.3 and 22 dB in the first tap), less spread than that.
        """
        from cosim.rate import ergodic_rayleigh

        return ergodic_rayleigh(rate)

    def average_variance(self, window_s: float, doppler_hz: FloatArray) -> FloatArray:
        """Variance (n,) of the mean of |h|^2 over a window, ``cosim.net.averaging.clarke_average_variance``, of
        one sub-band: an upper bound over several, and for D and E.
        """
        from cosim.net.averaging import clarke_average_variance

        return clarke_average_variance(window_s, doppler_hz, self.residual_doppler_hz)


@final
@dataclass(frozen=True, slots=True)
class TapProcess:
    """The process of ``TappedDelayLine``: a sum of waves per tap, the direct wave, and the phases f tau in cycles (L, F)."""

    profile: Profile
    taps: Waves
    direct: Waves
    turns: FloatArray

    def power(
        self,
        times_s: FloatArray,
        travelled_m: FloatArray,
        device_ids: IntArray,
        sight: FloatArray | None = None,  # noqa: ARG002 - the protocol's
    ) -> FloatArray:
        """Mean of |h|^2 over the sub-bands (T, n)."""
        return self._filled(times_s, travelled_m, device_ids, lambda response: response.mean(axis=-1))

    def subband_power(self, times_s: FloatArray, travelled_m: FloatArray, device_ids: IntArray) -> FloatArray:
        """|h|^2 (T, n, F) at the centres of the sub-bands."""
        return self._filled(times_s, travelled_m, device_ids, lambda response: response)

    def amplitudes(self, times_s: FloatArray, travelled_m: FloatArray, device_ids: IntArray) -> tuple[SingleArray, SingleArray]:
        """Real and imaginary parts (L, T, n) of sqrt(p_l) a_l, the direct path within the first tap."""
        here = times_s, travelled_m, device_ids
        scale = np.sqrt(self.profile.power / self.taps.count).astype(np.float32)[:, None, None]
        real, imaginary = (part * scale for part in self.taps.sum(*here))
        if self.profile.direct_power > 0:
            for component, wave in zip((real, imaginary), self.direct.sum(*here), strict=True):
                component[0] += np.float32(np.sqrt(self.profile.direct_power)) * wave[0]
        return real, imaginary

    def _filled(
        self, times_s: FloatArray, travelled_m: FloatArray, device_ids: IntArray, reduce: Callable[[FloatArray], FloatArray]
    ) -> FloatArray:
        """``reduce`` of |h|^2, a few times at once: bounds the memory."""
        rows = max(1, _LINKS // max(1, device_ids.size))
        parts = [reduce(self._response(times_s[part], travelled_m[part], device_ids)) for part in pieces(times_s.size, rows)]
        return np.concatenate(parts or [reduce(np.empty((*travelled_m.shape, self.turns.shape[1])))])

    def _response(self, times_s: FloatArray, travelled_m: FloatArray, device_ids: IntArray) -> FloatArray:
        """|h|^2 (T, n, F); columns of links are taken a few hundred at a time, so that they stay in a core's cache."""
        real, imaginary = (part.reshape(len(self.turns), -1) for part in self.amplitudes(times_s, travelled_m, device_ids))
        turns = (self.turns - np.rint(self.turns)) * 2.0 * np.pi
        cosine, sine = np.cos(turns).astype(np.float32), np.sin(turns).astype(np.float32)
        power = np.empty((real.shape[1], self.turns.shape[1]))
        for part in pieces(len(power), _COLUMNS):
            power[part] = _squared(cosine, sine, real[:, part], imaginary[:, part]).T
        return power.reshape(*travelled_m.shape, self.turns.shape[1])


def _squared(cosine: SingleArray, sine: SingleArray, real: SingleArray, imaginary: SingleArray) -> SingleArray:
    """|sum_l (real + i imaginary)_l (cosine - i sine)_lf|^2 (F, N); a product of matrices, added up tap after tap.

    A library's matrix product would choose its order by the shapes, and a device's bits would depend on the company.
    """
    count = cosine.shape[1]
    total = np.zeros((2 * count, real.shape[1]), np.float32)  # real parts above imaginary parts
    step = np.empty_like(total)
    with_real = np.concatenate([cosine, -sine], axis=1)[:, :, None]
    with_imaginary = np.concatenate([sine, cosine], axis=1)[:, :, None]
    for turn_real, turn_imaginary, a, b in zip(with_real, with_imaginary, real, imaginary, strict=True):
        total += np.multiply(turn_real, a, out=step)
        total += np.multiply(turn_imaginary, b, out=step)
    total *= total
    return np.asarray(total[:count] + total[count:])
