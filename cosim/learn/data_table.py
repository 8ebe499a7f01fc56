"""A table of features with a column of labels, in a CSV or Parquet file."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, final

import numpy as np
from pydantic import model_validator

from cosim.component import Component, ScenarioPath, quantity
from cosim.errors import ScenarioError, counted, did_you_mean
from cosim.interfaces import FloatArray, IntArray
from cosim.learn.roles import ImageData
from cosim.rng import Streams

if TYPE_CHECKING:
    import pyarrow as pa

_SPLIT: Final = Streams(0)
"""Which rows are for testing belongs to the data: it is the same for every seed."""


@final
class Table(Component):
    """Rows of a CSV or Parquet file: number columns are the features, one column is the label.

    A row becomes an image of shape (1, 1, features), each feature standardised to mean 0 and standard deviation 1 over the training rows.
    Labels may be text or whole numbers: classes are the distinct values in ascending order. Of each class, and of each group where there
    are groups, ``test_fraction`` of the rows are for testing, at least one of two; drawn at random, but alike for every seed.
    """

    file: ScenarioPath = quantity(..., "", "the .csv or .parquet file; its first line, or its schema, names the columns")
    label: str = quantity(..., "", "column with the label")
    features: tuple[str, ...] = quantity((), "", "columns with the features; none: all others", strict=False)
    group: str | None = quantity(None, "", "column with the group of each row, for the partition groups")
    test_fraction: float = quantity(0.2, "", "share of the rows that is for testing", gt=0, lt=1)

    @model_validator(mode="after")
    def _readable(self) -> Self:
        """Columns must exist; of the data, only the labels are read."""
        _peek(self.file, self.label, self.features, self.group, _version(self.file))
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The features' columns, in their order."""
        return _peek(self.file, self.label, self.features, self.group, _version(self.file))[0]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(1, 1, features)."""
        return 1, 1, len(self.columns)

    @property
    def classes(self) -> int:
        """Number of distinct labels."""
        return len(_peek(self.file, self.label, self.features, self.group, _version(self.file))[1])

    def load(self) -> ImageData:
        """Raises ScenarioError if a value is missing or is not a number."""
        columns = self.columns
        try:
            table = _read(self.file, (*columns, self.label, *([self.group] if self.group else [])))
            values = np.column_stack([_numbers(table, name, self.file) for name in columns])
            labels = _codes(table, self.label, self.file)
            groups = _codes(table, self.group, self.file) if self.group else None
        except ValueError as error:
            raise ScenarioError(f"learning.dataset.file = {error}") from error
        test = _test_rows(labels if groups is None else groups, self.test_fraction)
        mean, deviation = values[~test].mean(axis=0), values[~test].std(axis=0)
        images = ((values - mean) / np.where(deviation > 0, deviation, 1.0)).astype(np.float32)[:, None, None, :]
        parts = (None, None) if groups is None else (groups[~test], groups[test])
        return ImageData(images[~test], labels[~test], images[test], labels[test], *parts)


def _test_rows(strata: IntArray, fraction: float) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which rows are for testing: a share of each stratum, of two or more rows at least one, never all."""
    chance = _SPLIT.uniform("data", len(strata))
    order = np.lexsort((chance, strata))
    sizes = np.bincount(strata)
    rank = np.empty(len(strata), np.int64)
    rank[order] = np.arange(len(strata)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    wanted = np.clip(np.rint(fraction * sizes), np.minimum(1, sizes - 1), np.maximum(sizes - 1, 0))
    return np.asarray(rank < wanted[strata])


def _version(path: Path) -> tuple[int, int]:
    """What changes when the file does."""
    state = path.stat()
    return state.st_mtime_ns, state.st_size


@cache
def _peek(
    path: Path,
    label: str,
    features: tuple[str, ...],
    group: str | None,
    version: tuple[int, int],  # noqa: ARG001 - part of the cache's key
) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    """(feature columns, classes). Raises ValueError if the table is not what Table says."""
    names = _names(path)
    for role, name in (("label", label), ("group", group), *(("features", name) for name in features)):
        if name is not None and name not in names:
            shown = f"{', '.join(names[:12])}{', ...' if len(names) > 12 else ''}"
            raise ValueError(f"{path}: has no column {name!r} ({role}); there are: {shown}{did_you_mean(name, names)}")
    if label in features or label == group or group in features or len(set(features)) < len(features):
        raise ValueError(f"{path}: label, group and features must be different columns")
    columns = features or tuple(name for name in names if name not in {label, group})
    if not columns:
        raise ValueError(f"{path}: has no feature column besides {label!r}")
    table = _read(path, (label,))
    if not len(table):
        raise ValueError(f"{path}: has no rows")
    return columns, tuple(_classes(table, label, path))


def _names(path: Path) -> list[str]:
    if path.suffix == ".parquet":
        import pyarrow as pa
        from pyarrow import parquet

        try:
            return list(parquet.read_schema(path).names)
        except (OSError, pa.ArrowException) as error:
            raise ValueError(f"{path}: cannot be read as a Parquet file: {_first_line(error)}") from error
    if path.suffix != ".csv":
        raise ValueError(f"{path}: must end in .csv or .parquet")
    import csv

    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            names = next(csv.reader(file), [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: cannot be read as a CSV file: {_first_line(error)}") from error
    if not names or len(set(names)) < len(names):
        raise ValueError(f"{path}: the first line must name the columns, each differently")
    return names


def _read(path: Path, columns: tuple[str, ...]) -> pa.Table:
    """Some columns. Raises ValueError."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    try:
        if path.suffix == ".parquet":
            return parquet.read_table(path, columns=list(columns))
        return csv.read_csv(path, convert_options=csv.ConvertOptions(include_columns=list(columns)))
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"{path}: cannot be read: {_first_line(error)}") from error


def _column(table: pa.Table, name: str, path: Path) -> pa.ChunkedArray:
    """A column without missing values; empty text, as a CSV file has it for want of a value, is one. Raises ValueError."""
    column = table.column(name)
    cells = column.to_pylist() if column.null_count or column.type == "string" else ()
    missing = [row for row, value in enumerate(cells) if value is None or value == ""]
    if missing:
        values = counted(len(missing), "missing value")
        raise ValueError(f"{path}: column {name!r} has {values}, the first in row {missing[0]}; fill or drop them")
    return column


def _numbers(table: pa.Table, name: str, path: Path) -> FloatArray:
    """A feature column as float64. Raises ValueError naming column and row."""
    values = _column(table, name, path).to_numpy()
    if values.dtype.kind not in "biuf":
        kind = table.column(name).type
        raise ValueError(f"{path}: feature column {name!r} holds {kind}, must hold numbers; name the columns in dataset.features")
    if not np.isfinite(values.astype(np.float64)).all():
        raise ValueError(f"{path}: column {name!r} contains NaN or infinite values")
    return np.asarray(values, np.float64)


def _classes(table: pa.Table, name: str, path: Path) -> list[Any]:
    """Distinct values of a column in ascending order. Raises ValueError for missing values and fractions."""
    found = _column(table, name, path).unique().to_pylist()
    if any(isinstance(value, float) and not value.is_integer() for value in found):
        raise ValueError(f"{path}: column {name!r} holds fractions; labels and groups must be text or whole numbers")
    return sorted(found)


def _codes(table: pa.Table, name: str, path: Path) -> IntArray:
    """Each row's place among the distinct values."""
    place = {value: index for index, value in enumerate(_classes(table, name, path))}
    encoded = table.column(name).combine_chunks().dictionary_encode()
    codes = np.array([place[value] for value in encoded.dictionary.to_pylist()], np.int64)
    return np.asarray(codes[encoded.indices.to_numpy()])


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
