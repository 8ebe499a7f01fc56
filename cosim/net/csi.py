"""What the planner knows of the channel, and in which sense it means its rates."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import numpy as np

from cosim.component import Component

if TYPE_CHECKING:
    from cosim.interfaces import Fading, FloatArray, GainSource, IntArray
    from cosim.rate import Rate
    from cosim.rng import Streams


@final
class Ergodic(Component):
    """Mean gains (path loss and shadowing), planned with the rate averaged over the small-scale fading.

    Right where a round spans many coherence times of the channel.
    """

    def observe(self, channel: GainSource, time_s: float, device_ids: IntArray, streams: Streams) -> FloatArray:  # noqa: ARG002
        """Mean linear gain (n,) at ``time_s``."""
        return np.asarray(channel.mean_gain(np.array([time_s]), device_ids)[0])

    def planning_rate(self, rate: Rate, fading: Fading) -> Rate:
        """``rate`` averaged over the fading, in terms of the mean gain's SNR."""
        return fading.ergodic(rate)


@final
class Snapshot(Component):
    """The instantaneous gain, small-scale fading included. Right only where the channel stays as it is for a round."""

    def observe(self, channel: GainSource, time_s: float, device_ids: IntArray, streams: Streams) -> FloatArray:  # noqa: ARG002
        """Instantaneous linear gain (n,) at ``time_s``."""
        return np.asarray(channel.gain(np.array([time_s]), device_ids)[0])

    def planning_rate(self, rate: Rate, fading: Fading) -> Rate:  # noqa: ARG002
        """``rate`` as it is."""
        return rate
