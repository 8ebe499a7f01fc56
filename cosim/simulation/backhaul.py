"""Models and updates on their way through the backhaul."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from cosim.interfaces import FloatArray
    from cosim.simulation.parts import Parts
    from cosim.simulation.records import State, Works


def model_delay_s(parts: Parts, state: State, now_s: float) -> FloatArray:
    """After which time each site (sites,) has the model of its server, if that is sent out now: once over each link.

    Edge servers that are to get the cloud's model wait until the cloud has had theirs, and it has come back.
    """
    net, bits = parts.backhaul, _model_bits(parts)
    delay_s = np.array([net.takes_s(route, bits) for route in net.down])
    if net.from_cloud and np.isfinite(state.cloud_s):
        back_s = np.array([net.takes_s(route, bits) for route in net.from_cloud])
        delay_s = delay_s + np.maximum(state.cloud_s + back_s - now_s, 0.0)[net.server_of]
    return delay_s


def exchanged(parts: Parts, state: State, now_s: float) -> tuple[FloatArray, float]:
    """Edge servers send their models to the cloud: when each link is free again, and when the cloud has all of them."""
    return parts.backhaul.send_all(state.backhaul_free_s, parts.backhaul.to_cloud, float(_model_bits(parts)), now_s)


def forward(parts: Parts, state: State, works: Works, row: int) -> bool:
    """An update that is at a node at ``node_s`` is sent over the next link on its way; False where there is none: it has arrived.

    It takes the way from the site where its upload ended to its server.
    """
    site = int(parts.world.serving(works.upload_end_s[row : row + 1], works.device_ids[row : row + 1])[0, 0])
    route, passed = parts.backhaul.up[site][works.server[row]], int(works.links_passed[row])
    if passed == len(route):
        return False
    state.backhaul_free_s, works.node_s[row] = parts.backhaul.pass_link(
        state.backhaul_free_s, route[passed], float(works.payload_bits[row]), float(works.node_s[row])
    )
    works.links_passed[row] += 1
    return True


def _model_bits(parts: Parts) -> FloatArray:
    return np.asarray(parts.learner.workload().download_bits.max())
