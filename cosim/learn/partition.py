"""Partitions: which images each device has. Shares depend on the device and those before it, never on later ones."""

from __future__ import annotations

from typing import Any, Final, Literal, final

import numpy as np
from pydantic import Field

from cosim.component import Component, quantity
from cosim.errors import ScenarioError
from cosim.interfaces import FloatArray, IntArray
from cosim.learn.roles import ImageData, Shares
from cosim.rng import Streams

_TRAIN: Final = 1
_TEST: Final = 2
_HANDS: Final = 3
_SIZES: Final = 4
_PROPORTIONS: Final = 5


@final
class Sizes(Component):
    """Quantity skew: how far devices differ in their number n_k of training images; half of them have more than the usual number n.

        log_normal: n_k = n e^(spread z_k), z_k standard normal        power_law: n_k = n (2 u_k)^-spread, u_k uniform in (0, 1)

    rounded, at least ``minimum`` and at most the size of the training set. The power law is Pareto's with exponent 1/spread.
    Test shares keep their size, so that the devices' accuracies are equally precise.
    """

    spread: float = quantity(0.0, "", "standard deviation of ln n_k; 0: all alike", ge=0, le=5)
    distribution: Literal["log_normal", "power_law"] = quantity("log_normal", "", "of n_k")
    minimum: int = quantity(10, "", "training images that each device has at least", ge=1, le=1_000_000)

    def draw(self, usual: int, available: int, devices: int, streams: Streams) -> IntArray:
        """n_k (devices,)."""
        if not self.spread:
            return np.full(devices, usual)
        from scipy.special import ndtri

        chance = np.maximum(streams.uniform("data", devices, _SIZES), 1e-12)
        exponent = self.spread * (ndtri(chance) if self.distribution == "log_normal" else -np.log(2.0 * chance))
        sizes = np.rint(usual * np.exp(np.minimum(exponent, 50.0)))
        return np.asarray(np.clip(sizes, self.minimum, max(self.minimum, available)), np.int64)


def _samples(default: int, which: str) -> Any:
    return quantity(default, "", f"{which} images of each device", ge=1, le=1_000_000)


def _sizes() -> Any:
    return Field(default_factory=Sizes, description="how far devices differ in their number of training images")


@final
class IID(Component):
    """Every device draws from all classes alike: consecutive pieces of one random permutation.

    Shares are disjoint until the images are used up; then the permutation starts over, and devices share images.
    """

    samples_per_device: int = _samples(200, "training")
    test_samples_per_device: int = _samples(100, "test")
    sizes: Sizes = _sizes()

    def check(self, classes: int) -> None:
        """Any number of classes will do."""

    def deal(self, data: ImageData, devices: int, streams: Streams) -> Shares:
        """Indices of each device's training and test images."""
        sizes = self.sizes.draw(self.samples_per_device, len(data.train_labels), devices, streams)
        train = _cycle(np.arange(len(data.train_labels)), int(sizes.sum()), streams, _TRAIN)
        test = _cycle(np.arange(len(data.test_labels)), self.test_samples_per_device * devices, streams, _TEST)
        return Shares(tuple(np.split(train, np.cumsum(sizes)[:-1])), tuple(test.reshape(devices, -1)))


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
    sizes: Sizes = _sizes()

    def check(self, classes: int) -> None:
        """Raises ValueError if devices were to have more classes than there are, or fewer images than classes."""
        if self.classes > classes:
            raise ValueError(f"partition.classes = {self.classes}: the data have {classes} classes")
        if self.classes > min(self.samples_per_device, self.test_samples_per_device):
            raise ValueError(f"partition.classes = {self.classes}: more than the images of a device")
        if self.sizes.spread and self.classes > self.sizes.minimum:
            raise ValueError(f"partition.classes = {self.classes}: more than the images of the smallest device, sizes.minimum")

    def deal(self, data: ImageData, devices: int, streams: Streams) -> Shares:
        """Indices of each device's training and test images."""
        hands = _deal_classes(devices, self.classes, int(data.train_labels.max()) + 1, streams.generator("data", _HANDS))
        sizes = self.sizes.draw(self.samples_per_device, len(data.train_labels), devices, streams)
        tests = np.full(devices, self.test_samples_per_device)
        return Shares(
            _take(data.train_labels, hands, _evenly(sizes, self.classes), streams, _TRAIN),
            _take(data.test_labels, hands, _evenly(tests, self.classes), streams, _TEST),
        )


@final
class Dirichlet(Component):
    """Label skew: device k has the classes in random proportions p_k of its own, and is tested on the same.

        p_k ~ Dirichlet(alpha C f),    counts of its n_k training images ~ Multinomial(n_k, p_k)

    C: number of classes, f: their frequencies in the training data; where all are equally frequent, p_k ~ Dirichlet(alpha, ..., alpha).
    alpha -> 0: one class per device; alpha -> inf: IID. Hsu, Qi and Brown, "Measuring the Effects of Non-Identical Data Distribution
    for Federated Visual Classification", arXiv 1909.06335, sec. 3; their alpha is C times this one. Proportions and counts come
    from the device's own stream. Within a class devices take consecutive pieces of a random permutation of its images, disjoint
    until the class is used up; then the permutation starts over, and devices share images. (Splitting each class over all devices, as in
    Yurochkin et al., ICML 2019, would make every share depend on the number of devices.) Test counts are the
    training counts scaled to the test share and rounded by largest remainders: a class that is not trained is not tested.
    """

    alpha: float = quantity(0.5, "", "concentration: the smaller, the fewer classes dominate a device", gt=0, le=1e6)
    samples_per_device: int = _samples(200, "training")
    test_samples_per_device: int = _samples(100, "test")
    sizes: Sizes = _sizes()

    def check(self, classes: int) -> None:
        """Any number of classes will do."""

    def deal(self, data: ImageData, devices: int, streams: Streams) -> Shares:
        """Indices of each device's training and test images."""
        frequency = np.bincount(data.train_labels) / len(data.train_labels)
        sizes = self.sizes.draw(self.samples_per_device, len(data.train_labels), devices, streams)
        counts = np.empty((devices, len(frequency)), np.int64)
        for device in range(devices):  # each has a stream of its own
            rng = streams.generator("data", _PROPORTIONS, device)
            counts[device] = rng.multinomial(sizes[device], _dirichlet(self.alpha * len(frequency) * frequency, rng))
        tests = np.array([_scaled(row, self.test_samples_per_device) for row in counts])  # largest remainders row by row
        hands = np.tile(np.arange(len(frequency)), (devices, 1))
        return Shares(_take(data.train_labels, hands, counts, streams, _TRAIN), _take(data.test_labels, hands, tests, streams, _TEST))


def _dirichlet(alpha: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Dirichlet proportions from gamma variables in logarithms: G(a) = G(a + 1) U^(1/a), which no small a makes underflow."""
    with np.errstate(divide="ignore"):
        logs = np.log(rng.standard_gamma(alpha + 1.0)) + np.where(alpha > 0, np.log(1.0 - rng.random(len(alpha))) / alpha, -np.inf)
    shares = np.exp(logs - logs.max())
    return np.asarray(shares / shares.sum())


def _scaled(counts: IntArray, total: int) -> IntArray:
    """Counts in the same proportions that sum to ``total``, by largest remainders; the first of equal ones goes first."""
    exact = counts * (total / counts.sum())
    scaled = np.floor(exact + 1e-9).astype(np.int64)
    scaled[np.argsort(scaled - exact, kind="stable")[: total - scaled.sum()]] += 1
    return np.asarray(scaled)


def _evenly(sizes: IntArray, hand: int) -> IntArray:
    """Images (devices, hand) of each class of a device, the first ones getting one more where it does not divide."""
    return np.asarray(sizes[:, None] // hand + (np.arange(hand) < sizes[:, None] % hand))


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


def _take(labels: IntArray, hands: IntArray, quota: IntArray, streams: Streams, which: int) -> tuple[IntArray, ...]:
    """Indices for each device: ``quota`` (devices, hand) images of each of its classes ``hands`` (devices, hand), in that order."""
    starts = np.cumsum(quota, axis=1) - quota
    shares = tuple(np.empty(size, np.int64) for size in quota.sum(axis=1).tolist())
    for label in np.unique(hands).tolist():
        device, place = np.nonzero((hands == label) & (quota > 0))
        sizes = quota[device, place]
        taken = _cycle(np.flatnonzero(labels == label), int(sizes.sum()), streams, which, label) if len(sizes) else sizes
        for k, start, part in zip(device, starts[device, place], np.split(taken, np.cumsum(sizes)[:-1]), strict=False):  # uneven quotas
            shares[k][start : start + len(part)] = part
    return shares


def _cycle(indices: IntArray, count: int, streams: Streams, *key: int) -> IntArray:
    """The first ``count`` of a random permutation of ``indices`` that is repeated without end."""
    if len(indices) == 0:
        raise ScenarioError("learning.partition: the data have no image of a class that is to be dealt")
    return streams.generator("data", *key).permutation(indices)[np.arange(count) % len(indices)]
