"""Figures about a study: variants as lines, seeds as bands. Each returns its Axes, and draws into ``ax`` where that is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, final

import numpy as np

from cosim.plot.style import COLOURS, axes, cdf, labelled, legend, line
from cosim.statistics import student_t

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

MOMENTS: Final = 200


class Tables(Protocol):
    """What a study has to have."""

    @property
    def rounds(self) -> pd.DataFrame: ...
    @property
    def devices(self) -> pd.DataFrame: ...


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

    def accuracy(self, ax: Axes | None = None) -> Axes:
        """Mean accuracy against simulated time with 95 % Student-t bands over seeds, while all runs of a variant go on."""
        ax = axes(ax, x="simulated time [s]", y="accuracy, mean of devices")
        known = self._study.rounds[self._study.rounds["accuracy_mean"].notna()]
        for index, (name, rows) in enumerate(known.groupby("variant", observed=True)):
            time_s, mean, low, high = band(rows)
            ax.plot(time_s, mean, label=str(name), **line(index))
            ax.fill_between(time_s, low, high, color=line(index)["color"], alpha=0.2, linewidth=0)
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


def band(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Times at which all runs of a variant have a value, and there the mean of ``accuracy_mean`` and its interval: four of (n,).

    Between its measurements a run keeps the last value: what a user would have got at that time.
    """
    runs = [(run["t_end_s"].to_numpy(), run["accuracy_mean"].to_numpy()) for _, run in rows.groupby("seed")]
    begin, end = max(times[0] for times, _ in runs), min(times[-1] for times, _ in runs)
    time_s = np.linspace(begin, max(begin, end), MOMENTS)
    values = np.stack([accuracy[np.searchsorted(times, time_s, side="right") - 1] for times, accuracy in runs])
    intervals = [student_t(column) for column in values.T]
    low, high = (np.array([getattr(interval, side) for interval in intervals]) for side in ("low", "high"))
    return time_s, values.mean(axis=0), low, high
