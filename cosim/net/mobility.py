"""How devices move: static, and random waypoint from its exact stationary distribution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Self, final

import numpy as np
from pydantic import BeforeValidator, model_validator

from cosim.component import Component, quantity
from cosim.errors import ScenarioError, counted
from cosim.interfaces import Motion
from cosim.net.timeline import Timeline
from cosim.net.trips import TRIPS, motion_along

if TYPE_CHECKING:
    from cosim.interfaces import FloatArray, IntArray
    from cosim.rng import Streams


def _pairs(value: Any) -> Any:
    """Lists, as YAML has them, to the tuples of a frozen component."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return value
    return tuple(tuple(item) if isinstance(item, list) else item for item in value)


@final
class Static(Component):
    """Devices that stand still, where ``positions_m`` says or uniformly distributed."""

    positions_m: Annotated[tuple[tuple[float, float], ...] | None, BeforeValidator(_pairs)] = quantity(
        None, "m", "[x, y] of each device; none: uniform in the area"
    )

    def start(self, extent_m: tuple[float, float], devices: int, streams: Streams) -> StaticTrajectories:
        """Positions of devices 0 .. devices-1; stream ("placement",), device k its draws 2k and 2k+1.

        Raises:
            ScenarioError: the number of given positions is not that of the devices, or one is outside the area.
        """
        if self.positions_m is None:
            return StaticTrajectories(streams.uniform("placement", 2 * devices).reshape(devices, 2) * np.array(extent_m))
        if len(self.positions_m) != devices:
            raise ScenarioError(f"mobility.positions_m: {counted(len(self.positions_m), 'position')} for {counted(devices, 'device')}")
        positions = np.array(self.positions_m, dtype=np.float64)
        outside = ((positions < 0.0) | (positions > np.array(extent_m))).any(axis=1)
        if outside.any():
            where = positions[outside][0]
            raise ScenarioError(
                f"mobility.positions_m: [{where[0]:g}, {where[1]:g}] m is outside the area of {extent_m[0]:g} m x {extent_m[1]:g} m"
            )
        return StaticTrajectories(positions)


@final
@dataclass(frozen=True, slots=True)
class StaticTrajectories:
    """``position_m`` (devices, 2)."""

    position_m: FloatArray

    def at(self, times_s: FloatArray, device_ids: IntArray) -> Motion:
        """Motion at times (T,) of devices (n,): everywhere the same place."""
        still = np.zeros((times_s.size, device_ids.size))
        x, y = self.position_m[device_ids].T
        return Motion(still + x, still + y, still, still)


@final
class RandomWaypoint(Component):
    """Random waypoint: to a uniform point in a straight line at a uniform speed, a pause, and on.

    The motion starts in its stationary distribution, so that neither speeds nor positions drift as the
    simulation goes on [Navidi and Camp, IEEE Trans. Mobile Computing 3(1), 2004]. With leg length L, speed V,
    pause P: a device is paused at t = 0 with probability E[P] / (E[P] + E[L] E[1/V]). Then it stands at a
    uniform point and the rest of the pause has density (1 - F_P(p)) / E[P]. Otherwise its leg has density
    proportional to the length, its speed density proportional to 1/v, and it is uniform on the leg.
    """

    speed_min_m_s: float = quantity(0.5, "m/s", "least speed", gt=0)
    speed_max_m_s: float = quantity(2.0, "m/s", "greatest speed", gt=0)
    pause_min_s: float = quantity(0.0, "s", "least pause at a waypoint", ge=0)
    pause_max_s: float = quantity(0.0, "s", "greatest pause at a waypoint", ge=0)

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        if self.speed_min_m_s > self.speed_max_m_s:
            raise ValueError(f"speed_min_m_s {self.speed_min_m_s:g} m/s is above speed_max_m_s {self.speed_max_m_s:g} m/s")
        if self.pause_min_s > self.pause_max_s:
            raise ValueError(f"pause_min_s {self.pause_min_s:g} s is above pause_max_s {self.pause_max_s:g} s")
        return self

    def start(self, extent_m: tuple[float, float], devices: int, streams: Streams) -> WaypointTrajectories:
        """Trajectories of devices 0 .. devices-1; stream ("mobility", device)."""
        return WaypointTrajectories(self, extent_m, [streams.generator("mobility", device) for device in range(devices)])

    def pause_probability(self, extent_m: tuple[float, float]) -> float:
        """Share of time spent in pauses, E[P] / (E[P] + E[L] E[1/V]), in an area of ``extent_m``."""
        low, high = self.speed_min_m_s, self.speed_max_m_s
        mean_slowness = np.log(high / low) / (high - low) if high > low else 1.0 / low
        mean_pause = (self.pause_min_s + self.pause_max_s) / 2.0
        return float(mean_pause / (mean_pause + mean_leg_m(*extent_m) * mean_slowness))


def mean_leg_m(width_m: float, height_m: float) -> float:
    """Mean distance between two uniform points of a rectangle a x b [m].

    (a^3/b^2 + b^3/a^2 + d (3 - a^2/b^2 - b^2/a^2)) / 15 + (b^2/a arcosh(d/b) + a^2/b arcosh(d/a)) / 6 with
    d^2 = a^2 + b^2; source: Santalo, "Integral Geometry and Geometric Probability", 1976, I.4. Of a rectangle that is 10^4 times as
    long as it is wide, or more, it is that of a line, a third of its length, to 1e-6: the formula loses its digits there.
    """
    a, b = width_m, height_m
    if min(a, b) < 1e-4 * max(a, b):
        return max(a, b) / 3.0
    d = np.hypot(a, b)
    straight = a**3 / b**2 + b**3 / a**2 + d * (3.0 - (a / b) ** 2 - (b / a) ** 2)
    curved = b**2 / a * np.arcsinh(a / b) + a**2 / b * np.arcsinh(b / a)
    return float(straight / 15.0 + curved / 6.0)


@final
class WaypointTrajectories:
    """The paths of ``RandomWaypoint``, drawn forward on demand and remembered; a record of the timeline is a trip."""

    def __init__(self, model: RandomWaypoint, extent_m: tuple[float, float], generators: list[np.random.Generator]) -> None:
        self._model = model
        self._extent_m = extent_m
        self._generators = generators
        self._paused = model.pause_probability(extent_m)
        # one device after the other: each draws from its own stream, and rejection takes as many draws as it takes
        self._timeline = Timeline(np.array([self._first(generator) for generator in generators]), self._extend)

    def at(self, times_s: FloatArray, device_ids: IntArray) -> Motion:
        """Motion at times (T,) of devices (n,); times >= 0 in any order."""
        return motion_along(self._timeline, times_s, device_ids)

    def _first(self, rng: np.random.Generator) -> tuple[float, ...]:
        """The trip under way at t = 0."""
        model, (width, height) = self._model, self._extent_m
        if rng.random() < self._paused:
            x, y = rng.random(2) * (width, height)
            # a pause that covers a given instant has density p f(p) / E[P]; what is left of it is uniform
            covering = np.sqrt(model.pause_min_s**2 + rng.random() * (model.pause_max_s**2 - model.pause_min_s**2))
            return 0.0, x, y, x, y, 0.0, model.speed_min_m_s, 0.0, covering * rng.random()
        while True:
            from_x, from_y, to_x, to_y = rng.random(4) * (width, height, width, height)
            if rng.random() * np.hypot(width, height) < np.hypot(to_x - from_x, to_y - from_y):
                break
        speed = model.speed_min_m_s * (model.speed_max_m_s / model.speed_min_m_s) ** rng.random()
        done = rng.random()
        x, y = from_x + (to_x - from_x) * done, from_y + (to_y - from_y) * done
        length = np.hypot(to_x - x, to_y - y)
        pause = model.pause_min_s + rng.random() * (model.pause_max_s - model.pause_min_s)
        return 0.0, x, y, to_x, to_y, length, speed, 0.0, length / speed + pause

    def _extend(self, device_ids: IntArray, last: FloatArray) -> FloatArray:
        """The next trips (m, TRIPS, 9) after the trips ``last`` (m, 9)."""
        model, (width, height) = self._model, self._extent_m
        # each device draws from its own stream
        u_x, u_y, u_speed, u_pause = np.moveaxis(np.stack([self._generators[k].random((4, TRIPS)) for k in device_ids]), 1, 0)
        to_x, to_y = u_x * width, u_y * height
        from_x, from_y = np.column_stack([last[:, 3], to_x[:, :-1]]), np.column_stack([last[:, 4], to_y[:, :-1]])
        length = np.hypot(to_x - from_x, to_y - from_y)
        speed = model.speed_min_m_s + u_speed * (model.speed_max_m_s - model.speed_min_m_s)
        pause = model.pause_min_s + u_pause * (model.pause_max_s - model.pause_min_s)
        times = np.add.accumulate(np.column_stack([last[:, 8], length / speed + pause]), axis=1)
        travelled = np.add.accumulate(np.column_stack([last[:, 7] + last[:, 5], length]), axis=1)
        return np.stack([times[:, :-1], from_x, from_y, to_x, to_y, length, speed, travelled[:, :-1], times[:, 1:]], axis=-1)
