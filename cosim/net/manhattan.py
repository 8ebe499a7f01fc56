"""Manhattan mobility: along a grid of streets, with turns at crossings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self, final

import numpy as np
from pydantic import model_validator

from cosim.component import Component, quantity
from cosim.errors import ScenarioError
from cosim.net.timeline import Timeline
from cosim.net.trips import TRIPS, motion_along

if TYPE_CHECKING:
    from cosim.interfaces import FloatArray, IntArray, Motion
    from cosim.rng import Streams

_EAST_NORTH_WEST_SOUTH: Final = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])


@final
class Manhattan(Component):
    """Along streets at multiples of ``block_m`` in x and y, both edges included, with turns at crossings.

    In the manner of UMTS 30.03 (ETSI TR 101 112, annex B, pedestrian environment: blocks of 200 m, probability of
    a turn 0.5), with a new speed after each crossing, uniform in [speed_min, speed_max], in place of small
    changes every 5 m. At a crossing a device turns with ``turn_probability``, left or right alike, and else goes
    straight on; where the grid ends (three streets meet) it takes either of the two streets ahead alike, at a
    corner the only one; nobody turns back.

    Every street is then entered as often as left, so the stationary distribution is uniform over all streets and
    both directions for any ``turn_probability``, with a speed density proportional to 1/v on the way. That is how
    the motion starts: neither positions nor speeds drift.
    """

    block_m: float = quantity(200.0, "m", "distance between crossings", gt=0)
    turn_probability: float = quantity(0.5, "", "probability of a turn, left or right, where four streets meet", ge=0, le=1)
    speed_min_m_s: float = quantity(0.5, "m/s", "least speed", gt=0)
    speed_max_m_s: float = quantity(1.5, "m/s", "greatest speed", gt=0)

    @model_validator(mode="after")
    def _range(self) -> Self:
        if self.speed_min_m_s > self.speed_max_m_s:
            raise ValueError(f"speed_min_m_s {self.speed_min_m_s:g} m/s is above speed_max_m_s {self.speed_max_m_s:g} m/s")
        return self

    def start(self, extent_m: tuple[float, float], devices: int, streams: Streams) -> ManhattanTrajectories:
        """Trajectories of devices 0 .. devices-1; stream ("mobility", device).

        Raises:
            ScenarioError: the area holds less than one block in x or in y.
        """
        if self.block_m > min(extent_m):
            raise ScenarioError(
                f"mobility.block_m: {self.block_m:g} m does not fit into the area of {extent_m[0]:g} m x {extent_m[1]:g} m; "
                f"at most {min(extent_m):g} m"
            )
        return ManhattanTrajectories(self, extent_m, [streams.generator("mobility", device) for device in range(devices)])


@final
class ManhattanTrajectories:
    """The paths of ``Manhattan``, drawn forward on demand and remembered; a record of the timeline is a trip of one block."""

    def __init__(self, model: Manhattan, extent_m: tuple[float, float], generators: list[np.random.Generator]) -> None:
        self._model, self._generators = model, generators
        self._blocks = np.floor(np.array(extent_m) / model.block_m)
        draws = np.stack([generator.random(5) for generator in generators])  # each device draws from its own stream
        self._timeline = Timeline(self._first(draws), self._extend)

    def at(self, times_s: FloatArray, device_ids: IntArray) -> Motion:
        """Motion at times (T,) of devices (n,); times >= 0 in any order."""
        return motion_along(self._timeline, times_s, device_ids)

    def _first(self, draws: FloatArray) -> FloatArray:
        """The trips under way at t = 0, from five uniforms per device: on all streets, at any point, alike."""
        blocks_x, blocks_y = self._blocks
        along_x = draws[:, 0] * (blocks_x * (blocks_y + 1) + blocks_y * (blocks_x + 1)) < blocks_x * (blocks_y + 1)
        cell = np.floor(draws[:, 1:3] * np.where(along_x[:, None], [blocks_x, blocks_y + 1], [blocks_x + 1, blocks_y]))
        back = draws[:, 3] < 0.5
        done = (draws[:, 3] * 2.0) % 1.0
        unit = np.where(along_x[:, None], [1.0, 0.0], [0.0, 1.0])
        target = cell + unit * ~back[:, None]
        at = cell + unit * np.where(back, 1.0 - done, done)[:, None]
        left_m = (1.0 - done) * self._model.block_m
        speed = self._model.speed_min_m_s * (self._model.speed_max_m_s / self._model.speed_min_m_s) ** draws[:, 4]
        zero = np.zeros(len(draws))
        return np.column_stack([zero, at * self._model.block_m, target * self._model.block_m, left_m, speed, zero, left_m / speed])

    def _extend(self, device_ids: IntArray, last: FloatArray) -> FloatArray:
        """The next trips (m, TRIPS, 9) after the trips ``last`` (m, 9)."""
        model, block = self._model, self._model.block_m
        u_turn, u_speed = np.moveaxis(np.stack([self._generators[k].random((2, TRIPS)) for k in device_ids]), 1, 0)
        corner = np.rint(last[:, 3:5] / block)
        way = np.sign(last[:, 3:5] - last[:, 1:3])
        heading = np.argmax(way @ _EAST_NORTH_WEST_SOUTH.T, axis=1)
        corners = [corner]
        for i in range(TRIPS):  # a turn depends on where the last one led
            heading = self._next_heading(corner, heading, u_turn[:, i])
            corner = corner + _EAST_NORTH_WEST_SOUTH[heading]
            corners.append(corner)
        places = np.stack(corners, axis=1) * block
        speed = model.speed_min_m_s + u_speed * (model.speed_max_m_s - model.speed_min_m_s)
        length = np.full_like(speed, block)
        times = np.add.accumulate(np.column_stack([last[:, 8], length / speed]), axis=1)
        travelled = np.add.accumulate(np.column_stack([last[:, 7] + last[:, 5], length[:, :-1]]), axis=1)
        ends = [times[:, :-1, None], places[:, :-1], places[:, 1:]]
        return np.concatenate([*ends, *(a[..., None] for a in (length, speed, travelled, times[:, 1:]))], axis=-1)

    def _next_heading(self, corner: FloatArray, heading: IntArray, u: FloatArray) -> IntArray:
        """Headings (m,) after the crossings ``corner`` (m, 2) reached with ``heading`` (m,): 0 east, 1 north, 2 west, 3 south."""
        options = (heading[:, None] + np.array([0, 1, 3])) % 4  # straight, left, right
        reached = corner[:, None] + _EAST_NORTH_WEST_SOUTH[options]
        there = ((reached >= 0.0) & (reached <= self._blocks)).all(axis=-1)
        turn = self._model.turn_probability
        weight = np.where(there.all(axis=1)[:, None], [1.0 - turn, turn / 2.0, turn / 2.0], there)
        threshold = np.add.accumulate(weight, axis=1)
        choice = np.sum(u[:, None] * threshold[:, 2:] >= threshold[:, :2], axis=1)
        return np.asarray(options[np.arange(len(options)), choice])
