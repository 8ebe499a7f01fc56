"""The downlink: how the model reaches the devices."""

from __future__ import annotations

from typing import final

from cosim.component import Component, quantity


@final
class Downlink(Component):
    """A broadcast of the global model in a band of its own.

    The site sends the model once, rateless-coded (fountain code): a device is done as soon as it has
    collected the model's bits at its own rate R(B, s g(t)) = B log2(1 + s g / B), so a weak device delays
    nobody else. Same path loss, shadowing and fading as the uplink (reciprocity, as in TDD).
    """

    bandwidth_hz: float = quantity(10e6, "Hz", "band of the downlink", gt=0, le=1e12)
    gap_db: float = quantity(0.0, "dB", "SNR gap to capacity (Gamma): divides the SNR", ge=0)
