"""Tapped delay lines: fading that differs over the band, as a response per sub-band (resource block)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Literal, final

import numpy as np
from numpy.typing import NDArray

from cosim.component import Component, quantity
from cosim.net.tdl_profiles import Profile, profile
from cosim.net.waves import SingleArray, Sinusoids, one_wave, pieces, scattered
from cosim.units import SPEED_OF_LIGHT_M_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from cosim.interfaces import Band, FloatArray, IntArray, PathLoss
    from cosim.rate import Rate
    from cosim.rng import Streams

_LINKS: Final = 2048
"""Links x times whose responses are evaluated at once."""
_WIDTH: Final = 128
"""Sub-bands per product: so few that no library shares one product out among threads."""
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
    sinusoids: int = quantity(4, "", "sinusoids per tap, two plane waves each; a sub-band sees those of all taps", ge=4, le=256)
    residual_doppler_hz: float = quantity(1.5, "Hz", "greatest Doppler shift caused by moving surroundings", ge=0)
    selective: ClassVar[bool] = True
    follows_sight: ClassVar[bool] = False

    def start(self, pathloss: PathLoss, band: Band, site: int, devices: int, streams: Streams) -> TapProcess:
        """The process of the links of ``site``; stream ("fading", site), device k its k-th row of draws."""
        wavelength_m = SPEED_OF_LIGHT_M_S / pathloss.carrier_hz
        taps = profile(self.profile)
        generator = streams.generator("fading", site)
        draws = generator.random((devices, taps.power.size * 5 * self.sinusoids + 1))
        rows = draws[:, :-1].reshape(devices, taps.power.size, 5, self.sinusoids)
        turns = np.outer(taps.delay * self.delay_spread_s, band.offsets_hz)
        return TapProcess(
            taps,
            scattered(rows, wavelength_m, self.residual_doppler_hz, taps.power),
            one_wave(np.full(devices, _DIRECT_DOPPLER / wavelength_m), draws[:, -1]),
            np.exp(-2j * np.pi * (turns - np.rint(turns))).astype(np.complex64),
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
    """The process of ``TappedDelayLine``: a sum of sinusoids per tap, the direct wave, and exp(-2 pi i f tau) as ``turns`` (L, F)."""

    profile: Profile
    taps: Sinusoids
    direct: Sinusoids
    turns: NDArray[np.complex64]

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
        real, imaginary = self.taps.sum(*here)
        if self.profile.direct_power > 0:
            for component, wave in zip((real, imaginary), self.direct.sum(*here), strict=True):
                component[0] += np.float32(np.sqrt(self.profile.direct_power)) * wave[0]
        return real, imaginary

    def _filled(
        self, times_s: FloatArray, travelled_m: FloatArray, device_ids: IntArray, reduce: Callable[[FloatArray], FloatArray]
    ) -> FloatArray:
        """``reduce`` of |h|^2, a few times at once: bounds the memory."""
        rows = max(1, _LINKS // max(1, device_ids.size))
        parts = [reduce(self._response(times_s[part], travelled_m[part], device_ids)) for part in pieces(max(1, times_s.size), rows)]
        return np.concatenate(parts) if len(parts) > 1 else parts[0]

    def _response(self, times_s: FloatArray, travelled_m: FloatArray, device_ids: IntArray) -> FloatArray:
        """|h|^2 (T, n, F).

        Each link at each time is a product (1, L) x (L, F) of its own, of the same shape whoever else is asked for: in one
        product of all of them the order of additions, and so a device's bits, would depend on the company.
        """
        taps = np.empty((*travelled_m.shape, 1, len(self.turns)), np.complex64)
        for part, values in zip((taps.real, taps.imag), self.amplitudes(times_s, travelled_m, device_ids), strict=True):
            part[:, :, 0] = values.transpose(1, 2, 0)
        power = np.empty((*travelled_m.shape, self.turns.shape[1]))
        for columns in pieces(power.shape[2], _WIDTH):
            response = (taps @ np.ascontiguousarray(self.turns[:, columns]))[:, :, 0]
            power[:, :, columns] = response.real**2 + response.imag**2
        return power
