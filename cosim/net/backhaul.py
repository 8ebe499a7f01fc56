"""What lies between the site and the server."""

from __future__ import annotations

from typing import final

from cosim.component import Component, quantity


@final
class Network(Component):
    """A backhaul of constant delay between site and server, passed once in each direction."""

    backhaul_delay_s: float = quantity(0.0, "s", "one-way delay between site and server", ge=0)
