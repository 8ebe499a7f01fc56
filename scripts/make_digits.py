# noqa: INP001 - a script, not a package
"""Make cosim/learn/assets/digits.npz from scikit-learn's digits, which must be installed: python scripts/make_digits.py."""

from __future__ import annotations

import numpy as np
from make_fashion_mnist_small import write
from numpy.typing import NDArray

from cosim.learn.data import DIGITS_FILE

TRAIN = 1437


def digits() -> dict[str, NDArray[np.uint8]]:
    """The arrays of the data set: the first 1437 of 1797 images to train, the others to test."""
    from sklearn.datasets import load_digits

    found = load_digits()
    images, labels = found.images.astype(np.uint8), found.target.astype(np.uint8)
    return {
        "train_images": images[:TRAIN],
        "train_labels": labels[:TRAIN],
        "test_images": images[TRAIN:],
        "test_labels": labels[TRAIN:],
    }


if __name__ == "__main__":
    write(digits(), DIGITS_FILE)
