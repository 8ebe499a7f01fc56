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
    free_s, last_s, bits = state.backhaul_free_s, now_s, float(_model_bits(parts))
    for route in parts.backhaul.to_cloud:
        free_s, arrival_s = parts.backhaul.send(free_s, route, bits, now_s)
        last_s = max(last_s, arrival_s)
    return free_s, last_s


def send_update(parts: Parts, state: State, works: Works, row: int) -> tuple[FloatArray, float]:
    """An update goes from where its upload ended to its server: when each link is free again, and when it arrives."""
    end_s = float(works.upload_end_s[row])
    site = int(parts.world.serving(np.array([end_s]), works.device_ids[row : row + 1])[0, 0])
    route = parts.backhaul.up[site][works.server[row]]
    return parts.backhaul.send(state.backhaul_free_s, route, float(works.payload_bits[row]), end_s)


def _model_bits(parts: Parts) -> FloatArray:
    return np.asarray(parts.learner.workload().download_bits.max())
