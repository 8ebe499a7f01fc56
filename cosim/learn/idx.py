"""The IDX format of the MNIST family: unsigned bytes, gzip-compressed or not, behind a short big-endian header.

Header: two zero bytes, 0x08 (unsigned byte), the number of dimensions, then each dimension as a 4-byte integer.
Source: "The IDX file format", on the MNIST database's page (LeCun, Cortes, Burges).
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosim.errors import ScenarioError


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """The array in an IDX file of unsigned bytes, ``.gz`` or not. Raises ScenarioError that names the file and what is wrong."""
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix == ".gz" else data
    except (OSError, EOFError, zlib.error) as error:  # BadGzipFile is an OSError
        raise ScenarioError(f"{path}: cannot be read{' as a gzip file' if path.suffix == '.gz' else ''}: {error}") from error
    try:
        return parse_idx(data, dimensions)
    except ValueError as error:
        raise ScenarioError(f"{path}: {error}") from None


def parse_idx(data: bytes, dimensions: int) -> NDArray[np.uint8]:
    """The array in an uncompressed IDX file of unsigned bytes. Raises ValueError for anything else."""
    start = 4 + 4 * dimensions
    if len(data) < start:
        raise ValueError(f"IDX file of {len(data)} bytes is shorter than its header of {start} bytes")
    if data[:2] != b"\0\0" or data[2] != 0x08:
        raise ValueError(f"not an IDX file of unsigned bytes: begins with {data[:4].hex()}, must be 000008{dimensions:02x}")
    if data[3] != dimensions:
        raise ValueError(f"IDX file has {data[3]} dimensions, must have {dimensions}")
    shape = tuple(int(size) for size in np.frombuffer(data, ">u4", dimensions, offset=4))
    if len(data) - start != math.prod(shape):
        raise ValueError(f"IDX file of shape {shape} must hold {math.prod(shape)} bytes of data, holds {len(data) - start}")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)
