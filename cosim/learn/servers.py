"""What a server that aggregates holds, and how several of them become one again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from cosim.interfaces import FloatArray
from cosim.learn.layers import Vector


@final
@dataclass(slots=True)
class Server:
    """A server's model u (N + M,), replaced and never changed in place, and what its optimiser remembers.

    ``gradient``: running gradient (N,) of pruners that decide on the server, else None. ``mass`` (N + M,): for each parameter, the weights
    of the updates that kept it, added up since the servers were last joined.
    """

    shared: Vector
    memory: FloatArray
    gradient: Vector | None
    mass: FloatArray


def average(servers: Sequence[Server]) -> Vector:
    """Their average by mass m, parameter by parameter: u = u_0 + sum_e m_e (u_e - u_0) / sum_e m_e; of one server, its own bits.

    With a round of the edge servers for each of the cloud, that is the average over all devices that kept a parameter. The hierarchy is
    that of Liu, Zhang, Song and Letaief, "Client-Edge-Cloud Hierarchical Federated Learning", ICC 2020 (there weighted by data sizes).
    """
    base = servers[0].shared.astype(np.float64)
    total = sum((server.mass for server in servers), np.zeros(len(base)))
    change = sum((server.mass * (server.shared - base) for server in servers), np.zeros(len(base)))
    return np.asarray(base + np.divide(change, total, out=np.zeros(len(base)), where=total > 0), np.float32)


def join(servers: Sequence[Server]) -> None:
    """All get the average; optimisers and gradients stay each server's own."""
    shared = average(servers)
    for server in servers:
        server.shared, server.mass = shared, np.zeros(len(shared))


def state(servers: Sequence[Server]) -> dict[str, NDArray[np.generic]]:
    """All servers as named arrays, end to end along the first axis where there are several."""
    parts: dict[str, list[NDArray[np.generic]]] = {
        "shared": [server.shared for server in servers],
        "server": [server.memory for server in servers],
        "gradient": [np.empty(0, np.float32) if server.gradient is None else server.gradient for server in servers],
    }
    joined = {name: np.concatenate(values) for name, values in parts.items()}
    return joined if len(servers) == 1 else {**joined, "mass": np.stack([server.mass for server in servers])}


def restore(servers: Sequence[Server], arrays: Mapping[str, NDArray[np.generic]]) -> None:
    """The servers as they were."""
    count = len(servers)
    columns = {name: np.split(np.asarray(arrays[name]), count) for name in ("shared", "server", "gradient")}
    for index, server in enumerate(servers):
        server.shared, server.memory = columns["shared"][index].astype(np.float32), columns["server"][index].astype(np.float64)
        server.gradient = None if server.gradient is None else columns["gradient"][index].astype(np.float32)
        if count > 1:
            server.mass = np.array(arrays["mass"][index], np.float64)
