"""Section ``channel``: the three scales of a radio link's attenuation."""

from __future__ import annotations

from typing import Annotated, Literal, final

from pydantic import Field

from cosim.catalog import Node, default
from cosim.component import Component, quantity
from cosim.interfaces import Fading, PathLoss, Shadowing
from cosim.net.buildings import Buildings
from cosim.net.outage import Outage


@final
class Channel(Component):
    """Average loss, shadowing over tens of metres, fading over a wavelength: gain = antennas - loss - shadowing + fading.

    Where a link comes into sight or leaves it, its mean gain jumps (``instant``), or is w^2 g_LOS + (1 - w^2) g_NLOS with a
    weight w of line of sight that goes smoothly from 0 to 1 (``smooth``, 3GPP TR 38.901 V17, section 7.6.3.3).
    """

    pathloss: Annotated[PathLoss, Node("pathloss")] = default("pathloss", "uma")
    shadowing: Annotated[Shadowing, Node("shadowing")] = default("shadowing", "correlated")
    fading: Annotated[Fading, Node("fading")] = default("fading", "jakes")
    los_transition: Literal["instant", "smooth"] = quantity("instant", "", "how a link goes in and out of line of sight")
    outage: Outage | None = Field(None, description="links that are dead for a while; none: they never are")
    buildings: Buildings = Field(default_factory=Buildings, description="devices inside buildings")
