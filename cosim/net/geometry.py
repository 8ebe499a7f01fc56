"""Where things stand: the area, the sites and the devices of a scenario."""

from __future__ import annotations

from typing import final

from pydantic import Field

from cosim.component import Component, quantity
from cosim.net.battery import Battery
from cosim.net.power import OpenLoop


@final
class Area(Component):
    """The rectangle [0, width] x [0, height] in which devices move.

    With ``wrap_around``, seven hexagonal cells, sites.0 in the middle, are repeated over the plane: a device that leaves the cluster on
    one side comes in on the other, and every site is heard from the nearest of its images. Devices move in the rectangle and are folded
    onto the cluster; uniform positions stay uniform if sites.1 lies in x from sites.0 at a distance D, and the rectangle is 7 D wide and a
    whole number of sqrt(3)/2 D high.
    """

    width_m: float = quantity(1000.0, "m", "extent in x", gt=0, le=1e6)
    height_m: float = quantity(1000.0, "m", "extent in y", gt=0, le=1e6)
    wrap_around: bool = quantity(False, "", "seven hexagonal cells are repeated over the plane")


@final
class Site(Component):
    """A base station: one cell with one OFDMA uplink."""

    x_m: float = quantity(500.0, "m", "position in x")
    y_m: float = quantity(500.0, "m", "position in y")
    height_m: float = quantity(25.0, "m", "antenna height above ground", gt=0)
    antenna_gain_dbi: float = quantity(8.0, "dBi", "antenna gain towards every device")
    noise_figure_db: float = quantity(5.0, "dB", "noise figure of the receiver", ge=0)
    transmit_power_dbm: float = quantity(43.0, "dBm", "downlink transmit power over the whole downlink band")


@final
class Devices(Component):
    """The devices: how many there are, and what their radios are like."""

    count: int = quantity(10, "", "number of devices", ge=1, le=1_000_000)
    height_m: float = quantity(1.5, "m", "antenna height above ground", gt=0)
    antenna_gain_dbi: float = quantity(0.0, "dBi", "antenna gain")
    transmit_power_dbm: float = quantity(23.0, "dBm", "uplink transmit power, spread over the band the device holds")
    power_control: OpenLoop | None = Field(None, description="open-loop power control of the uplink; none: full power, always")
    amplifier_efficiency: float = quantity(0.35, "", "radiated power over power drawn while sending", gt=0, le=1)
    noise_figure_db: float = quantity(9.0, "dB", "noise figure of the receiver", ge=0)
    battery: Battery | None = Field(None, description="store of energy that work empties; none: it lasts for ever")
