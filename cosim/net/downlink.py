"""The downlink: how the model reaches the devices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast, final

import numpy as np

from cosim.component import Component, quantity

if TYPE_CHECKING:
    from cosim.interfaces import FloatArray, GainSource, IntArray
    from cosim.rate import Rate


@final
class Downlink(Component):
    """The global model goes out to the devices of a round in a band of its own.

    With R(B, s g) = B log2(1 + s g / B), s g the SNR in 1 Hz at the site's whole power, in each slot:

    - ``broadcast``: once, rateless-coded (fountain code; Luby, "LT Codes", FOCS 2002): a device is done as soon as it has collected
      the model's bits at its own rate R(B, s g_k), so a weak device delays nobody else.
    - ``multicast``: once, at the rate that the weakest device can decode, min_k R(B, s g_k): all are done together.
    - ``unicast``: to each of the m devices in an m-th of the band and of the power; the share of one who is done stays idle.

    Same path loss, shadowing and fading as the uplink (reciprocity, as in TDD). Downloads that begin at different aggregations
    of an asynchronous run do not compete.
    """

    mode: Literal["broadcast", "multicast", "unicast"] = quantity(
        "broadcast", "", "once at everybody's own rate or the weakest's; or to each"
    )
    bandwidth_hz: float = quantity(10e6, "Hz", "band of the downlink", gt=0, le=1e12)
    gap_db: float = quantity(0.0, "dB", "SNR gap to capacity (Gamma): divides the SNR", ge=0)

    def planned_s(self, rate: Rate, snr_hz: FloatArray, bits: FloatArray) -> FloatArray:
        """How long downloads (n,) will take as far as a plan can know [s]; inf for who is out of reach.

        ``rate``: what the planner expects of a mean ``snr_hz`` (n,) [Hz]. All n devices count, also who will not be selected in
        the end. Multicast: the weakest one's mean rate; the mean of the least rate is less, since others fade too.
        """
        share = 1.0 / max(1, snr_hz.size) if self.mode == "unicast" else 1.0
        bps = rate.value(share * self.bandwidth_hz, share * snr_hz)
        if self.mode == "multicast" and bps.size:
            bps = np.full_like(bps, bps.min())
        with np.errstate(divide="ignore"):
            return np.where(bits > 0, bits / bps, 0.0)

    def end_s(
        self, channel: GainSource, device_ids: IntArray, bits: FloatArray, start_s: float, *, snr_per_gain_hz: float, slot_s: float
    ) -> FloatArray:
        """When each device (n,) has its ``bits`` if the site begins at ``start_s`` [s]: nothing can disturb that.

        ``snr_per_gain_hz``: SNR in 1 Hz per unit of gain at the site's whole power. Raises SimulationError for a link that is too weak.
        """
        from cosim.net.transfer import Medium, Transfers
        from cosim.net.uplink import Ideal

        n = len(device_ids)
        share = 1.0 / max(1, n) if self.mode == "unicast" else 1.0
        if self.mode == "multicast":
            channel, bits = cast("GainSource", _Weakest(channel, device_ids)), np.full(n, np.max(bits, initial=0.0))
        medium = Medium(Ideal(bandwidth_hz=self.bandwidth_hz, slot_s=slot_s), channel)
        band_hz = np.full(n, share * self.bandwidth_hz)
        return medium.finish(Transfers.of(device_ids, band_hz, share * snr_per_gain_hz, bits), start_s)


@final
@dataclass(frozen=True, slots=True)
class _Weakest:
    """A channel on which every device has, at any time, the gain of the weakest of ``device_ids``."""

    channel: GainSource
    device_ids: IntArray

    def gain(self, times_s: FloatArray, device_ids: IntArray) -> FloatArray:
        least = self.channel.gain(times_s, self.device_ids).min(axis=1, keepdims=True)
        return np.broadcast_to(least, (len(times_s), len(device_ids)))
