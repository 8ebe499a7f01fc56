from dataclasses import replace

import numpy as np
import pytest

from cosim.errors import ScenarioError
from cosim.learn.partition_groups import Groups
from cosim.learn.roles import ImageData
from cosim.rng import Streams

WRITERS = np.array([7, 3, 3, 9, 7, 7, 1, 9, 1, 3])
TESTED = np.array([9, 7, 3, 1, 1])
DATA = ImageData(
    np.zeros((10, 1, 1, 1), np.float32), np.arange(10) % 2, np.zeros((5, 1, 1, 1), np.float32), np.arange(5) % 2, WRITERS, TESTED
)


def test_each_device_has_one_group_and_no_two_the_same():
    shares = Groups().deal(DATA, 4, Streams(0))
    groups = [np.unique(WRITERS[share]) for share in shares.train]
    assert sorted(group.item() for group in groups) == [1, 3, 7, 9]
    for group, train, test in zip(groups, shares.train, shares.test, strict=True):
        np.testing.assert_array_equal(train, np.flatnonzero(group == WRITERS))
        np.testing.assert_array_equal(test, np.flatnonzero(group == TESTED))


def test_devices_can_have_several_groups():
    shares = Groups(groups_per_device=2).deal(DATA, 2, Streams(0))
    assert [len(np.unique(WRITERS[share])) for share in shares.train] == [2, 2]
    np.testing.assert_array_equal(np.sort(np.concatenate(shares.train)), np.arange(10))
    np.testing.assert_array_equal(np.sort(np.concatenate(shares.test)), np.arange(5))


def test_a_share_does_not_depend_on_later_devices_but_on_the_seed():
    few, many = (Groups().deal(DATA, count, Streams(0)) for count in (2, 4))
    for one, other in zip(few.train, many.train, strict=False):
        np.testing.assert_array_equal(one, other)
    first = {Groups().deal(DATA, 1, Streams(seed)).train[0][0] for seed in range(20)}
    assert len(first) == 4


def test_what_cannot_be_dealt_is_told():
    with pytest.raises(ScenarioError, match="need 5 groups, the data have 4"):
        Groups().deal(DATA, 5, Streams(0))
    with pytest.raises(ScenarioError, match="the data have no groups; needed: "):
        Groups().deal(replace(DATA, train_groups=None), 1, Streams(0))
    with pytest.raises(ScenarioError, match="group 9 has no test sample"):
        Groups().deal(replace(DATA, test_groups=np.array([1, 7, 3, 1, 1])), 4, Streams(0))
