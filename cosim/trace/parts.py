"""One table on disk: a directory of Parquet parts, the newest rewritten atomically until it is full."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias, final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cosim.errors import RunError
from cosim.trace.files import make_directory, replace_atomically
from cosim.trace.schema import Table, TableName

Columns: TypeAlias = Mapping[str, NDArray[Any]]
PART_ROWS: Final = 32_768


def table_directory(directory: Path, name: TableName) -> Path:
    """Where a table's parts lie."""
    return directory / f"{name}.parquet"


def part_files(directory: Path) -> list[Path]:
    """Parts of one table, oldest first."""
    return sorted(directory.glob("part-[0-9]*.parquet"), key=_number)


def _number(part: Path) -> int:
    return int(part.stem.removeprefix("part-"))


def read_part(path: Path) -> pa.Table:
    """One part as an Arrow table. Raises RunError when it is damaged."""
    try:
        with (
            pa.OSFile(str(path)) as file,
            pq.ParquetFile(file) as part,
        ):  # no data set: its threads may crash as the process ends
            return part.read(use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise RunError(f"{path} is damaged: {error}") from error


@final
class Parts:
    """One table on disk and its newest part in memory."""

    def __init__(self, table: Table, directory: Path) -> None:
        self.table = table
        self.directory = directory
        self.schema = table.arrow_schema()
        self._words = [column.name for column in table.columns if column.dtype == "string"]
        self._number, self._count = 0, 0
        self._pieces: list[pa.Table] = [self.schema.empty_table()]
        self._fresh: list[Columns] = []
        self._dirty = True

    def newest(self, *columns: str) -> dict[str, NDArray[np.generic]]:
        """Columns of the newest part that has rows."""
        rows = self._rows()
        if not rows.num_rows and self._number:
            rows = read_part(self.directory / f"part-{self._number - 1:05d}.parquet")
        return {name: rows[name].to_numpy() for name in columns}

    def append(self, rows: Columns) -> None:
        """Take rows: all columns, of one length. Arrow sees them when they are needed: many tables of a few rows would cost far more."""
        self._fresh.append(rows)
        self._count += len(rows[self.schema.names[0]])
        self._dirty = True
        while self._count >= PART_ROWS:
            self._seal()

    def _seal(self) -> None:
        rows = self._rows()
        self._write(rows.slice(0, PART_ROWS))
        self._pieces, self._fresh = [rows.slice(PART_ROWS).combine_chunks()], []  # a copy: a slice would keep all rows in memory
        self._number, self._count = self._number + 1, self._count - PART_ROWS

    def _rows(self) -> pa.Table:
        return pa.concat_tables([*self._pieces, self._fresh_rows()])

    def _fresh_rows(self) -> pa.Table:
        if not self._fresh:
            return self.schema.empty_table()
        columns = {name: np.concatenate([rows[name] for rows in self._fresh]) for name in self.schema.names}
        return pa.table(columns, schema=self.schema)

    def flush(self) -> None:
        if self._dirty:
            self._join()
            self._write(pa.concat_tables(self._pieces))
            self._dirty = False

    def _join(self) -> None:
        """Few pieces, each more than twice as long as the next: rows are copied a few times, and never all of them for a few new ones."""
        rows = self._fresh_rows()
        while self._pieces and self._pieces[-1].num_rows <= 2 * rows.num_rows:
            rows = pa.concat_tables([self._pieces.pop(), rows])
        self._pieces.append(rows.combine_chunks())
        self._fresh = []

    def _write(self, rows: pa.Table) -> None:
        make_directory(self.directory)  # not its parents: a run directory that was taken away is not made again
        path = self.directory / f"part-{self._number:05d}.parquet"
        replace_atomically(path, lambda draft: pq.write_table(rows, draft, compression="zstd", use_dictionary=self._words))

    def cut(self, rounds: int) -> int:
        """Forget rows of rounds >= ``rounds`` and go on with the newest part; the number of rows kept."""
        kept, files = 0, part_files(self.directory)
        for path in files:
            before = read_part(path)
            after = before.filter(pc.less(before["round"], rounds))
            kept += after.num_rows
            if after.num_rows == 0 and path != files[0]:  # the first part stays, so that the table can be read at any time
                path.unlink()
                continue
            self._number, self._pieces = _number(path), [after]
            if after.num_rows < before.num_rows:
                self._write(after)
        self._dirty, self._count = not files, self._pieces[0].num_rows
        if self._count >= PART_ROWS:
            self._number, self._pieces, self._dirty, self._count = self._number + 1, [self.schema.empty_table()], True, 0
        return kept
