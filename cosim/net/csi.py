"""What the planner knows of the channel, and in which sense it means its rates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, final

import numpy as np

from cosim.catalog import Node, default
from cosim.component import Component, quantity
from cosim.interfaces import CSI
from cosim.units import from_db

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


@final
class Stale(Component):
    """A gain as it was some time ago: what a report tells that took ``age_s`` to arrive. Before t = 0 it is that at 0."""

    of: Annotated[CSI, Node("csi", brief=True)] = default("csi", "ergodic")
    age_s: float = quantity(1.0, "s", "age of the gain", ge=0)

    def observe(self, channel: GainSource, time_s: float, device_ids: IntArray, streams: Streams) -> FloatArray:
        """What ``of`` observed (n,) at max(t - age, 0)."""
        return self.of.observe(channel, max(time_s - self.age_s, 0.0), device_ids, streams)

    def planning_rate(self, rate: Rate, fading: Fading) -> Rate:
        """That of ``of``."""
        return self.of.planning_rate(rate, fading)


@final
class Noisy(Component):
    """A gain with a log-normal estimation error: normal in dB with mean 0, independent between devices and observations.

    A device's error depends on the device and on the time of the observation alone; stream ("csi", bits of the time), device k
    its k-th draw, so errors inside ``stale`` are those of the time of measurement.
    """

    of: Annotated[CSI, Node("csi", brief=True)] = default("csi", "ergodic")
    sigma_db: float = quantity(3.0, "dB", "standard deviation of the error", ge=0, le=100)

    def observe(self, channel: GainSource, time_s: float, device_ids: IntArray, streams: Streams) -> FloatArray:
        """What ``of`` observes (n,), times 10^(sigma z / 10), z standard normal."""
        from scipy.special import ndtri  # SciPy takes half a second to load: not before it is needed

        when = int(np.float64(time_s).view(np.int64))
        uniform = streams.uniform("csi", int(device_ids.max(initial=-1)) + 1, when)[device_ids]
        return self.of.observe(channel, time_s, device_ids, streams) * from_db(self.sigma_db * ndtri(uniform + 2.0**-54))

    def planning_rate(self, rate: Rate, fading: Fading) -> Rate:
        """That of ``of``."""
        return self.of.planning_rate(rate, fading)


@final
class Outage(Component):
    """The mean gain less a margin: a device's rate, averaged over its upload, falls short of the plan with a given probability.

        g' = m g,   m: ``cosim.net.averaging.outage_margin`` of the gain's spread over a window that begins ``lag_s`` after the gain was

    The plan then takes R(B, m s) for the eps-quantile of the rate's time-average, R the ergodic rate. Where R is linear in the
    gain, which it is at low SNR, that is so by definition of m; at high SNR it is near it, for windows of few fades on the safe
    side, since R already pays for fades that m pays for again. m -> 1 as the window spans more and more fades and nothing drifts.

    Valid where ``of`` gives mean gains (``ergodic``, also stale or noisy) at the time ``age_s`` ago; a change of the line-of-sight
    state and the path loss's own trend are not allowed for. Deadlines that devices miss by computing longer are another matter.
    """

    of: Annotated[CSI, Node("csi", brief=True)] = default("csi", "ergodic")
    outage: float = quantity(0.05, "", "probability that the average rate of an upload is less than planned", gt=0, lt=0.5)
    window_s: float = quantity(1.0, "s", "duration of an upload: the time over which the rate is averaged", gt=0)
    lag_s: float = quantity(0.0, "s", "age of the gain when the upload begins: that of ``of``, and the download and computing", ge=0)

    def observe(self, channel: GainSource, time_s: float, device_ids: IntArray, streams: Streams) -> FloatArray:
        """What ``of`` observes (n,), times the margin of each device at its present speed."""
        from cosim.net.averaging import outage_margin

        spread = channel.spread(time_s, self.lag_s, self.window_s, device_ids)
        margin = outage_margin(self.outage, spread.fading_variance, spread.drift_db)
        return self.of.observe(channel, time_s, device_ids, streams) * margin

    def planning_rate(self, rate: Rate, fading: Fading) -> Rate:
        """That of ``of``."""
        return self.of.planning_rate(rate, fading)
