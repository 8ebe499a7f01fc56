"""Partitions: which images each device has. Shares depend on the device and those before it, never on later ones."""

from __future__ import annotations

from typing import Any, Final, final

import numpy as np

from cosim.component import Component, quantity
from cosim.errors import ScenarioError
from cosim.interfaces import IntArray
from cosim.learn.roles import ImageData, Shares
from cosim.rng import Streams

_TRAIN: Final = 1
_TEST: Final = 2
_HANDS: Final = 3


def _samples(default: int, which: str) -> Any:
    return quantity(default, "", f"{which} images of each device", ge=1, le=1_000_000)


@final
class IID(Component):
    """Every device draws from all classes alike: consecutive pieces of one random permutation.

    Shares are disjoint until the images are used up; then the permutation starts over, and devices share images.
    """

    samples_per_device: int = _samples(200, "training")
    test_samples_per_device: int = _samples(100, "test")

    def check(self, classes: int) -> None:
        """Any number of classes will do."""

    def deal(self, data: ImageData, devices: int, streams: Streams) -> Shares:
        """Indices of each device's training and test images."""
        train = _cycle(np.arange(len(data.train_labels)), self.samples_per_device * devices, streams, _TRAIN)
        test = _cycle(np.arange(len(data.test_labels)), self.test_samples_per_device * devices, streams, _TEST)
        return Shares(tuple(train.reshape(devices, -1)), tuple(test.reshape(devices, -1)))


@final
class ClassesPerDevice(Component):
    """Label skew: each device has images of a few classes only, about equally many of each, and is tested on the same.

    Classes are dealt like cards from a shuffled deck of all classes, one deck after another, no class twice to one
    device: after every whole number of decks all classes are equally frequent. Within a class devices take
    consecutive pieces of a random permutation of its images, disjoint until the class is used up; then the
    permutation starts over, and devices share images. Pathological split of McMahan et al., AISTATS 2017, sec. 3.
    """

    classes: int = quantity(2, "", "classes of each device", ge=1, le=1000)
    samples_per_device: int = _samples(200, "training")
    test_samples_per_device: int = _samples(100, "test")

    def check(self, classes: int) -> None:
        """Raises ValueError if devices were to have more classes than there are, or fewer images than classes."""
        if self.classes > classes:
            raise ValueError(f"partition.classes = {self.classes}: the data have {classes} classes")
        if self.classes > min(self.samples_per_device, self.test_samples_per_device):
            raise ValueError(f"partition.classes = {self.classes}: more than the images of a device")

    def deal(self, data: ImageData, devices: int, streams: Streams) -> Shares:
        """Indices of each device's training and test images."""
        hands = _deal_classes(devices, self.classes, int(data.train_labels.max()) + 1, streams.generator("data", _HANDS))
        return Shares(
            _take(data.train_labels, hands, self.samples_per_device, streams, _TRAIN),
            _take(data.test_labels, hands, self.test_samples_per_device, streams, _TEST),
        )


def _deal_classes(devices: int, hand: int, classes: int, rng: np.random.Generator) -> IntArray:
    """Classes (devices, hand) of each device: what is left of a deck, then the next deck, its repetitions put off."""
    deck: list[int] = []
    hands = np.empty((devices, hand), np.int64)
    for device in range(devices):  # what a device gets depends on what those before it have taken
        if len(deck) < hand:
            fresh = rng.permutation(classes).tolist()
            deck = [*deck, *(card for card in fresh if card not in deck), *(card for card in fresh if card in deck)]
        hands[device], deck = deck[:hand], deck[hand:]
    return hands


def _take(labels: IntArray, hands: IntArray, samples: int, streams: Streams, which: int) -> tuple[IntArray, ...]:
    """Indices for each device: ``samples`` split over its classes, the first ones getting one more where it does not divide."""
    devices, hand = hands.shape
    quota = samples // hand + (np.arange(hand) < samples % hand)
    pieces = np.empty((devices, samples), np.int64)
    ends = np.cumsum(quota)
    for label in np.unique(hands).tolist():
        device, place = np.nonzero(hands == label)
        taken = _cycle(np.flatnonzero(labels == label), int(quota[place].sum()), streams, which, label)
        for k, end, part in zip(device, ends[place], np.split(taken, np.cumsum(quota[place])[:-1]), strict=True):  # uneven quotas
            pieces[k, end - len(part) : end] = part
    return tuple(pieces)


def _cycle(indices: IntArray, count: int, streams: Streams, *key: int) -> IntArray:
    """The first ``count`` of a random permutation of ``indices`` that is repeated without end."""
    if len(indices) == 0:
        raise ScenarioError("partition: the data have no image of a class that is to be dealt")
    return streams.generator("data", *key).permutation(indices)[np.arange(count) % len(indices)]
