"""A user's own data in an .npz file."""

from __future__ import annotations

import zipfile
from functools import cache
from pathlib import Path
from typing import IO, Final, Literal, Self, final

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from cosim.component import Component, ScenarioPath, quantity
from cosim.errors import ScenarioError
from cosim.learn.roles import ImageData

NEEDED: Final = ("train_images", "train_labels", "test_images", "test_labels")
GROUPS: Final = ("train_groups", "test_groups")


@final
class NPZ(Component):
    """Any labelled samples in an .npz file with the arrays train_images, train_labels, test_images, test_labels.

    Images: (n, features), (n, height, width), or (n, channels, height, width), last the other way round with ``channels: last``;
    numbers of any type. Features become images of height 1. Labels: whole numbers from 0, (n,) or (n, 1). Optional arrays
    train_groups and test_groups (n,), whole numbers: for the partition ``groups``. Images are normalised to mean 0 and standard
    deviation 1 over the training set, by channel; features each by itself. Other arrays are ignored; pickled objects are not read.
    """

    file: ScenarioPath = quantity(..., "", "the .npz file")
    channels: Literal["first", "last"] = quantity("first", "", "where arrays of four dimensions have their channels")

    @model_validator(mode="after")
    def _readable(self) -> Self:
        """Headers and labels must fit each other; images are not read."""
        _peek(self.file, self.channels, _version(self.file))
        return self

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width), from the header of train_images."""
        return _peek(self.file, self.channels, _version(self.file))[0]

    @property
    def classes(self) -> int:
        """One more than the largest label."""
        return _peek(self.file, self.channels, _version(self.file))[1]

    def load(self) -> ImageData:
        """Raises ScenarioError if the images cannot be read, or are not finite."""
        try:
            with np.load(self.file, allow_pickle=False) as arrays:
                found = {name: arrays[name] for name in (*NEEDED, *GROUPS) if name in arrays.files}
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise ScenarioError(f"learning.dataset.file = {self.file}: cannot be read: {error}") from error
        train, test = (_as_images(found[f"{which}_images"], self.channels) for which in ("train", "test"))
        for images, which in ((train, "train_images"), (test, "test_images")):
            if not np.isfinite(images).all():
                raise ScenarioError(f"learning.dataset.file = {self.file}: {which} contains NaN or infinite values")
        axes = (0,) if found["train_images"].ndim == 2 else (0, 2, 3)
        mean, deviation = train.mean(axis=axes, keepdims=True, dtype=np.float64), train.std(axis=axes, keepdims=True, dtype=np.float64)
        scale = np.where(deviation > 0, deviation, 1.0)
        labels = [found[name].reshape(-1).astype(np.int64) for name in ("train_labels", "test_labels")]
        groups = [found[name].reshape(-1).astype(np.int64) if name in found else None for name in GROUPS]
        normalised = [((images - mean) / scale).astype(np.float32) for images in (train, test)]
        return ImageData(normalised[0], labels[0], normalised[1], labels[1], *groups)


def _version(path: Path) -> tuple[int, int]:
    """What changes when the file does."""
    state = path.stat()
    return state.st_mtime_ns, state.st_size


@cache
def _peek(path: Path, channels: str, version: tuple[int, int]) -> tuple[tuple[int, int, int], int]:  # noqa: ARG001 - part of the cache's key
    """(image shape, classes). Raises ValueError if the file is not what NPZ says."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.removesuffix(".npy") for name in archive.namelist()}
            if missing := [name for name in NEEDED if name not in names]:
                raise ValueError(f"{path}: has no array {missing[0]}; needed: {', '.join(NEEDED)}; there are: {', '.join(sorted(names))}")
            if len(names & set(GROUPS)) == 1:
                raise ValueError(f"{path}: needs both {' and '.join(GROUPS)}, or neither")
            shapes = {name: _header(archive, name) for name in (*NEEDED, *sorted(names & set(GROUPS)))}
            labels = {name: _array(archive, name) for name in shapes if "labels" in name}
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: cannot be read as an .npz file: {error}") from error
    shape = _check_shapes(shapes, channels, path)
    for name, values in labels.items():
        if values.dtype.kind not in "iu" or values.min() < 0:
            raise ValueError(f"{path}: {name} ({values.dtype}) must be whole numbers from 0")
    classes = int(max(values.max() for values in labels.values())) + 1
    if classes > 100_000:
        raise ValueError(f"{path}: the largest label is {classes - 1}: not a class")
    return shape, classes


def _check_shapes(shapes: dict[str, tuple[int, ...]], channels: str, path: Path) -> tuple[int, int, int]:
    """The images' shape. Raises ValueError unless training and test images are alike, and all else is one for each of them."""
    train, test = (_image_shape(shapes[f"{which}_images"], channels, f"{path}: {which}_images") for which in ("train", "test"))
    if train != test:
        raise ValueError(f"{path}: train_images are {train} (channels, height, width), test_images {test}")
    for name, found in shapes.items():
        which = name.partition("_")[0]
        count = shapes[f"{which}_images"][0]
        if "images" not in name and found not in {(count,), (count, 1)}:
            raise ValueError(f"{path}: {name} has shape {found}, must be {(count,)}: one for each of {which}_images")
        if not count:
            raise ValueError(f"{path}: {which}_images is empty")
    return train


def _image_shape(shape: tuple[int, ...], channels: str, where: str) -> tuple[int, int, int]:
    match shape[1:]:
        case (features,):
            return 1, 1, features
        case (height, width):
            return 1, height, width
        case (first, second, third):
            return (first, second, third) if channels == "first" else (third, first, second)
    raise ValueError(f"{where} has shape {shape}, must be (n, features), (n, height, width) or (n, channels, height, width)")


def _as_images(array: NDArray[np.generic], channels: str) -> NDArray[np.floating]:
    """(n, channels, height, width), no digits lost: normalisation takes away what all have in common."""
    if array.ndim == 4 and channels == "last":
        array = np.moveaxis(array, 3, 1)
    return array.astype(np.promote_types(array.dtype, np.float32)).reshape(len(array), *_image_shape(array.shape, "first", "images"))


def _header(archive: zipfile.ZipFile, name: str) -> tuple[int, ...]:
    """An array's shape, without its data."""
    with archive.open(f"{name}.npy") as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    if dtype.kind not in "biuf":
        raise ValueError(f"{archive.filename}: {name} holds {dtype}, must hold numbers")
    return tuple(shape)


def _array(archive: zipfile.ZipFile, name: str) -> NDArray[np.generic]:
    file: IO[bytes]
    with archive.open(f"{name}.npy") as file:
        found: NDArray[np.generic] = np.lib.format.read_array(file, allow_pickle=False)
    return found
