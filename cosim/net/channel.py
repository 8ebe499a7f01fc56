"""Section ``channel``: the three scales of a radio link's attenuation."""

from __future__ import annotations

from typing import Annotated, final

from cosim.catalog import Node, default
from cosim.component import Component
from cosim.interfaces import Fading, PathLoss, Shadowing


@final
class Channel(Component):
    """Average loss, shadowing over tens of metres, fading over a wavelength: gain = antennas - loss - shadowing + fading."""

    pathloss: Annotated[PathLoss, Node("pathloss")] = default("pathloss", "uma")
    shadowing: Annotated[Shadowing, Node("shadowing")] = default("shadowing", "correlated")
    fading: Annotated[Fading, Node("fading")] = default("fading", "jakes")
