"""Pruners that go by position: a sub-model has a window of each layer's units, whatever their weights are."""

from __future__ import annotations

from typing import Literal, final

import numpy as np
from numpy.typing import NDArray

from cosim.component import Component, quantity
from cosim.learn.layers import Vector
from cosim.learn.pruner import MULTIPLE, Granularity
from cosim.learn.rotation import NONE, Rotation

_GRANULARITY = "units: whole filters and hidden units (structured), or single weights in the order of a layer's weights"


@final
class Ordered(Component):
    """The first units of each layer: narrower networks lie inside wider ones. Nobody has to send a mask, and the last units train least.

    Sources: Diao et al., "HeteroFL", ICLR 2021 (without its scaler and its static batch normalisation: networks here have group
    normalisation); Horvath et al., "FjORD: Ordered Dropout", NeurIPS 2021 (one width per device and round, no distillation).
    """

    granularity: Granularity = quantity("structured", "", _GRANULARITY)
    multiple: int = quantity(8, "", MULTIPLE, ge=1, le=65_536)

    @property
    def side(self) -> Literal["server"]:
        """Both sides can count."""
        return "server"

    @property
    def scope(self) -> Literal["layer"]:
        """Positions in different layers do not compare."""
        return "layer"

    @property
    def turning(self) -> Rotation:
        """The window stays."""
        return NONE

    @property
    def common(self) -> bool:
        """Positions are the same for all devices."""
        return True

    @property
    def gradient_memory(self) -> None:
        """No gradient is needed."""
        return

    def importance(self, weights: Vector, gradient: Vector | None, rng: np.random.Generator) -> NDArray[np.floating]:  # noqa: ARG002 - role
        """0, -1, -2, ... (N,): what comes first is more important."""
        return _falling(len(weights))


@final
class Rolling(Component):
    """A window of consecutive units of each layer that moves on in each round, round and round, so that all units are trained alike.

    In round s it begins at unit ``step`` s mod n of a layer of n units. Source: Alam et al., "FedRolex", NeurIPS 2022, eq. 4. There
    all devices begin at the same unit (``together``). ``apart``: windows of devices 0, 1, 2, ... lie one behind the other, so that enough
    devices with one ratio keep everything in one round: see ``rotation.Rotation``.
    """

    granularity: Granularity = quantity("structured", "", _GRANULARITY)
    multiple: int = quantity(8, "", MULTIPLE, ge=1, le=65_536)
    step: int = quantity(1, "", "units by which the window moves from round to round", ge=0, le=65_536)
    devices: Literal["together", "apart"] = quantity("together", "", "where devices' windows are in a round: in one place, or side by side")

    @property
    def side(self) -> Literal["server"]:
        """Both sides can count."""
        return "server"

    @property
    def scope(self) -> Literal["layer"]:
        """Positions in different layers do not compare."""
        return "layer"

    @property
    def turning(self) -> Rotation:
        """Everything that is kept rotates."""
        return Rotation(share=1.0, step=self.step, apart=self.devices == "apart")

    @property
    def common(self) -> bool:
        """Positions are the same for all devices."""
        return True

    @property
    def gradient_memory(self) -> None:
        """No gradient is needed."""
        return

    def importance(self, weights: Vector, gradient: Vector | None, rng: np.random.Generator) -> NDArray[np.floating]:  # noqa: ARG002 - role
        """0, -1, -2, ... (N,): the order in which the window goes."""
        return _falling(len(weights))


def _falling(count: int) -> NDArray[np.floating]:
    return -np.arange(count, dtype=np.float64)
