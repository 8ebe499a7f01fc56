"""Data sets. Images come as float32 (n, 1, 28, 28), normalised to mean 0 and standard deviation 1 over the training set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Final, final

import numpy as np
from numpy.typing import NDArray

from cosim.component import Component, ScenarioPath, quantity
from cosim.errors import ScenarioError
from cosim.learn.idx import read_idx
from cosim.learn.roles import ImageData

FILES: Final = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
SYSTEM_FOLDER: Final = Path("/usr/share/datasets/fashion-mnist")
SMALL_FILE: Final = Path(__file__).parent / "assets" / "fashion_mnist_small.npz"

_MEAN: Final = 0.2860
_DEVIATION: Final = 0.3530
"""Of the pixels of the 60,000 training images, on a scale from 0 to 1."""

CHECKSUMS: Final[Mapping[str, str]] = MappingProxyType(
    dict(
        zip(
            FILES,
            (
                "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                "md5:25c81989df183df01b3e8a0aad5dffbe",
                "md5:bef4ecab320f06d8554ea6380940ec79",
                "md5:bb300cfdad3c16e7a12a480ee83cd310",
            ),
            strict=True,
        )
    )
)
"""Of the files that the authors publish. (Debian's are compressed again and have others.)"""


@final
class FashionMNISTSmall(Component):
    """The first 1000 training and 200 test images of each class of Fashion-MNIST, in the original order; comes with cosim.

    Source: Xiao, Rasul and Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
    Algorithms", arXiv 1708.07747. MIT licence, (c) 2017 Zalando SE.
    """

    image_shape: ClassVar[tuple[int, int, int]] = (1, 28, 28)
    classes: ClassVar[int] = 10

    def load(self) -> ImageData:
        """10,000 training and 2,000 test images."""
        with np.load(SMALL_FILE, allow_pickle=False) as arrays:
            return _normalised(arrays["train_images"], arrays["train_labels"], arrays["test_images"], arrays["test_labels"])


@final
class FashionMNIST(Component):
    """All 60,000 training and 10,000 test images of Fashion-MNIST.

    Looked for in ``folder``, if given; else in the folder of Debian's package dataset-fashion-mnist, then in the
    user's cache, to which they are downloaded at last. Source: as FashionMNISTSmall.
    """

    image_shape: ClassVar[tuple[int, int, int]] = (1, 28, 28)
    classes: ClassVar[int] = 10

    folder: ScenarioPath | None = quantity(None, "", "folder with the four IDX files; null: search, then download")
    url: str = quantity("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/", "", "where to download from, when nothing is found")

    def load(self) -> ImageData:
        """Raises ScenarioError where the files cannot be found, downloaded or read."""
        train_images, train_labels, test_images, test_labels = (read_idx(path, 3 if "images" in path.name else 1) for path in self._paths())
        for images, labels, which in ((train_images, train_labels, "training"), (test_images, test_labels, "test")):
            if images.shape != (len(labels), 28, 28) or labels.max(initial=0) >= self.classes:
                raise ScenarioError(f"Fashion-MNIST: {which} images {images.shape} and labels {labels.shape} do not belong together")
        return _normalised(train_images, train_labels, test_images, test_labels)

    def _paths(self) -> list[Path]:
        if self.folder is not None:
            missing = [name for name in FILES if not (self.folder / name).is_file()]
            if missing:
                raise ScenarioError(f"dataset.folder = {self.folder}: has no file {missing[0]}; needed: {', '.join(FILES)}")
            return [self.folder / name for name in FILES]
        if all((SYSTEM_FOLDER / name).is_file() for name in FILES):
            return [SYSTEM_FOLDER / name for name in FILES]
        import pooch

        return download(self.url, CHECKSUMS, Path(pooch.os_cache("cosim")) / "fashion-mnist")


def download(url: str, checksums: Mapping[str, str], cache: Path) -> list[Path]:
    """The four files in ``cache``, fetched from ``url`` where they are not there yet or not whole.

    ``checksums``: "algorithm:digest" of each. Raises ScenarioError if they cannot be had, or are not what they should be.
    """
    import pooch

    store = pooch.create(cache, base_url=url, registry=dict(checksums))
    try:
        return [Path(store.fetch(name)) for name in FILES]
    except (OSError, ValueError) as error:  # requests' errors are OSErrors; a wrong checksum is a ValueError
        raise ScenarioError(
            f"Fashion-MNIST: cannot be downloaded from {url}: {error}; put the files in a folder and name it in"
            " dataset.folder, or use dataset.kind fashion_mnist_small, which comes with cosim"
        ) from error


def _normalised(*arrays: NDArray[np.uint8]) -> ImageData:
    """Train images, train labels, test images, test labels, from bytes."""
    images = [(array[:, None].astype(np.float32) / 255.0 - _MEAN) / _DEVIATION for array in arrays[::2]]
    labels = [array.astype(np.int64) for array in arrays[1::2]]
    return ImageData(images[0], labels[0], images[1], labels[1])
