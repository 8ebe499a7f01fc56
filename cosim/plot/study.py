"""Figures about a study: variants as lines, seeds as bands. Each returns its Axes, and draws into ``ax`` where that is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, final

import numpy as np

from cosim.plot.style import COLOURS, axes, cdf, labelled, legend, line
from cosim.statistics import student_t

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

        ``by``: against ``round``, ``kept_flops`` or ``uplink_bits`` instead. ``variants``: which, in this order; default: all. Raises
        ValueError for anything else.
        """
        if by not in EFFORTS:
            raise ValueError(f"no accuracy against {by!r}; there are: {', '.join(EFFORTS)}")
        ax = axes(ax, x=EFFORTS[by], y="accuracy, mean of devices")
        rounds = self._study.rounds.assign(spent=self._study.effort(by))
        known = rounds[rounds["accuracy_mean"].notna()]
        for index, name in enumerate(variants or known["variant"].cat.categories):
            rows = known[known["variant"] == name]
            spent, mean, low, high = band(rows, "spent")
            ax.plot(spent, mean, label=str(name), **line(index))
            ax.fill_between(spent, low, high, color=line(index)["color"], alpha=0.2, linewidth=0)
        legend(ax)
        return ax

    def metric(self, column: str = "latency_s", ax: Axes | None = None) -> Axes:
        """Mean over rounds of a column of ``rounds``, with the 95 % Student-t interval over seeds, for each variant."""
        means = self._study.rounds.groupby(["variant", "seed"], observed=True)[column].mean()
        names = [str(name) for name in means.index.unique("variant")]
        intervals = [student_t(means.xs(name, level="variant").dropna()) for name in names]
        ax = axes(ax, x="", y=f"mean {labelled(column)}")
        centre = np.array([interval.estimate for interval in intervals])
        half = np.array([interval.half_width for interval in intervals])
        for index in range(len(names)):
            ax.errorbar([index], centre[index], yerr=half[index], fmt="o", markersize=3, capsize=3, color=line(index)["color"])
        ax.set_xticks(range(len(names)), names, rotation=15, ha="right")
        ax.margins(x=0.2)
        return ax

    def sweep(self, column: str, path: str, ax: Axes | None = None) -> Axes:
        """Mean over rounds of a column of ``rounds`` against the number that an override gives, with 95 % Student-t intervals over seeds.

        ``path``: dotted, such as ``uplink.bandwidth_hz``. A line joins the variants that differ in this override alone. Raises
        ValueError where no variant sets it.
        """
        points = self._study.swept(path)
        means = self._study.rounds.groupby(["variant", "seed"], observed=True)[column].mean()
        ax = axes(ax, x=labelled(path.rpartition(".")[2]), y=f"mean {labelled(column)}")
        for index, (label, variants) in enumerate(points.items()):
            intervals = [student_t(means.xs(name, level="variant").dropna()) for name in variants.values()]
            centre = [interval.estimate for interval in intervals]
            half = [interval.half_width for interval in intervals]
            ax.errorbar(list(variants), centre, yerr=half, label=label, marker=".", capsize=2, **line(index))
        legend(ax)
        return ax

    def pruning_by_gain(self, ax: Axes | None = None, *, variants: Sequence[str] | None = None) -> Axes:
        """Mean pruning ratio of a device against its mean planned gain, a dot for each device of each run; ``variants``: which."""
        ax = axes(ax, x="planned gain [dB]", y="pruning ratio")
        chosen = self._study.devices[self._study.devices["selected"]]
        means = chosen.groupby(["variant", "seed", "device"], observed=True)[["gain_planned_db", "prune_ratio"]].mean()
        for index, name in enumerate(variants or means.index.unique("variant")):
            rows = means.xs(name, level="variant")
            ax.plot(rows["gain_planned_db"], rows["prune_ratio"], ".", label=str(name), markersize=3, alpha=0.6, color=line(index)["color"])
        legend(ax)
        return ax


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
