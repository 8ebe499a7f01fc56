"""How fast devices compute, and how far a round strays from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, final

import numpy as np
from pydantic import model_validator

from cosim.component import Component, quantity

if TYPE_CHECKING:
    from cosim.interfaces import FloatArray
    from cosim.rng import Streams


class Processor(Component):
    """Abstract: what every kind says of the devices' processors."""

    frequency_low_hz: float = quantity(1.0e9, "Hz", "least clock frequency; each device's is uniform in the range", gt=0)
    frequency_high_hz: float = quantity(2.0e9, "Hz", "greatest clock frequency", gt=0)
    flops_per_cycle: float = quantity(4.0, "FLOP/cycle", "floating-point operations per clock cycle", gt=0)
    capacitance: float = quantity(1.0e-28, "J s^2/cycle^3", "effective switched capacitance: energy = capacitance x cycles x f^2", ge=0)

    @model_validator(mode="after")
    def _range(self) -> Self:
        if self.frequency_low_hz > self.frequency_high_hz:
            raise ValueError(f"frequency_low_hz {self.frequency_low_hz:g} Hz is above frequency_high_hz {self.frequency_high_hz:g} Hz")
        return self

    def frequency_hz(self, devices: int, streams: Streams) -> FloatArray:
        """Clock frequency of devices 0 .. devices-1; stream ("compute",), device k its k-th draw."""
        return self.frequency_low_hz + streams.uniform("compute", devices) * (self.frequency_high_hz - self.frequency_low_hz)


@final
class Constant(Processor):
    """Compute time is always the nominal one."""

    @property
    def mean_factor(self) -> float:
        """Mean of the straggler factor: 1."""
        return 1.0

    def factor(self, round_index: int, devices: int, streams: Streams) -> FloatArray:  # noqa: ARG002 - the protocol's arguments
        """Straggler factor of devices 0 .. devices-1: 1."""
        return np.ones(devices)


@final
class ShiftedExponential(Processor):
    """Compute time is nominal x (1 + X), X exponential, drawn anew for every device and round.

    Source: the model usual in coded computing, Lee et al., "Speeding Up Distributed Machine Learning Using
    Codes", IEEE Trans. Inf. Theory 64(3), 2018, section III.
    """

    mean: float = quantity(0.5, "", "mean of X, the delay in units of the nominal time", ge=0)

    @property
    def mean_factor(self) -> float:
        """Mean of the straggler factor: 1 + mean."""
        return 1.0 + self.mean

    def factor(self, round_index: int, devices: int, streams: Streams) -> FloatArray:
        """Straggler factor 1 - mean ln(1 - u) of devices 0 .. devices-1; stream ("compute", round), device k its k-th draw."""
        return 1.0 - self.mean * np.log1p(-streams.uniform("compute", devices, round_index))


@final
class Pareto(Processor):
    """Compute time is nominal x X, X Pareto with least value 1, drawn anew for every device and round: a few take very long.

        P(X > x) = x^-shape for x >= 1, mean shape / (shape - 1)

    Heavy-tailed service times as measured in clusters: Dean and Barroso, "The Tail at Scale", CACM 56(2), 2013; the law as in
    Aktas, Peng, Soljanin, "Straggler Mitigation by Delayed Relaunch of Tasks", SIGMETRICS Perf. Eval. Rev. 45(3), 2018.
    """

    shape: float = quantity(2.5, "", "exponent of the tail; the variance is infinite up to 2", gt=1, le=1e3)

    @property
    def mean_factor(self) -> float:
        """Mean of the straggler factor: shape / (shape - 1)."""
        return self.shape / (self.shape - 1.0)

    def factor(self, round_index: int, devices: int, streams: Streams) -> FloatArray:
        """Straggler factor (1 - u)^(-1/shape) of devices 0 .. devices-1; stream ("compute", round), device k its k-th draw."""
        return np.asarray((1.0 - streams.uniform("compute", devices, round_index)) ** (-1.0 / self.shape))
