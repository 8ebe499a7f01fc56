import numpy as np
import pytest

from cosim.errors import ScenarioError
from cosim.learn.partition import IID, ClassesPerDevice
from cosim.learn.roles import ImageData
from cosim.rng import Streams

KINDS = [
    IID(samples_per_device=30, test_samples_per_device=7),
    ClassesPerDevice(classes=2, samples_per_device=30, test_samples_per_device=8),
    ClassesPerDevice(classes=3, samples_per_device=31, test_samples_per_device=8),
]


def data(train=1000, test=200, classes=10):
    def images(count):
        return np.zeros((count, 1, 1, 1), np.float32)

    return ImageData(images(train), np.arange(train) % classes, images(test), np.arange(test) % classes)


@pytest.mark.parametrize("partition", KINDS)
def test_shares_do_not_depend_on_later_devices(partition):
    few, many = partition.deal(data(), 7, Streams(1)), partition.deal(data(), 23, Streams(1))
    for one, other in ((few.train, many.train), (few.test, many.test)):
        for k in range(7):
            np.testing.assert_array_equal(one[k], other[k])


@pytest.mark.parametrize("partition", KINDS)
def test_shares_are_disjoint_until_the_images_are_used_up(partition):
    shares = partition.deal(data(), 30, Streams(1))
    everything = np.concatenate(shares.train)
    assert len(everything) == 30 * partition.samples_per_device
    # 30 devices are three or nine whole decks: every class is used alike, and nearly all of it
    assert len(np.unique(everything)) == len(everything)


def test_fifty_devices_with_two_classes_use_every_image_exactly_once():
    shares = ClassesPerDevice(samples_per_device=20, test_samples_per_device=4).deal(data(), 50, Streams(2))
    np.testing.assert_array_equal(np.sort(np.concatenate(shares.train)), np.arange(1000))
    np.testing.assert_array_equal(np.sort(np.concatenate(shares.test)), np.arange(200))


@pytest.mark.parametrize("classes", [1, 2, 3, 7, 10])
def test_devices_have_so_many_classes_and_are_tested_on_the_same(classes):
    everything = data()
    shares = ClassesPerDevice(classes=classes, samples_per_device=21, test_samples_per_device=21).deal(everything, 40, Streams(5))
    for train, test in zip(shares.train, shares.test, strict=True):
        had, counts = np.unique(everything.train_labels[train], return_counts=True)
        assert len(had) == classes
        assert counts.max() - counts.min() <= 1
        np.testing.assert_array_equal(had, np.unique(everything.test_labels[test]))


def test_a_class_that_is_used_up_starts_over():
    everything = data(train=100)  # ten images of each class, five devices per deck
    shares = ClassesPerDevice(samples_per_device=20).deal(everything, 10, Streams(0))
    used, counts = np.unique(np.concatenate(shares.train), return_counts=True)
    np.testing.assert_array_equal(used, np.arange(100))
    np.testing.assert_array_equal(counts, 2)


def test_seeds_move_the_shares():
    partition = ClassesPerDevice()
    one, other = partition.deal(data(), 3, Streams(1)), partition.deal(data(), 3, Streams(2))
    assert any(not np.array_equal(a, b) for a, b in zip(one.train, other.train, strict=True))


def test_iid_shares_have_all_classes():
    everything = data(train=10_000)
    share = IID(samples_per_device=2000).deal(everything, 1, Streams(0)).train[0]
    counts = np.bincount(everything.train_labels[share])
    # hypergeometric: standard deviation sqrt(2000 * 0.1 * 0.9 * 0.8) = 12; five of them
    assert np.abs(counts - 200).max() < 60


def test_impossible_partitions_are_refused():
    with pytest.raises(ValueError, match="the data have 10 classes"):
        ClassesPerDevice(classes=11).check(10)
    with pytest.raises(ValueError, match="more than the images of a device"):
        ClassesPerDevice(classes=3, test_samples_per_device=2).check(10)
    with pytest.raises(ScenarioError, match="no image of a class"):
        ClassesPerDevice(classes=10).deal(data(test=5), 1, Streams(0))
