"""A partition that the data bring along: writers, sensors, sites, values of a table's column."""

from __future__ import annotations

from typing import Final, final

import numpy as np

from cosim.component import Component, quantity
from cosim.errors import ScenarioError
from cosim.interfaces import IntArray
from cosim.learn.roles import ImageData, Shares
from cosim.rng import Streams

_GROUPS: Final = 6


@final
class Groups(Component):
    """Each device has the samples of one group of the data, or of a few, and is tested on the test samples of the same.

    Groups are those of ``dataset.group`` (a column of a table) or of the arrays ``train_groups`` and ``test_groups`` of an .npz file.
    Which device has which is a random permutation of all groups, dealt in turn.
    """

    groups_per_device: int = quantity(1, "", "groups of each device", ge=1, le=1_000_000)

    def check(self, classes: int) -> None:
        """Any number of classes will do."""

    def deal(self, data: ImageData, devices: int, streams: Streams) -> Shares:
        """Indices of each device's samples. Raises ScenarioError if there are no groups, too few, or one without samples."""
        if data.train_groups is None or data.test_groups is None:
            raise ScenarioError(
                "learning.partition.kind: the data have no groups; needed: dataset.kind table with a column"
                " named in dataset.group, or dataset.kind npz with arrays train_groups and test_groups"
            )
        names = np.unique(np.concatenate([data.train_groups, data.test_groups]))
        if devices * self.groups_per_device > len(names):
            raise ScenarioError(
                f"learning.partition.groups_per_device = {self.groups_per_device}: {devices} devices need"
                f" {devices * self.groups_per_device} groups, the data have {len(names)}; lower devices.count or groups_per_device"
            )
        order = streams.generator("data", _GROUPS).permutation(names)[: devices * self.groups_per_device]
        return Shares(self._shares(data.train_groups, order, "training"), self._shares(data.test_groups, order, "test"))

    def _shares(self, groups: IntArray, order: IntArray, which: str) -> tuple[IntArray, ...]:
        """Indices of each device, group after group, in the order of the data."""
        by_group = np.argsort(groups, kind="stable")
        begins, ends = np.searchsorted(groups[by_group], order, "left"), np.searchsorted(groups[by_group], order, "right")
        if (empty := begins == ends).any():
            raise ScenarioError(f"learning.partition.kind: group {order[empty][0]} has no {which} sample")
        pieces = [by_group[begin:end] for begin, end in zip(begins, ends, strict=True)]
        step = self.groups_per_device
        return tuple(np.concatenate(pieces[first : first + step]) for first in range(0, len(pieces), step))
