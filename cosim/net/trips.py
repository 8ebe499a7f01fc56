"""Trips in a straight line at one speed, with a pause at the end: what several kinds of mobility are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from cosim.interfaces import Motion

if TYPE_CHECKING:
    from cosim.interfaces import FloatArray, IntArray
    from cosim.net.timeline import Timeline

TRIPS: Final = 16
"""Trips drawn at once per device."""


def motion_along(timeline: Timeline, times_s: FloatArray, device_ids: IntArray) -> Motion:
    """Motion (T, n) at times (T,) of devices (n,) whose records are trips. Most devices make one trip all the while."""
    if not (times_s.size and device_ids.size):
        return motion_on(timeline.at(times_s, device_ids), times_s)
    trips, changing = timeline.lasting(times_s, device_ids)
    motion = motion_on(trips[None], times_s)
    if changing.size:
        exact = motion_on(timeline.at(times_s, device_ids[changing]), times_s)
        for name in ("x_m", "y_m", "speed_m_s", "travelled_m"):
            getattr(motion, name)[:, changing] = getattr(exact, name)
    return motion


def motion_on(trips: FloatArray, times_s: FloatArray) -> Motion:
    """Motion (T, n) at times (T,) on the trips (T, n, 9), or (1, n, 9), under way.

    A trip: begin [s], from x, y and to x, y [m], length [m], speed [m/s], path travelled before it [m], end of the
    pause after it [s].
    """
    begin, from_x, from_y, to_x, to_y, length, speed, travelled, _ = np.moveaxis(trips, -1, 0)
    reach = (times_s[:, None] - begin) * speed
    moving = reach < length
    progress = np.where(moving, reach, length)
    part = progress / np.where(length > 0.0, length, 1.0)
    return Motion(
        x_m=from_x + (to_x - from_x) * part,
        y_m=from_y + (to_y - from_y) * part,
        speed_m_s=np.where(moving, speed, 0.0),
        travelled_m=travelled + progress,
    )
