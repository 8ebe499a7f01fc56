"""Writing tables while a simulation runs: parts that can be read at any time, and after a kill.

A table is a directory ``DIR/<table>.parquet`` of parts ``part-NNNNN.parquet``. The newest part is rewritten
atomically until it holds ``PART_ROWS`` rows, then a new one begins, so the rows of one part per table are all that is in
memory.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cosim.errors import RunError, SimulationError
from cosim.trace.files import make_directory
from cosim.trace.invariants import Audit
from cosim.trace.parts import Parts, part_files, table_directory
from cosim.trace.schema import TABLE_NAMES, TABLES, Column, Table, TableName

FLUSH_INTERVAL_S: Final = 2.0
_NUMPY_TYPES: Final[Mapping[str, type]] = {"int64": np.int64, "float64": np.float64, "bool": np.bool_, "string": np.str_}


@final
class TraceWriter:
    """Writes the tables of one run directory.

    ``tables``: names of those this run keeps. Each starts as an empty part, so that it can be read at once. ``audit``: looks at
    rows before they are taken.
    Raises RunError when the directory cannot be written, or already holds one of the tables.
    """

    def __init__(
        self,
        directory: Path | str,
        tables: Collection[TableName] = ("rounds", "devices"),
        *,
        audit: Audit | None = None,
        keep_rounds: int | None = None,
        keep_device_rounds: int | None = None,
    ) -> None:
        directory = Path(directory)
        make_directory(directory, parents=True)
        self._audit = audit
        self._parts = {name: Parts(TABLES[name], table_directory(directory, name)) for name in TABLE_NAMES if name in tables}
        self._flushed_at_s = time.monotonic()
        if keep_rounds is None:
            self._refuse_existing()
        else:
            self._cut(keep_rounds, keep_rounds if keep_device_rounds is None else keep_device_rounds)
        self.flush(force=True)

    @classmethod
    def open_existing(
        cls, directory: Path | str, *, audit: Audit | None = None, keep_rounds: int, keep_device_rounds: int | None = None
    ) -> TraceWriter:
        """Go on with the tables of a run directory, rows of rounds >= ``keep_rounds`` forgotten.

        ``keep_device_rounds``: the same for the devices table, whose rows may come later than their round; default: equal.
        Parts are cut one by one, each atomically, so this too can be killed and done again. Raises RunError when there are
        no tables, a part is damaged, or the rounds 0 .. keep_rounds-1 are not all there.
        """
        found = [name for name in TABLE_NAMES if table_directory(Path(directory), name).is_dir()]
        if "rounds" not in found:
            raise RunError(f"{directory} holds no rounds table, so there is nothing to go on with")
        return cls(directory, found, audit=audit, keep_rounds=keep_rounds, keep_device_rounds=keep_device_rounds)

    def _refuse_existing(self) -> None:
        for parts in self._parts.values():
            if part_files(parts.directory):
                raise RunError(f"{parts.directory} already holds a table; choose another run directory")

    def _cut(self, rounds: int, device_rounds: int) -> None:
        kept = {name: parts.cut(device_rounds if name == "devices" else rounds) for name, parts in self._parts.items()}
        if kept["rounds"] != rounds:
            raise RunError(f"the rounds table holds {kept['rounds']} of the first {rounds} rounds: it is older than the checkpoint")
        if self._audit is not None:
            self._audit.go_on(self._parts["rounds"].newest("round", "t_start_s", "t_end_s"), device_rounds)

    @property
    def tables(self) -> tuple[TableName, ...]:
        """Names of the tables that this run keeps."""
        return tuple(self._parts)

    def append(self, table: TableName, columns: Mapping[str, ArrayLike]) -> None:
        """Add rows, best many at a time: arrays of one length (n,), scalars counting for every row; all scalars are one row.

        A float column left out is NaN. Raises ValueError for an unknown column, a column missing that
        cannot be NaN, a wrong type or unequal lengths; SimulationError for rows that no run can have (``cosim.trace.invariants``);
        RunError when a full part cannot be written.
        """
        if table not in self._parts:
            raise ValueError(f"this run keeps no table {table!r}; its tables: {', '.join(self._parts)}")
        parts = self._parts[table]
        arrays = _arrays(parts.table, columns)
        if self._audit is not None and (wrong := self._audit.violation(table, arrays)):
            raise SimulationError(f"{wrong}; a mistake in cosim or in a plugin, so these rows are not written")
        parts.append(arrays)

    def flush(self, *, force: bool = False) -> bool:
        """Put new rows on disk, unless that was done within the last 2 s of wall time; says whether it was done.

        Raises RunError when the disk is full or the directory cannot be written; parts written before stay.
        """
        if not force and time.monotonic() - self._flushed_at_s < FLUSH_INTERVAL_S:
            return False
        for parts in self._parts.values():
            parts.flush()
        self._flushed_at_s = time.monotonic()
        return True

    def close(self) -> None:
        """Put all rows on disk. Raises RunError as ``flush`` does."""
        self.flush(force=True)


def _arrays(table: Table, columns: Mapping[str, ArrayLike]) -> dict[str, NDArray[np.generic]]:
    unknown = sorted(set(columns) - set(table.column_names))
    if unknown:
        raise ValueError(f"table {table.name} has no column {', '.join(unknown)}; its columns: {', '.join(table.column_names)}")
    given = {name: np.asarray(values) for name, values in columns.items() if values is not None}
    count = _row_count(table, given)
    return {column.name: _array(table, column, given.get(column.name), count) for column in table.columns}


def _row_count(table: Table, given: Mapping[str, NDArray[Any]]) -> int:
    shapes = {name: values.shape for name, values in given.items()}
    if any(len(shape) > 1 for shape in shapes.values()):
        raise ValueError(f"table {table.name}: a column has one dimension, got shapes {shapes}")
    lengths = {name: shape[0] for name, shape in shapes.items() if shape}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"table {table.name}: columns differ in length: {lengths}")
    return next(iter(lengths.values()), 1)


def _array(table: Table, column: Column, given: NDArray[Any] | None, count: int) -> NDArray[np.generic]:
    """A column (count,) that is nobody else's."""
    if given is None:
        if column.default is not None:
            return np.full(count, column.default)
        if not column.nullable:
            raise ValueError(f"table {table.name}: column {column.name} is missing, and {column.dtype} has no NaN to stand in")
        return np.full(count, np.nan)
    if given.dtype == object and all(isinstance(value, str) for value in given.ravel()):
        given = given.astype(np.str_)
    if given.size and not _fits(given.dtype, column):
        raise ValueError(f"table {table.name}: column {column.name} is {column.dtype}, got {given.dtype}")
    array: NDArray[np.generic] = given.astype(_NUMPY_TYPES[column.dtype])
    return array if array.ndim else np.full(count, array)


def _fits(given: np.dtype[np.generic], column: Column) -> bool:
    if column.dtype == "string" or given.kind == "U":
        return column.dtype == "string" and given.kind == "U"
    return np.can_cast(given, _NUMPY_TYPES[column.dtype], casting="same_kind")
