# noqa: INP001 - a script, not a package
"""Make cosim/learn/assets/fashion_mnist_small.npz from the full Fashion-MNIST: python scripts/make_fashion_mnist_small.py FOLDER.

Keeps the first 1000 training and 200 test images of each class, in the original order. The same input gives the same
bytes: members carry a fixed date and are compressed by LZMA, which numpy reads like any other .npz.
"""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosim.learn.data import FILES, SMALL_FILE, SYSTEM_FOLDER
from cosim.learn.idx import read_idx

TRAIN_PER_CLASS = 1000
TEST_PER_CLASS = 200


def first_of_each_class(labels: NDArray[np.uint8], count: int) -> NDArray[np.int64]:
    """Indices, ascending, of the first ``count`` images of each class."""
    return np.sort(np.concatenate([np.flatnonzero(labels == label)[:count] for label in range(10)]))


def subset(folder: Path) -> dict[str, NDArray[np.uint8]]:
    """The arrays of the small data set, from the four IDX files in ``folder``."""
    arrays = {}
    for which, images_name, labels_name, count in (("train", *FILES[:2], TRAIN_PER_CLASS), ("test", *FILES[2:], TEST_PER_CLASS)):
        images, labels = read_idx(folder / images_name, 3), read_idx(folder / labels_name, 1)
        chosen = first_of_each_class(labels, count)
        arrays |= {f"{which}_images": images[chosen], f"{which}_labels": labels[chosen]}
    return arrays


def write(arrays: dict[str, NDArray[np.uint8]], path: Path) -> None:
    """Write an .npz whose bytes depend on the arrays alone."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0)), member.getvalue(), zipfile.ZIP_LZMA)


if __name__ == "__main__":
    write(subset(Path(sys.argv[1]) if len(sys.argv) > 1 else SYSTEM_FOLDER), SMALL_FILE)
