"""What holds of the tables of every run: checked as rows are written, and by ``cosim check --run`` once more.

Three sorts of rules: the range of each number (``within``), what the columns of a row have to do with each other (``RULES``), and how
rows follow one another (``Audit``). NaN (it did not happen) breaks a rule only where a number is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, Final, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from cosim.trace.schema import STATUSES, TABLES, Column, TableName

Columns: TypeAlias = Mapping[str, NDArray[Any]]
Rows: TypeAlias = NDArray[np.bool_]
TOLERANCE: Final = 1e-9
"""Relative slack for rounding."""
SELECTED: Final = ("arrived", "late", "dropped", "rejected")
"""Statuses of devices that were asked to take part."""

_NEEDED: Final[Mapping[TableName, tuple[str, ...]]] = MappingProxyType(
    {
        "rounds": ("t_start_s", "t_end_s", "latency_s", "bandwidth_used_hz", "uplink_bits", "energy_j"),
        "devices": ("x_m", "y_m", "speed_m_s", "distance_m", "pathloss_db", "shadowing_db", "gain_planned_db"),
        "radio": ("t_s", "x_m", "y_m", "speed_m_s", "gain_db", "snr_db", "rate_bps"),
        "events": ("t_s",),
    }
)
_SHARES: Final = frozenset(
    {"prune_ratio", "prune_ratio_mean", "uncovered_fraction"}
    | {"accuracy", "accuracy_full", "accuracy_mean", "accuracy_p10", "global_accuracy"}
)
_NEVER_NEGATIVE: Final = frozenset({"s", "m/s", "Hz", "bit", "bit/s", "J", "W", "FLOP"})
"""Units of quantities that are never below 0."""
_ENDLESS: Final = frozenset({"fixed_time_s", "train_loss"})
"""Infinite where a device is out of reach, and where training diverges."""


def within(column: Column) -> tuple[float, float]:
    """Least and largest value of a column of numbers, both included."""
    largest = np.inf if column.name in _ENDLESS else np.finfo(np.float64).max
    if column.name in _SHARES:
        return 0.0, 1.0
    if column.unit in _NEVER_NEGATIVE or column.name == "distance_m":
        return 0.0, largest
    return (-np.inf if "gain" in column.name or "snr" in column.name else -largest), largest  # no signal at all is -inf dB


@final
@dataclass(frozen=True, slots=True)
class Rule:
    """``broken(columns)`` (rows,): where ``quantity`` is not what it must be; ``others``: columns that say why."""

    quantity: str
    must: str
    broken: Callable[[Columns], Rows]
    others: tuple[str, ...] = ()


def _differ(found: NDArray[Any], expected: NDArray[Any]) -> Rows:
    """By more than rounding; NaN differs from any number."""
    near = np.abs(found - expected) <= TOLERANCE * np.maximum(np.abs(found), np.abs(expected))
    return np.asarray(~(near | (np.isnan(found) & np.isnan(expected))))


def _sum(columns: Columns, names: tuple[str, ...]) -> NDArray[Any]:
    return np.asarray(np.add.reduce([columns[name] for name in names]))


def _is(columns: Columns, *words: str) -> Rows:
    return np.asarray(np.logical_or.reduce([columns["status"] == word for word in words]))


_PARTS: Final = ("t_download_s", "t_compute_s", "t_wait_s", "t_upload_s")
RULES: Final[Mapping[TableName, tuple[Rule, ...]]] = MappingProxyType(
    {
        "rounds": (
            Rule("t_end_s", "must not lie before t_start_s", lambda c: c["t_end_s"] < c["t_start_s"], ("t_start_s",)),
            Rule(
                "latency_s",
                "must be t_end_s - t_start_s",
                lambda c: _differ(c["t_start_s"] + c["latency_s"], c["t_end_s"]),
                ("t_start_s", "t_end_s"),
            ),
            Rule(
                "devices_selected",
                "must be devices_arrived + devices_dropped",
                lambda c: c["devices_selected"] != c["devices_arrived"] + c["devices_dropped"],
                ("devices_arrived", "devices_dropped"),
            ),
        ),
        "devices": (
            Rule("status", f"must be one of {', '.join(STATUSES)}", lambda c: ~_is(c, *STATUSES)),
            Rule(
                "status",
                f"must be one of {', '.join(SELECTED)} if selected, and only then",
                lambda c: _is(c, *SELECTED) != c["selected"],
                ("selected",),
            ),
            Rule("t_total_s", f"must be {' + '.join(_PARTS)}", lambda c: _differ(c["t_total_s"], _sum(c, _PARTS)), _PARTS),
            Rule("t_total_s", "must be known of a device that arrived", lambda c: _is(c, "arrived") & np.isnan(c["t_total_s"])),
            Rule("merged_round", "must not lie before the round", lambda c: c["merged_round"] < c["round"]),
        ),
        "radio": (),
        "events": (),
    }
)  # fmt: skip


@final
class Audit:
    """Looks at the rows of one run as they come, table by table in the order of rounds.

    ``devices``: how many there are; ``bandwidth_hz``: usable band of the uplink, what the shares of a round add up to at most in each
    of the ``sites``.
    """

    def __init__(self, *, devices: int, bandwidth_hz: float, sites: int = 1) -> None:
        self._devices, self._bandwidth_hz, self._sites = devices, bandwidth_hz, sites
        self._times: dict[int, tuple[float, float]] = {}
        self._next_round, self._device_rows, self._end_s, self._shares_hz = 0, 0, 0.0, np.zeros(sites)
        self._latest_s: dict[TableName, float] = {"radio": 0.0, "events": 0.0}

    def go_on(self, rounds: Columns, device_rounds: int) -> None:
        """Take note of what earlier work has left: its last rounds (``round``, ``t_start_s``, ``t_end_s``), device rows."""
        for index, start_s, end_s in zip(*(rounds[name].tolist() for name in ("round", "t_start_s", "t_end_s")), strict=True):
            self._times[index], self._next_round, self._end_s = (start_s, end_s), index + 1, end_s
        self._device_rows = device_rounds * self._devices
        self._latest_s = dict.fromkeys(self._latest_s, self._end_s)

    def violation(self, table: TableName, columns: Columns) -> str | None:
        """What is wrong with these rows: round, device and quantity of the first that break a rule; None if none do."""
        if not len(columns["round"]):
            return None
        with np.errstate(invalid="ignore", over="ignore"):
            return next(self._violations(table, columns), None)

    def _violations(self, table: TableName, columns: Columns) -> Iterator[str]:
        yield from _out_of_range(table, columns)
        for rule in RULES[table]:
            for row in _first(rule.broken(columns)):
                yield _told(columns, row, rule.quantity, rule.must, rule.others)
        if table == "rounds":
            yield from self._rounds(columns)
        elif table == "devices":
            yield from self._one_row_each(columns)
            yield from self._in_time(columns)
            yield from self._within_band(columns)
            self._device_rows += len(columns["round"])
        else:
            yield from self._timeline(table, columns)

    def _rounds(self, columns: Columns) -> Iterator[str]:
        """Rounds are numbered in order, none begins before the one before it has ended, and nobody hands out more than the band."""
        index, start_s, end_s = columns["round"], columns["t_start_s"], columns["t_end_s"]
        expected = self._next_round + np.arange(len(index))
        for row in _first(index != expected):
            yield _told(columns, row, "round", f"must be {expected[row]}")
        earliest_s = np.concatenate([[self._end_s], end_s[:-1]])
        for row in _first(start_s < earliest_s):
            yield _told(columns, row, "t_start_s", f"must not lie before the end of the round before it, {earliest_s[row]:.12g}")
        band_hz = self._sites * self._bandwidth_hz
        for row in _first(columns["bandwidth_used_hz"] > band_hz * (1.0 + TOLERANCE)):
            yield _told(columns, row, "bandwidth_used_hz", f"must be within the band of {band_hz:.12g}")
        self._times.update(zip(index.tolist(), zip(start_s.tolist(), end_s.tolist(), strict=True), strict=True))
        self._next_round, self._end_s = int(index[-1]) + 1, float(end_s[-1])

    def _one_row_each(self, columns: Columns) -> Iterator[str]:
        """Each device has one row in each round."""
        index, n = columns["round"], self._devices
        number = self._device_rows + np.arange(len(index))
        for row in _first((index != number // n) | (columns["device"] != number % n)):
            yield _told(
                columns, row, "device", f"must be {number[row] % n} of round {number[row] // n}: each has one row a round, in order"
            )

    def _in_time(self, columns: Columns) -> Iterator[str]:
        """A device's own time ends within the round that took its update, as far as the times of these rounds are known."""
        unknown, last = (np.nan, np.nan), columns["round"][-1]
        start_s = np.array([self._times.get(number, unknown)[0] for number in columns["round"].tolist()])
        end_s = np.array([self._times.get(number, unknown)[1] for number in columns["merged_round"].tolist()])
        for row in _first(start_s + columns["t_total_s"] > end_s * (1.0 + TOLERANCE)):
            begun = f"it began at {start_s[row]:.12g}"
            yield _told(columns, row, "t_total_s", f"must end by {end_s[row]:.12g}, when the server aggregated; {begun}")
        self._times = {number: span for number, span in self._times.items() if number >= last}

    def _within_band(self, columns: Columns) -> Iterator[str]:
        """Shares of a round and site add up to the band at most; a round's rows may come in two pieces."""
        index, n = columns["round"] - columns["round"][0], self._sites
        site = columns["site"] if n > 1 else np.zeros_like(index)
        total_hz = np.bincount(index * n + site, np.nan_to_num(columns["bandwidth_hz"]), minlength=(index[-1] + 1) * n).reshape(-1, n)
        total_hz[0] += self._shares_hz if self._device_rows % self._devices else 0.0
        for place in _first(np.asarray(total_hz.max(axis=1) > self._bandwidth_hz * (1.0 + TOLERANCE))):
            where = "" if n == 1 else f" of site {total_hz[place].argmax()}"
            must = f"must be within the band of {self._bandwidth_hz:.12g}"
            yield f"round {columns['round'][0] + place}: bandwidth_hz{where} sums to {total_hz[place].max():.12g}, {must}"
        self._shares_hz = total_hz[-1]

    def _timeline(self, table: TableName, columns: Columns) -> Iterator[str]:
        """Time never goes back."""
        earliest_s = np.concatenate([[self._latest_s[table]], columns["t_s"][:-1]])
        for row in _first(columns["t_s"] < earliest_s):
            yield _told(columns, row, "t_s", f"must not lie before the row before it, at {earliest_s[row]:.12g}")
        self._latest_s[table] = float(columns["t_s"][-1])


@cache
def _numbers(table: TableName) -> tuple[tuple[str, ...], NDArray[np.float64], NDArray[np.float64], Rows]:
    """Columns of numbers of a table: names, least and largest values (columns, 1), and which must not be NaN (columns, 1)."""
    found = [column for column in TABLES[table].columns if column.nullable]
    least, most = np.array([within(column) for column in found]).T[..., None]
    needed = np.array([[column.name in _NEEDED[table]] for column in found])
    return tuple(column.name for column in found), least, most, needed


def _out_of_range(table: TableName, columns: Columns) -> Iterator[str]:
    names, least, most, needed = _numbers(table)
    values = np.array([columns[name] for name in names])
    good = ((least <= values) & (values <= most)) | (np.isnan(values) & ~needed)
    if good.all():
        return
    place, row = (int(where[0]) for where in np.nonzero(~good))
    name, value = names[place], values[place, row]
    if np.isnan(value):
        must = "must be known"
    elif not least[place, 0] <= value and np.isfinite(least[place, 0]) and least[place, 0] > -1.0:
        must = f"must be >= {least[place, 0]:g}"
    else:
        must = f"must be <= {most[place, 0]:g}" if most[place, 0] <= 1.0 else "must be finite"
    yield _told(columns, row, name, must)


def _first(wrong: Rows) -> tuple[int, ...]:
    """The first row that is wrong, if any is."""
    return (int(np.argmax(wrong)),) if wrong.any() else ()


def _told(columns: Columns, row: int, quantity: str, must: str, others: tuple[str, ...] = ()) -> str:
    """``round 3, device 2: t_total_s = 3.1 must be ...``."""
    device = f", device {columns['device'][row]}" if "device" in columns and quantity != "round" else ""
    because = ", ".join(f"{name} = {_shown(columns[name][row])}" for name in others)
    return (
        f"round {columns['round'][row]}{device}: {quantity} = {_shown(columns[quantity][row])} {must}{f' ({because})' if because else ''}"
    )


def _shown(value: Any) -> str:
    return f"{value:.12g}" if isinstance(value, float) else str(value)
