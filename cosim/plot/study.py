"""Figures about a study: variants as lines, seeds as bands. Each returns its Axes, and draws into ``ax`` where that is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, final

import numpy as np

from cosim.errors import did_you_mean
from cosim.plot.style import COLOURS, axes, cdf, labelled, legend, line
from cosim.statistics import Interval, student_t

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

EFFORTS: Final[Mapping[str, str]] = {
    "round": "rounds",
    "time_s": "simulated time [s]",
    "kept_flops": "work of all devices [FLOP]",
    "uplink_bits": "uplink [bit]",
}
MOMENTS: Final = 200


class Tables(Protocol):
    """What a study has to have."""

    @property
    def rounds(self) -> pd.DataFrame: ...
    @property
    def devices(self) -> pd.DataFrame: ...
    def effort(self, by: Any) -> pd.Series[float]: ...
    def swept(self, path: str) -> dict[str, dict[float, str]]: ...


@final
class StudyPlots:
    """Figures about a study; ``study.plot.accuracy().figure.savefig("accuracy.pdf")``."""

    def __init__(self, study: Tables) -> None:
        self._study = study

    def latency_cdf(self, ax: Axes | None = None) -> Axes:
        """Distribution of the latency of rounds, all seeds together: realised, and planned as thin lines."""
        ax = axes(ax, x="latency of a round [s]", y="share of rounds")
        for index, (name, rows) in enumerate(self._study.rounds.groupby("variant", observed=True)):
            cdf(ax, rows["latency_s"], str(name), **line(index))
            cdf(ax, rows["planned_latency_s"], "_", **{**line(index), "linewidth": 0.6, "alpha": 0.7})
        ax.plot([], [], color=COLOURS[6], linewidth=0.6, label="planned")
        legend(ax)
        return ax

    def latency_by_speed(self, ax: Axes | None = None) -> Axes:
        """Mean time of a device in a round against its speed, in ten classes of equally many updates."""
        import pandas as pd

        ax = axes(ax, x="speed [m/s]", y="mean time in a round [s]")
        arrived = self._study.devices[self._study.devices["status"] == "arrived"]
        for index, (name, rows) in enumerate(arrived.groupby("variant", observed=True)):
            classes = rows.groupby(pd.qcut(rows["speed_m_s"], 10, duplicates="drop"), observed=True)
            means = classes[["speed_m_s", "t_total_s"]].mean()
            ax.plot(means["speed_m_s"], means["t_total_s"], label=str(name), marker=".", **line(index))
        legend(ax)
        return ax

    def accuracy(self, ax: Axes | None = None, *, by: str = "time_s", variants: Sequence[str] | None = None) -> Axes:
        """Mean accuracy against simulated time with 95 % Student-t bands over seeds, while all runs of a variant go on.

        ``by``: against ``round``, ``kept_flops`` or ``uplink_bits`` instead. ``variants``: which, in this order; default: all that
        measured one. Raises ValueError for anything else, and where none did.
        """
        if by not in EFFORTS:
            raise ValueError(f"no accuracy against {by!r}; there are: {', '.join(EFFORTS)}{did_you_mean(by, EFFORTS)}")
        rounds = self._study.rounds.assign(spent=self._study.effort(by))
        known = rounds[rounds["accuracy_mean"].notna()]
        names = _chosen(known, variants, "measured an accuracy")
        ax = axes(ax, x=EFFORTS[by], y="accuracy, mean of devices")
        for index, name in enumerate(names):
            rows = known[known["variant"] == name]
            spent, mean, low, high = band(rows, "spent")
            ax.plot(spent, mean, label=str(name), **line(index))
            ax.fill_between(spent, low, high, color=line(index)["color"], alpha=0.2, linewidth=0)
        legend(ax)
        return ax

    def metric(self, column: str = "latency_s", ax: Axes | None = None) -> Axes:
        """Mean over rounds of a column of ``rounds``, with the 95 % Student-t interval over seeds, for each variant that has one.

        Raises ValueError for no such column, and where no variant has one.
        """
        found = intervals(self._study.rounds, column)
        if not found:
            raise ValueError(f"no variant has a finite {column}")
        ax = axes(ax, x="", y=f"mean {labelled(column)}")
        for index, interval in enumerate(found.values()):
            colour = line(index)["color"]
            ax.errorbar([index], interval.estimate, yerr=interval.half_width, fmt="o", markersize=3, capsize=3, color=colour)
        ax.set_xticks(range(len(found)), list(found), rotation=15, ha="right")
        ax.margins(x=0.2)
        return ax

    def sweep(self, column: str, path: str, ax: Axes | None = None) -> Axes:
        """Mean over rounds of a column of ``rounds`` against the number that an override gives, with 95 % Student-t intervals over seeds.

        ``path``: dotted, such as ``uplink.bandwidth_hz``. A line joins the variants that differ in this override alone. Raises
        ValueError where no variant sets it, or none that does has a value, and for no such column.
        """
        points, known = self._study.swept(path), intervals(self._study.rounds, column)
        lines = {label: {value: known[name] for value, name in variants.items() if name in known} for label, variants in points.items()}
        if not any(lines.values()):
            raise ValueError(f"no variant that sets {path} has a finite {column}")
        ax = axes(ax, x=labelled(path.rpartition(".")[2]), y=f"mean {labelled(column)}")
        for index, (label, found) in enumerate((label, found) for label, found in lines.items() if found):
            centre = [interval.estimate for interval in found.values()]
            half = [interval.half_width for interval in found.values()]
            ax.errorbar(list(found), centre, yerr=half, label=label, marker=".", capsize=2, **line(index))
        legend(ax)
        return ax

    def pruning_by_gain(self, ax: Axes | None = None, *, variants: Sequence[str] | None = None) -> Axes:
        """Mean pruning ratio of a device against its mean planned gain, a dot for each device of each run.

        ``variants``: which, as for ``accuracy``; default: all that selected a device. Raises ValueError as there.
        """
        chosen = self._study.devices[self._study.devices["selected"]]
        names = _chosen(chosen, variants, "selected a device")
        ax = axes(ax, x="planned gain [dB]", y="pruning ratio")
        means = chosen.groupby(["variant", "seed", "device"], observed=True)[["gain_planned_db", "prune_ratio"]].mean()
        for index, name in enumerate(names):
            rows = means.xs(name, level="variant")
            ax.plot(rows["gain_planned_db"], rows["prune_ratio"], ".", label=str(name), markersize=3, alpha=0.6, color=line(index)["color"])
        legend(ax)
        return ax


def intervals(rounds: pd.DataFrame, column: str) -> dict[str, Interval]:
    """Mean over rounds of a column: its interval over the seeds that have a finite one, by variant; a variant without any is left out.

    Raises ValueError where ``rounds`` has no such column of numbers.
    """
    columns = rounds.select_dtypes("number").columns
    if column not in columns:
        raise ValueError(f"rounds has no numbers {column!r}; there are: {', '.join(columns)}{did_you_mean(column, columns)}")
    means = rounds.groupby(["variant", "seed"], observed=True)[column].mean()
    known = means[np.isfinite(means)]
    return {str(name): student_t(values) for name, values in known.groupby("variant", observed=True, sort=False)}


def _chosen(rows: pd.DataFrame, variants: Sequence[str] | None, did: str) -> list[str]:
    """Names of the variants to draw: those asked for, else all that have rows. Raises ValueError where one asked for has none, or all.

    ``did``: what a variant with rows did.
    """
    there = [str(name) for name in rows["variant"].cat.categories[np.unique(rows["variant"].cat.codes)]]
    for name in variants or ():
        if name not in there:
            raise ValueError(
                f"variant {name!r} has nothing to show here; there are: {', '.join(there) or 'none'}{did_you_mean(name, there)}"
            )
    if not there:
        raise ValueError(f"no variant {did}")
    return list(variants or there)


def band(rows: pd.DataFrame, column: str = "t_end_s") -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Moments at which all runs of a variant have a value, and there the mean of ``accuracy_mean`` and its interval: four of (n,).

    ``column``: in terms of which they are counted. Between its measurements a run keeps the last value: what a user would have got then.
    """
    runs = [(run[column].to_numpy(), run["accuracy_mean"].to_numpy()) for _, run in rows.groupby("seed")]
    begin, end = max(spent[0] for spent, _ in runs), min(spent[-1] for spent, _ in runs)
    moments = np.linspace(begin, max(begin, end), MOMENTS)
    values = np.stack([accuracy[np.searchsorted(spent, moments, side="right") - 1] for spent, accuracy in runs])
    intervals = [student_t(column) for column in values.T]
    low, high = (np.array([getattr(interval, side) for interval in intervals]) for side in ("low", "high"))
    return moments, values.mean(axis=0), low, high
