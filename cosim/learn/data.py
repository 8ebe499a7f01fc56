"""Grey images: the MNIST family and the digits. They come as float32 (n, 1, height, width), normalised over the training set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Final, final

import numpy as np
from numpy.typing import NDArray

from cosim.component import Component, ScenarioPath, quantity
from cosim.errors import ScenarioError
from cosim.learn.data_download import download, is_cached, user_cache
from cosim.learn.idx import read_idx
from cosim.learn.roles import ImageData

FILES: Final = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
ARRAYS: Final = ("train_images", "train_labels", "test_images", "test_labels")
SYSTEM_FOLDER: Final = Path("/usr/share/datasets/fashion-mnist")
MNIST_SYSTEM_FOLDER: Final = Path("/usr/share/datasets/mnist")
SMALL_FILE: Final = Path(__file__).parent / "assets" / "fashion_mnist_small.npz"
DIGITS_FILE: Final = Path(__file__).parent / "assets" / "digits.npz"

_FASHION: Final = (0.2860, 0.3530)
_MNIST: Final = (0.1307, 0.3081)
_DIGITS: Final = (0.3054, 0.3755)
"""Mean and standard deviation of the training pixels, on a scale from 0 to 1."""

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
MNIST_CHECKSUMS: Final[Mapping[str, str]] = MappingProxyType(
    dict(
        zip(
            FILES,
            (
                "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873",
                "md5:d53e105ee54ea40749a09fcbcd1e9432",
                "md5:9fb629c4189551a2d022fa330f9573f3",
                "md5:ec29112dd5afa0611ce80d1b7f02629c",
            ),
            strict=True,
        )
    )
)


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
            return _normalised(tuple(arrays[name] for name in ARRAYS), 255.0, _FASHION)


@final
class FashionMNIST(Component):
    """All 60,000 training and 10,000 test images of Fashion-MNIST.

    Looked for in ``folder``, if given; else in the folder of Debian's package dataset-fashion-mnist, then in the
    user's cache, to which they are downloaded at last. Source and licence: as FashionMNISTSmall.
    """

    image_shape: ClassVar[tuple[int, int, int]] = (1, 28, 28)
    classes: ClassVar[int] = 10

    folder: ScenarioPath | None = quantity(None, "", "folder with the four IDX files, .gz or not; null: search, then download")
    url: str = quantity("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/", "", "where to download from, when nothing is found")

    @property
    def at_hand(self) -> bool:
        """Whether nothing has to be downloaded."""
        return _at_hand(self.folder, SYSTEM_FOLDER, CHECKSUMS, "fashion-mnist")

    def load(self) -> ImageData:
        """Raises ScenarioError where the files cannot be found, downloaded or read."""
        paths = _in_folder(self.folder) or _in_folder(SYSTEM_FOLDER, needed=False)
        paths = paths or download("Fashion-MNIST", self.url, CHECKSUMS, user_cache("fashion-mnist"))
        return _normalised(_read("Fashion-MNIST", paths), 255.0, _FASHION)


@final
class MNIST(Component):
    """All 60,000 training and 10,000 test images of MNIST, handwritten digits of 28 x 28 pixels.

    Looked for in ``folder``, if given; else in /usr/share/datasets/mnist, then in the user's cache, to which they are
    downloaded at last. Source: LeCun, Bottou, Bengio and Haffner, Proc. IEEE 86(11), 1998. Licence of the data: CC BY-SA 3.0.
    """

    image_shape: ClassVar[tuple[int, int, int]] = (1, 28, 28)
    classes: ClassVar[int] = 10

    folder: ScenarioPath | None = quantity(None, "", "folder with the four IDX files, .gz or not; null: search, then download")
    url: str = quantity("https://ossci-datasets.s3.amazonaws.com/mnist/", "", "where to download from, when nothing is found")

    @property
    def at_hand(self) -> bool:
        """Whether nothing has to be downloaded."""
        return _at_hand(self.folder, MNIST_SYSTEM_FOLDER, MNIST_CHECKSUMS, "mnist")

    def load(self) -> ImageData:
        """Raises ScenarioError where the files cannot be found, downloaded or read."""
        paths = _in_folder(self.folder) or _in_folder(MNIST_SYSTEM_FOLDER, needed=False)
        paths = paths or download("MNIST", self.url, MNIST_CHECKSUMS, user_cache("mnist"))
        return _normalised(_read("MNIST", paths), 255.0, _MNIST)


@final
class Digits(Component):
    """1797 handwritten digits of 8 x 8 pixels, 17 levels of grey: 1437 to train, the last 360 to test; comes with cosim.

    The digits of scikit-learn (``sklearn.datasets.load_digits``), in its order. Small enough for tests and for a thousand devices.
    Source: Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998. CC BY 4.0.
    """

    image_shape: ClassVar[tuple[int, int, int]] = (1, 8, 8)
    classes: ClassVar[int] = 10

    def load(self) -> ImageData:
        """1437 training and 360 test images."""
        with np.load(DIGITS_FILE, allow_pickle=False) as arrays:
            return _normalised(tuple(arrays[name] for name in ARRAYS), 16.0, _DIGITS)


def _at_hand(folder: Path | None, system_folder: Path, checksums: Mapping[str, str], cache: str) -> bool:
    return folder is not None or bool(_in_folder(system_folder, needed=False)) or is_cached(checksums, user_cache(cache))


def _in_folder(folder: Path | None, *, needed: bool = True) -> list[Path]:
    """The four files in a folder, compressed or not; none if there is no folder. Raises ScenarioError if a needed one is missing."""
    if folder is None:
        return []
    found = [next((path for path in (folder / name, folder / name.removesuffix(".gz")) if path.is_file()), None) for name in FILES]
    if None in found and needed:
        missing = FILES[found.index(None)]
        raise ScenarioError(f"learning.dataset.folder = {folder}: has no file {missing}; needed, with .gz or without: {', '.join(FILES)}")
    return [] if None in found else [path for path in found if path is not None]


def _read(title: str, paths: list[Path]) -> tuple[NDArray[np.uint8], ...]:
    """Train images, train labels, test images, test labels. Raises ScenarioError if they do not belong together."""
    train_images, train_labels, test_images, test_labels = (read_idx(path, 3 if "images" in path.name else 1) for path in paths)
    for images, labels, which in ((train_images, train_labels, "training"), (test_images, test_labels, "test")):
        if not len(labels) or images.shape != (len(labels), 28, 28) or labels.max() >= 10:
            raise ScenarioError(f"{title}: {which} images {images.shape} and labels {labels.shape} do not belong together")
    return train_images, train_labels, test_images, test_labels


def _normalised(arrays: tuple[NDArray[np.uint8], ...], white: float, statistics: tuple[float, float]) -> ImageData:
    """Train images, train labels, test images, test labels, from bytes up to ``white``."""
    mean, deviation = statistics
    images = [(array[:, None].astype(np.float32) / np.float32(white) - np.float32(mean)) / np.float32(deviation) for array in arrays[::2]]
    labels = [array.astype(np.int64) for array in arrays[1::2]]
    return ImageData(images[0], labels[0], images[1], labels[1])
