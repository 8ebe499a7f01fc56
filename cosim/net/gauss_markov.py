"""Gauss-Markov mobility: speed and direction with memory, reflected at the area's edges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

import numpy as np

from cosim.component import Component, quantity
from cosim.interfaces import Motion
from cosim.net.timeline import Timeline

if TYPE_CHECKING:
    from cosim.interfaces import FloatArray, IntArray
    from cosim.rng import Streams

_STEPS: Final = 32
"""Steps drawn at once per device."""


@final
class GaussMarkov(Component):
    """Gauss-Markov: speed and direction are first-order autoregressive processes, one value per step.

    With memory a in [0, 1] and independent standard normal g,

        s_n = a s_{n-1} + (1 - a) mean_speed + sqrt(1 - a^2) speed_sd g

    and the direction likewise around a mean direction that each device draws uniformly [Liang and Haas, INFOCOM
    1999; in this form Camp, Boleng and Davies, Wireless Comm. and Mobile Computing 2(5), 2002, section 2.6]. A
    device moves straight on for a step, and an edge of the area reflects it like a mirror, mean direction
    included. A negative s_n is a move backwards at speed -s_n.

    Stationary from t = 0: s ~ N(mean_speed, speed_sd^2) with autocorrelation a^k, direction likewise, position
    uniform in the area and independent of both, since mirrored motion is free motion on a torus.
    """

    memory: float = quantity(0.9, "", "a: correlation from one step to the next; 1: straight on for ever, 0: none", ge=0, le=1)
    mean_speed_m_s: float = quantity(1.5, "m/s", "mean speed", ge=0)
    speed_sd_m_s: float = quantity(0.3, "m/s", "standard deviation of the speed", ge=0)
    direction_sd_deg: float = quantity(45.0, "deg", "standard deviation of the direction around a device's mean direction", ge=0)
    step_s: float = quantity(1.0, "s", "time between two changes of speed and direction", gt=0)

    def start(self, extent_m: tuple[float, float], devices: int, streams: Streams) -> GaussMarkovTrajectories:
        """Trajectories of devices 0 .. devices-1; stream ("mobility", device)."""
        return GaussMarkovTrajectories(self, extent_m, [streams.generator("mobility", device) for device in range(devices)])


@final
class GaussMarkovTrajectories:
    """The paths of ``GaussMarkov``, drawn forward on demand and remembered.

    They live in the plane without edges, of which the area is the folded image. A record of the timeline is a step:
    begin [s], x, y [m], velocity x, y [m/s], path travelled [m], g-process of speed and of direction (both N(0, 1)),
    mean direction [rad].
    """

    def __init__(self, model: GaussMarkov, extent_m: tuple[float, float], generators: list[np.random.Generator]) -> None:
        self._model, self._extent_m, self._generators = model, extent_m, generators
        places = np.stack([generator.random(3) for generator in generators])  # each device draws from its own stream
        normals = np.stack([generator.standard_normal(2) for generator in generators])
        mean_direction = 2.0 * np.pi * places[:, 2]
        velocity = self._velocity(normals[:, 0], normals[:, 1], mean_direction)
        zero = np.zeros(len(generators))
        where = places[:, 0] * extent_m[0], places[:, 1] * extent_m[1]
        first = np.column_stack([zero, *where, *velocity, zero, normals, mean_direction])
        self._timeline = Timeline(first, self._extend)

    def at(self, times_s: FloatArray, device_ids: IntArray) -> Motion:
        """Motion at times (T,) of devices (n,); times >= 0 in any order."""
        begin, x, y, velocity_x, velocity_y, travelled, *_ = np.moveaxis(self._timeline.at(times_s, device_ids), -1, 0)
        elapsed = times_s[:, None] - begin
        speed = np.hypot(velocity_x, velocity_y)
        return Motion(
            x_m=_folded(x + velocity_x * elapsed, self._extent_m[0]),
            y_m=_folded(y + velocity_y * elapsed, self._extent_m[1]),
            speed_m_s=speed,
            travelled_m=travelled + speed * elapsed,
        )

    def _velocity(
        self, speed_normal: FloatArray, direction_normal: FloatArray, mean_direction: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        speed = self._model.mean_speed_m_s + self._model.speed_sd_m_s * speed_normal
        direction = mean_direction + np.deg2rad(self._model.direction_sd_deg) * direction_normal
        return speed * np.cos(direction), speed * np.sin(direction)

    def _extend(self, device_ids: IntArray, last: FloatArray) -> FloatArray:
        """The next steps (m, _STEPS, 9) after the steps ``last`` (m, 9)."""
        step, memory = self._model.step_s, self._model.memory
        normals = np.stack([self._generators[k].standard_normal((_STEPS, 2)) for k in device_ids])  # each from its own stream
        innovation = np.sqrt(1.0 - memory**2)
        previous = last[:, 6:8]
        for i in range(_STEPS):  # a step depends on the last one
            previous = normals[:, i] = memory * previous + innovation * normals[:, i]
        mean_direction = np.repeat(last[:, 8:9], _STEPS, axis=1)
        velocity = np.stack(self._velocity(normals[..., 0], normals[..., 1], mean_direction), axis=-1)
        before = np.concatenate([last[:, None, 3:5], velocity[:, :-1]], axis=1)
        moved = np.concatenate([before, np.hypot(before[..., :1], before[..., 1:])], axis=-1) * step
        start = last[:, [1, 2, 5]]
        begin = (np.rint(last[:, :1] / step) + np.arange(1, _STEPS + 1)) * step
        path = np.add.accumulate(np.concatenate([start[:, None], moved], axis=1), axis=1)[:, 1:]
        return np.concatenate([begin[..., None], path[..., :2], velocity, path[..., 2:], normals, mean_direction[..., None]], axis=-1)


def _folded(position: FloatArray, length: float) -> FloatArray:
    """The image of a coordinate in [0, length] under mirrors at both ends."""
    return length - np.abs(np.mod(position, 2.0 * length) - length)
