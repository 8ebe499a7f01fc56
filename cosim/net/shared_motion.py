"""One motion for the worlds around many sites."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import numpy as np

from cosim.interfaces import Motion, Visits

if TYPE_CHECKING:
    from cosim.interfaces import FloatArray, IntArray, Trajectories
    from cosim.net.wrap import Torus


@final
class SharedMotion:
    """Trajectories that remember their last answer, since every site asks the same question; folded onto a torus if there is one.

    Speeds and paths travelled are those of the motion in the plane.
    """

    def __init__(self, trajectories: Trajectories, torus: Torus | None) -> None:
        self._trajectories, self._torus = trajectories, torus
        self._question: tuple[FloatArray, IntArray] | None = None
        self._answer: Motion

    def at(self, times_s: FloatArray, device_ids: IntArray) -> Motion:
        """Motion at times (T,) of devices (n,); times >= 0 in any order."""
        question = self._question
        if question is None or not (np.array_equal(question[0], times_s) and np.array_equal(question[1], device_ids)):
            self._answer, self._question = self._find(times_s, device_ids), (times_s.copy(), device_ids.copy())
        return self._answer

    def _find(self, times_s: FloatArray, device_ids: IntArray) -> Motion:
        found = self._trajectories.at(times_s, device_ids)
        if self._torus is None:
            return found
        return Motion(*self._torus.folded(found.x_m, found.y_m), found.speed_m_s, found.travelled_m)

    def presence_s(self, device_ids: IntArray) -> tuple[FloatArray, FloatArray]:
        """(first, last) as in ``Visits``; always, for devices that neither come nor go."""
        if isinstance(self._trajectories, Visits):
            return self._trajectories.presence_s(device_ids)
        return np.zeros(device_ids.size), np.full(device_ids.size, np.inf)
