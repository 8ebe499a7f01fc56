"""Group mobility: devices that ride together, such as in a bus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, final

import numpy as np

from cosim.catalog import Node, default
from cosim.component import Component, quantity
from cosim.errors import ScenarioError
from cosim.interfaces import Mobility, Motion, Trajectories, Visits
from cosim.net.mobility import Static
from cosim.net.recorded import Recorded
from cosim.net.sumo import Sumo

if TYPE_CHECKING:
    from cosim.interfaces import FloatArray, IntArray
    from cosim.rng import Streams


@final
class Group(Component):
    """Groups of devices around a leader: device k belongs to group k mod ``groups`` and keeps its place in it.

    The reference-point model [Hong, Gerla, Pei and Chiang, MSWiM 1999] with rigid formations: position = leader's
    position + offset, the offset uniform in a disc of ``radius_m``, drawn once per device. So a device's
    speed and path length are exactly its leader's. A leader is a point that moves by ``leader``, a mobility kind of its
    own, and no device itself. It keeps ``radius_m`` away from the area's edges, so that everyone stays inside; a
    leader with a map (recorded, sumo, static with positions) cannot, and its group may stick out by that much.
    """

    groups: int = quantity(1, "", "number of groups", ge=1)
    radius_m: float = quantity(6.0, "m", "greatest distance of a device from its leader", ge=0)
    leader: Annotated[Mobility, Node("mobility", brief=True)] = default("mobility", "random_waypoint")

    def start(self, extent_m: tuple[float, float], devices: int, streams: Streams) -> GroupTrajectories:
        """Trajectories of devices 0 .. devices-1; streams of the leaders, and ("placement", 1), device k its draws 2k and 2k+1.

        Raises:
            ScenarioError: the area is narrower than a group.
        """
        margin = 0.0 if _has_map(self.leader) else self.radius_m
        if 2.0 * margin >= min(extent_m):
            raise ScenarioError(
                f"mobility.radius_m: a group of radius {self.radius_m:g} m does not fit into the area of "
                f"{extent_m[0]:g} m x {extent_m[1]:g} m; below {min(extent_m) / 2.0:g} m"
            )
        leaders = self.leader.start((extent_m[0] - 2.0 * margin, extent_m[1] - 2.0 * margin), self.groups, streams)
        distance, angle = streams.uniform("placement", 2 * devices, 1).reshape(devices, 2).T
        reach = self.radius_m * np.sqrt(distance)
        offset = np.column_stack([reach * np.cos(2.0 * np.pi * angle), reach * np.sin(2.0 * np.pi * angle)])
        return GroupTrajectories(leaders, self.groups, margin + offset)


def _has_map(leader: Mobility) -> bool:
    """Whether this kind's positions come from elsewhere than the area it is told."""
    return isinstance(leader, Recorded | Sumo) or (isinstance(leader, Static) and leader.positions_m is not None)


@final
@dataclass(frozen=True, slots=True)
class GroupTrajectories:
    """``leaders``: motion of the ``groups`` leaders; ``offset_m`` (devices, 2) from them."""

    leaders: Trajectories
    groups: int
    offset_m: FloatArray

    def at(self, times_s: FloatArray, device_ids: IntArray) -> Motion:
        """Motion at times (T,) of devices (n,); times >= 0 in any order."""
        led = self.leaders.at(times_s, device_ids % self.groups)
        x, y = self.offset_m[device_ids].T
        return Motion(led.x_m + x, led.y_m + y, led.speed_m_s, led.travelled_m)

    def presence_s(self, device_ids: IntArray) -> tuple[FloatArray, FloatArray]:
        """A group is there while its leader is."""
        if isinstance(self.leaders, Visits):
            return self.leaders.presence_s(device_ids % self.groups)
        return np.zeros(device_ids.size), np.full(device_ids.size, np.inf)
