"""The process behind ``cosim.net.sumo``: ``python -m cosim.net.sumo_worker``, one SUMO simulation stepped on demand."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, Final, final

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from cosim.rng import Streams

_AHEAD: Final = 3
"""Edges that a route always has in front of its vehicle."""
_PATIENCE_S: Final = 600.0
"""Time for all vehicles to find room on the road."""
_OPTIONS: Final = "--no-step-log --no-warnings --time-to-teleport -1 --collision.action none --threads 1 --xml-validation never"


class TrafficError(Exception):
    """What the other side should tell its user."""


@final
class Traffic:
    """All vehicles, driving for ever from one random edge to the next.

    They keep to the largest part of the network in which every edge leads to every other.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        """Load the network, insert the vehicles, warm up. Raises TrafficError."""
        import libsumo

        self._sumo = libsumo
        streams = Streams(settings["seed"])
        seed = streams.integer("mobility") % 2**31
        options = ["-n", settings["network"], "--step-length", repr(settings["step_s"]), "--seed", str(seed), *_OPTIONS.split()]
        try:
            libsumo.start(["sumo", *options])
        except Exception as error:  # libsumo's own kinds of error
            raise TrafficError(f"SUMO cannot load {settings['network']}: {_first_line(error)}") from error
        self._check_extent(settings)
        self._edges = self._connected_edges(settings["network"])
        self._draws = [streams.generator("mobility", device) for device in range(settings["devices"])]
        self._names = [str(device) for device in range(settings["devices"])]
        self._length: dict[str, int] = {}
        for name in self._names:  # each vehicle has its own place and destination
            self._insert(name)
        self._warm_up(settings["step_s"], settings["warmup_s"])

    def step(self) -> list[tuple[float, float]]:
        """Positions now [m]; then the simulation goes one step further."""
        positions = [self._sumo.vehicle.getPosition(name) for name in self._names]
        self._advance()
        return positions

    def _advance(self) -> None:
        self._sumo.simulationStep()
        if gone := self._sumo.simulation.getArrivedIDList():
            raise TrafficError(f"vehicle {gone[0]} ran past the end of its route within one step; take a shorter step_s")
        for name in self._sumo.vehicle.getIDList():  # SUMO is asked vehicle by vehicle
            if self._sumo.vehicle.getRouteIndex(name) > self._length[name] - _AHEAD:
                self._prolong(name)

    def _insert(self, name: str) -> None:
        self._sumo.route.add(name, self._trip(name, self._pick(name)))
        self._length[name] = len(self._sumo.route.getEdges(name))
        self._sumo.vehicle.add(name, name, departLane="best", departPos="random_free", departSpeed="0")

    def _prolong(self, name: str) -> None:
        """Behind the end of the route, another trip."""
        route = self._sumo.vehicle.getRoute(name)[self._sumo.vehicle.getRouteIndex(name) :]
        route = (*route, *self._trip(name, route[-1])[1:])
        self._sumo.vehicle.setRoute(name, route)
        self._length[name] = self._sumo.vehicle.getRouteIndex(name) + len(route)

    def _trip(self, name: str, begin: str) -> tuple[str, ...]:
        """The fastest route from an edge to a random one, so long that there is something ahead."""
        route: tuple[str, ...] = (begin,)
        while len(route) <= _AHEAD:
            route = (*route, *self._sumo.simulation.findRoute(route[-1], self._pick(name)).edges[1:])
        return route

    def _pick(self, name: str) -> str:
        return self._edges[int(self._draws[int(name)].integers(len(self._edges)))]

    def _warm_up(self, step_s: float, warmup_s: float) -> None:
        steps = round(warmup_s / step_s)
        patience = steps + round(_PATIENCE_S / step_s)
        done = 0
        while done < steps or self._sumo.vehicle.getIDCount() < len(self._names):
            if done > patience:
                found = self._sumo.vehicle.getIDCount()
                raise TrafficError(f"only {found} of {len(self._names)} vehicles find room in the network within {_PATIENCE_S:g} s")
            self._advance()
            done += 1

    def _check_extent(self, settings: dict[str, Any]) -> None:
        (left, lower), (right, upper) = self._sumo.simulation.getNetBoundary()
        width, height = settings["extent_m"]
        if min(left, lower) < 0.0 or right > width or upper > height:
            raise TrafficError(
                f"the network reaches from [{left:g}, {lower:g}] to [{right:g}, {upper:g}] m, "
                f"outside the area of {width:g} m x {height:g} m"
            )

    def _connected_edges(self, network: str) -> list[str]:
        """Edges for cars in the largest strongly connected part, in the order of their names."""
        lane = self._sumo.lane
        open_lanes = [
            name for name in lane.getIDList() if not name.startswith(":") and _for_cars(lane.getAllowed(name), lane.getDisallowed(name))
        ]
        edges = sorted({lane.getEdgeID(name) for name in open_lanes})
        number = {edge: k for k, edge in enumerate(edges)}
        links = [(number[lane.getEdgeID(name)], number.get(lane.getEdgeID(link[0]))) for name in open_lanes for link in lane.getLinks(name)]
        pairs = np.array([link for link in links if link[1] is not None], dtype=np.int64).reshape(-1, 2)
        graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(edges), len(edges)))
        _, part = connected_components(graph, directed=True, connection="strong")
        sizes = np.bincount(part, minlength=1)
        if sizes.max() < 2:
            raise TrafficError(f"{network} has no two streets for cars that lead to one another")
        return [edge for edge, group in zip(edges, part, strict=True) if group == sizes.argmax()]


def _for_cars(allowed: tuple[str, ...], disallowed: tuple[str, ...]) -> bool:
    return "passenger" in allowed if allowed else "passenger" not in disallowed


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def main() -> None:
    """Talk with the other side until its pipe closes. What SUMO prints goes to stderr."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    traffic: Traffic | None = None
    for line in sys.stdin:
        try:
            if traffic is None:
                traffic, data = Traffic(json.loads(line)), b""
            else:
                data = np.array([traffic.step() for _ in range(int(line))], dtype="<f8").tobytes()
            answers.write(b"{}\n" + data)
        except Exception as error:  # noqa: BLE001 - whatever SUMO raises is told to the other side
            problem = str(error) if isinstance(error, TrafficError) else f"SUMO: {_first_line(error)}"
            answers.write(json.dumps({"error": problem}).encode() + b"\n")
        answers.flush()


if __name__ == "__main__":
    main()
