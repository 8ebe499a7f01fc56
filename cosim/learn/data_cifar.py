"""CIFAR-10 in its binary version."""

from __future__ import annotations

import tarfile
import zlib
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Final, final

import numpy as np
from numpy.typing import NDArray

from cosim.component import Component, ScenarioPath, quantity
from cosim.errors import ScenarioError
from cosim.learn.data_download import download, is_cached, user_cache
from cosim.learn.roles import ImageData, Images

ARCHIVE: Final = "cifar-10-binary.tar.gz"
CHECKSUMS: Final = MappingProxyType({ARCHIVE: "md5:c32a1d4ab5d03f1284b67883e8d87530"})
TRAIN_FILES: Final = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILE: Final = "test_batch.bin"
_INSIDE: Final = "cifar-10-batches-bin"
_RECORD: Final = 1 + 3 * 32 * 32
_MEAN: Final = np.array([0.4914, 0.4822, 0.4465], np.float32)[:, None, None]
_DEVIATION: Final = np.array([0.2470, 0.2435, 0.2616], np.float32)[:, None, None]
"""Of the pixels of the 50,000 training images, by channel, on a scale from 0 to 1."""


@final
class CIFAR10(Component):
    """50,000 training and 10,000 test colour images of 32 x 32 pixels in 10 classes; 0.7 GB in memory.

    The *binary version* (no pickles): records of a label byte and 3072 bytes, red, green, blue, row by row. ``folder`` holds the
    archive or its six .bin files; without one, the archive is looked for in the user's cache, to which it is downloaded at last.
    Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. The authors state no licence, and ask to be cited.
    """

    image_shape: ClassVar[tuple[int, int, int]] = (3, 32, 32)
    classes: ClassVar[int] = 10

    folder: ScenarioPath | None = quantity(None, "", "folder with cifar-10-binary.tar.gz or its .bin files; null: cache, then download")
    url: str = quantity("https://www.cs.toronto.edu/~kriz/", "", "where to download the archive from, when nothing is found")

    @property
    def at_hand(self) -> bool:
        """Whether nothing has to be downloaded."""
        return self.folder is not None or is_cached(CHECKSUMS, user_cache("cifar-10"))

    def load(self) -> ImageData:
        """Raises ScenarioError where the files cannot be found, downloaded or read."""
        source = self._source()
        train = [_read(source, name) for name in TRAIN_FILES]
        images, labels = (np.concatenate(parts) for parts in zip(*train, strict=True))
        return ImageData(images, labels, *_read(source, TEST_FILE))

    def _source(self) -> Path:
        """The archive, or the folder with all .bin files."""
        if self.folder is None:
            return download("CIFAR-10", self.url, CHECKSUMS, user_cache("cifar-10"))[0]
        for folder in (self.folder, self.folder / _INSIDE):
            if all((folder / name).is_file() for name in (*TRAIN_FILES, TEST_FILE)):
                return folder
        if (self.folder / ARCHIVE).is_file():
            return self.folder / ARCHIVE
        raise ScenarioError(
            f"learning.dataset.folder = {self.folder}: has neither {ARCHIVE} nor all of {', '.join((*TRAIN_FILES, TEST_FILE))}"
            " (the binary version; the Python version holds pickles and is not read)"
        )


def _read(source: Path, name: str) -> tuple[Images, NDArray[np.int64]]:
    """Images (n, 3, 32, 32), normalised, and labels (n,) of one .bin file in a folder or in the archive. Raises ScenarioError."""
    try:
        data = (source / name).read_bytes() if source.is_dir() else _member(source, f"{_INSIDE}/{name}")
    except (OSError, EOFError, KeyError, tarfile.TarError) as error:
        raise ScenarioError(f"{source}: {name} cannot be read: {error}") from error
    if not data or len(data) % _RECORD:
        raise ScenarioError(f"{source}: {name} has {len(data)} bytes, must have a multiple of {_RECORD} (a label and 3 x 32 x 32 pixels)")
    records = np.frombuffer(data, np.uint8).reshape(-1, _RECORD)
    labels = records[:, 0].astype(np.int64)
    if labels.max() > 9:
        raise ScenarioError(f"{source}: {name} has a label {labels.max()}, must be 0 to 9: not CIFAR-10's binary version")
    pixels = records[:, 1:].reshape(-1, 3, 32, 32).astype(np.float32)
    pixels /= np.float32(255.0)
    pixels -= _MEAN
    pixels /= _DEVIATION
    return pixels, labels


def _member(archive: Path, name: str) -> bytes:
    """A file's content; nothing is unpacked to disk."""
    try:
        with tarfile.open(archive, "r:gz") as files:
            content = files.extractfile(name)
            if content is None:
                raise KeyError(f"{name} is not a file")
            return content.read()
    except zlib.error as error:
        raise tarfile.ReadError(str(error)) from error
