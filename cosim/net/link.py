"""What the path-loss models share: arguments checked and brought to one shape, slant distances."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from cosim.interfaces import BoolArray, FloatArray, PathLoss


def broadcast(distance_2d_m: ArrayLike, los: ArrayLike) -> tuple[FloatArray, BoolArray]:
    """Distance and line-of-sight state in one shape; the distance may be written to."""
    distance, sight = np.broadcast_arrays(np.asarray(distance_2d_m, dtype=np.float64), np.asarray(los, dtype=np.bool_))
    return np.ascontiguousarray(distance).reshape(distance.shape), sight


def link(model: PathLoss, distance_2d_m: ArrayLike, los: ArrayLike) -> tuple[FloatArray, BoolArray]:
    """The same, or ValueError where a distance is outside the model's range."""
    distance, sight = broadcast(distance_2d_m, los)
    check(f"{type(model).__name__}: 2D distance", distance, *model.distance_range_m)
    return distance, sight


def check(what: str, value_m: ArrayLike, least_m: float, greatest_m: float) -> None:
    """Raise ValueError, naming the first value outside the range [m]."""
    value = np.asarray(value_m, dtype=np.float64)
    outside = ~((value >= least_m) & (value <= greatest_m))  # this way round, NaN is outside
    if outside.any():
        raise ValueError(f"{what}: {value[outside].flat[0]:g} m is outside {least_m:g} m to {greatest_m:g} m")


def slant_m(distance_2d_m: FloatArray, height_site_m: float, height_device_m: float) -> FloatArray:
    """3D distance between the antennas [m]."""
    return np.sqrt(distance_2d_m**2 + (height_site_m - height_device_m) ** 2)


def two_values(distance_2d_m: ArrayLike, los: ArrayLike, clear: float, blocked: float) -> FloatArray:
    """``clear`` in line of sight and ``blocked`` without."""
    _, sight = broadcast(distance_2d_m, los)
    return np.where(sight, clear, blocked)
