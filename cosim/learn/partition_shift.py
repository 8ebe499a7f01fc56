"""A partition whose devices see the same things differently: feature shift."""

from __future__ import annotations

from typing import Annotated, Final, final

import numpy as np

from cosim.catalog import Node, default
from cosim.component import Component, quantity
from cosim.errors import ScenarioError
from cosim.interfaces import IntArray
from cosim.learn.roles import ImageData, Images, Partition, Shares
from cosim.rng import Streams

_DOMAINS: Final = 7
_NOISE: Final = 8


@final
class FeatureShift(Component):
    """Feature skew: devices belong to domains that see their images turned, brighter or noisier; labels are as ``of`` deals them.

        domain d of D sees image x as  rotate(x, a_d rotation_deg) + a_d brightness + a_d noise z,    a_d = d / (D - 1),  z ~ N(0, 1)

    Domain 0 sees the images as they are; the default has four domains turned by 0, 90, 180 and 270 degrees, the Rotated MNIST of Ghosh
    et al., NeurIPS 2020, sec. 6; noise by domain is in Li et al., ICDE 2022, sec. 4.2. Brightness and noise are in standard deviations
    of the training set. Domains are dealt like cards, each deck shuffled; test images are seen as the training images are. An image
    has the same noise for all devices of a domain. Other angles than whole quarters are interpolated linearly.

    Memory: each pair of domain and image that is dealt is kept once: at most D times the data set, and at most what is dealt.
    """

    of: Annotated[Partition, Node("partition", brief=True)] = default("partition", "iid")
    domains: int = quantity(4, "", "number of domains; as many as devices: each its own", ge=2, le=1_000_000)
    rotation_deg: float = quantity(270.0, "deg", "angle of the last domain, counter-clockwise", ge=0, le=360)
    brightness: float = quantity(0.0, "", "added by the last domain, in standard deviations", ge=-100, le=100)
    noise: float = quantity(0.0, "", "standard deviation of the last domain's noise, in standard deviations", ge=0, le=100)

    def check(self, classes: int) -> None:
        """Raises ValueError if ``of`` cannot deal so many classes."""
        self.of.check(classes)

    def deal(self, data: ImageData, devices: int, streams: Streams) -> Shares:
        """The shares of ``of``, and the images as the devices see them."""
        if self.rotation_deg and min(data.train_images.shape[2:]) == 1:
            raise ScenarioError(
                f"learning.partition.rotation_deg = {self.rotation_deg:g}: samples without height cannot be turned; set it to 0"
            )
        shares = self.of.deal(data, devices, streams)
        source = data if shares.data is None else shares.data
        decks, rng = -(-devices // self.domains), streams.generator("data", _DOMAINS)
        domains = np.concatenate([rng.permutation(self.domains) for _ in range(decks)])[:devices]
        train, train_rows, train_index = self._seen(source.train_images, shares.train, domains, streams, 0)
        test, test_rows, test_index = self._seen(source.test_images, shares.test, domains, streams, 1)
        seen = ImageData(train, source.train_labels[train_rows], test, source.test_labels[test_rows])
        return Shares(train_index, test_index, seen)

    def _seen(
        self, images: Images, shares: tuple[IntArray, ...], domains: IntArray, streams: Streams, which: int
    ) -> tuple[Images, IntArray, tuple[IntArray, ...]]:
        """Images as seen, which image of the data set each is, and the devices' indices among them, in order of first use."""
        sizes = [len(share) for share in shares]
        pairs = np.repeat(domains, sizes) * len(images) + np.concatenate(shares)
        _, first, inverse = np.unique(pairs, return_index=True, return_inverse=True)
        rank = np.argsort(np.argsort(first))
        domain, rows = np.divmod(pairs[np.sort(first)], len(images))
        seen = np.empty((len(rows), *images.shape[1:]), np.float32)
        for d in np.unique(domain).tolist():
            chosen = domain == d
            seen[chosen] = self._shifted(images[rows[chosen]], rows[chosen], d, streams, which)
        return seen, rows, tuple(np.split(rank[inverse], np.cumsum(sizes)[:-1]))

    def _shifted(self, images: Images, rows: IntArray, domain: int, streams: Streams, which: int) -> Images:
        share = domain / (self.domains - 1)
        seen = _rotated(images, share * self.rotation_deg) + np.float32(share * self.brightness)
        if share * self.noise:
            for index, row in enumerate(rows.tolist()):  # each image has a stream of its own
                rng = streams.generator("data", _NOISE, which, domain, row)
                seen[index] += np.float32(share * self.noise) * rng.standard_normal(seen.shape[1:], np.float32)
        return seen


def _rotated(images: Images, angle_deg: float) -> Images:
    """Images (n, channels, height, width) turned counter-clockwise about their centre; what comes in from outside is the nearest edge."""
    quarters = round(angle_deg / 90)
    if abs(angle_deg - 90 * quarters) < 1e-6 and (quarters % 2 == 0 or images.shape[2] == images.shape[3]):
        return np.rot90(images, quarters, axes=(2, 3)).copy()
    from scipy.ndimage import rotate

    turned: Images = rotate(images, angle_deg, axes=(3, 2), reshape=False, order=1, mode="nearest")
    return turned
