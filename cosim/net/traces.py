"""Reading traces of positions: CSV, Parquet and SUMO's FCD XML. What is wrong in a file is told with file, line and column."""

from __future__ import annotations

import csv
import gzip
import io
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final, cast
from xml.parsers import expat

import numpy as np

from cosim.errors import ScenarioError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from cosim.interfaces import FloatArray, IntArray

COLUMNS: Final = ("t_s", "device", "x_m", "y_m")
_FCD: Final = {"t_s": "time", "device": "id", "x_m": "x", "y_m": "y"}


@dataclass(frozen=True, slots=True)
class Samples:
    """Positions in the order of a file; arrays (N,). ``device`` numbers the devices, ``names`` holds their ids in the file.

    Device numbers follow the ids where all of them are whole numbers, else the order in which they appear.
    """

    t_s: FloatArray
    device: IntArray
    x_m: FloatArray
    y_m: FloatArray
    names: tuple[str, ...]
    place: Callable[[int], str]
    """``place(i)``: where sample i stands, such as "bus.csv:17"."""


def read_trace(path: Path) -> Samples:
    """The samples of a file ``.csv``, ``.parquet`` or ``.xml``, of the first and last also ``.gz``.

    Raises:
        ScenarioError: the file cannot be read, lacks a column, or holds something other than finite numbers, or a
            device's times do not increase from one of its samples to the next; with file, line and column.
    """
    kind = path.name.lower().removesuffix(".gz").rpartition(".")[2]
    readers = {"csv": _csv, "parquet": _parquet, "xml": _fcd}
    if kind not in readers or not path.is_file():
        raise ScenarioError(f"{path}: a trace is a file .csv, .csv.gz, .parquet, .xml or .xml.gz")
    try:
        samples = readers[kind](path)
    except (OSError, EOFError) as error:
        raise ScenarioError(f"{path}: cannot be read: {error}") from error
    if not samples.t_s.size:
        raise ScenarioError(f"{path}: holds no positions; a trace has at least one row of {', '.join(COLUMNS)}")
    _check_order(samples)
    return samples


# --- CSV and Parquet ---------------------------------------------------------------------------------


def _csv(path: Path) -> Samples:
    lines, rows = array("q"), []
    with _opened(path) as file, io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
        reader = csv.reader(text, skipinitialspace=True, strict=True)
        try:
            head = [name.strip() for name in next(reader, [])]
            if not any(head):
                raise ScenarioError(f"{path}: is empty; its first line must name the columns {', '.join(COLUMNS)}")
            _check_columns(path, head)
            for row in reader:
                if any(row):  # a blank line says nothing
                    lines.append(reader.line_num)
                    rows.append(_as_wide(row, len(head), f"{path}:{reader.line_num}"))
        except (csv.Error, UnicodeDecodeError) as error:
            raise ScenarioError(f"{path}:{max(reader.line_num, 1)}: is no CSV file: {error}") from None
    where = {name: head.index(name) for name in COLUMNS}
    return _from_columns({name: [row[i] for row in rows] for name, i in where.items()}, lambda i: f"{path}:{lines[i]}")


def _opened(path: Path) -> BinaryIO:
    """The file's bytes, unpacked if its name ends in .gz."""
    return cast("BinaryIO", gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb"))


def _as_wide(row: list[str], width: int, place: str) -> list[str]:
    """The row with empty values for what it lacks."""
    if len(row) > width:
        raise ScenarioError(f"{place}: has a column {width + 1}, but the first line names {width}")
    return row + [""] * (width - len(row))


def _parquet(path: Path) -> Samples:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        _check_columns(path, pq.read_schema(path).names)
        columns = pq.read_table(path, columns=list(COLUMNS)).to_pydict()
    except pa.ArrowException as error:
        raise ScenarioError(f"{path}: is no Parquet file: {str(error).splitlines()[0]}") from error
    return _from_columns(columns, lambda row: f"{path}, row {row + 1}")


def _check_columns(path: Path, found: Sequence[str]) -> None:
    missing = [name for name in COLUMNS if name not in found]
    if missing:
        raise ScenarioError(
            f"{path}: column {missing[0]} is missing; a trace has the columns {', '.join(COLUMNS)}, this one {', '.join(found)}"
        )


def _from_columns(columns: Mapping[str, Sequence[object]], place: Callable[[int], str]) -> Samples:
    names = ["" if name is None else str(name).strip() for name in columns["device"]]
    if "" in names:
        raise ScenarioError(f"{place(names.index(''))}: column device is empty; it must name a device")
    return _samples({name: _numbers(columns[name], name, place) for name in ("t_s", "x_m", "y_m")}, names, place)


def _numbers(values: Sequence[object], column: str, place: Callable[[int], str]) -> FloatArray:
    """Finite numbers, or the first value that is none is told."""
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        numbers = np.array([_number(value) for value in values])
    wrong = np.flatnonzero(~np.isfinite(numbers))
    if wrong.size:
        raise ScenarioError(f"{place(int(wrong[0]))}: column {column} is {values[wrong[0]]!r}, must be a finite number")
    return numbers


def _number(value: object) -> float:
    try:
        return float(cast("str", value))
    except (TypeError, ValueError):
        return np.nan


# --- SUMO FCD ----------------------------------------------------------------------------------------


def _fcd(path: Path) -> Samples:
    """Floating car data as ``sumo --fcd-output`` writes them, read as a stream: vehicles and persons of each time step."""
    reader = _FCDReader(path)
    with _opened(path) as file:
        reader.parse(file)
    numbers = {name: np.array(values) for name, values in reader.numbers.items()}
    return _samples(numbers, reader.names, lambda i: f"{path}:{reader.lines[i]}")


class _FCDReader:
    """Collects the samples of an FCD file; knows at any moment the line and column that it is at.

    A document type is refused, and with it every entity: such a file could make itself huge or name other files.
    """

    def __init__(self, path: Path) -> None:
        self.numbers = {"t_s": array("d"), "x_m": array("d"), "y_m": array("d")}
        self.lines = array("q")
        self.names: list[str] = []
        self._path, self._time_s = path, np.nan
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._begin
        self._parser.StartDoctypeDeclHandler = self._refuse

    def parse(self, file: BinaryIO) -> None:
        try:
            self._parser.ParseFile(file)
        except expat.ExpatError as error:
            where = f"{self._path}:{error.lineno}:{error.offset + 1}"
            raise ScenarioError(f"{where}: is no well-formed XML: {expat.errors.messages[error.code]}") from None

    def _refuse(self, *_: object) -> None:
        raise self._error("a document type (DOCTYPE) is not allowed in a trace")

    def _begin(self, tag: str, attributes: dict[str, str]) -> None:
        if not self.lines and tag not in {"fcd-export", "timestep", "vehicle", "person"}:
            raise self._error(f"element <{tag}> is not SUMO FCD output; its root is <fcd-export>")
        if tag == "timestep":
            self._time_s = self._number(tag, attributes, "t_s")
        elif tag in {"vehicle", "person"}:
            if np.isnan(self._time_s):
                raise self._error(f"<{tag}> outside of a <timestep>")
            self.numbers["t_s"].append(self._time_s)
            self.numbers["x_m"].append(self._number(tag, attributes, "x_m"))
            self.numbers["y_m"].append(self._number(tag, attributes, "y_m"))
            self.names.append(self._attribute(tag, attributes, "device"))
            self.lines.append(self._parser.CurrentLineNumber)

    def _number(self, tag: str, attributes: dict[str, str], column: str) -> float:
        text = self._attribute(tag, attributes, column)
        number = _number(text)
        if not np.isfinite(number):
            raise self._error(f"attribute {_FCD[column]} of <{tag}> is {text!r}, must be a finite number")
        return number

    def _attribute(self, tag: str, attributes: dict[str, str], column: str) -> str:
        if _FCD[column] not in attributes:
            raise self._error(f"attribute {_FCD[column]} of <{tag}> is missing")
        return attributes[_FCD[column]]

    def _error(self, problem: str) -> ScenarioError:
        return ScenarioError(f"{self._path}:{self._parser.CurrentLineNumber}:{self._parser.CurrentColumnNumber + 1}: {problem}")


# --- all of them -------------------------------------------------------------------------------------


def _samples(numbers: dict[str, FloatArray], names: list[str], place: Callable[[int], str]) -> Samples:
    order = list(dict.fromkeys(names))
    if all(name.isascii() and name.isdigit() for name in order):
        order.sort(key=int)
    number = {name: k for k, name in enumerate(order)}
    device = np.fromiter((number[name] for name in names), np.int64, len(names))
    return Samples(**numbers, device=device, names=tuple(order), place=place)


def _check_order(samples: Samples) -> None:
    order = np.argsort(samples.device, kind="stable")
    same = np.diff(samples.device[order]) == 0
    wrong = np.flatnonzero(same & (np.diff(samples.t_s[order]) <= 0.0))
    if not wrong.size:
        return
    first = wrong[np.argmin(order[wrong + 1])]
    before, after = int(order[first]), int(order[first + 1])
    problem = "twice" if samples.t_s[before] == samples.t_s[after] else f"after {samples.t_s[before]:g} s"
    raise ScenarioError(
        f"{samples.place(after)}: column t_s: device {samples.names[samples.device[after]]} is at {samples.t_s[after]:g} s {problem} "
        f"(before: {samples.place(before)}); a device's times must increase"
    )
