"""Figures about one run. Each returns its Axes, and draws into ``ax`` where that is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, final

import numpy as np

from cosim.plot.style import COLOURS, PHASES, axes, cdf, legend, line

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

HEAT: Final = {"prune_ratio": "pruning ratio", "bandwidth_hz": "bandwidth [MHz]", "t_total_s": "time [s]", "accuracy": "accuracy"}
HeatColumn = Literal["prune_ratio", "bandwidth_hz", "t_total_s", "accuracy"]


class Tables(Protocol):
    """What a run has to have."""

    @property
    def rounds(self) -> pd.DataFrame: ...
    @property
    def devices(self) -> pd.DataFrame: ...
    @property
    def radio(self) -> pd.DataFrame: ...
    @property
    def scenario(self) -> dict[str, Any]: ...


@final
class RunPlots:
    """Figures about one run; in a terminal, ``run.plot.gantt(3).figure.savefig("gantt.pdf")``."""

    def __init__(self, run: Tables) -> None:
        self._run = run

    def latency_cdf(self, ax: Axes | None = None) -> Axes:
        """Distribution of the devices' time in a round, planned and realised, over those whose update arrived."""
        arrived = self._run.devices[self._run.devices["status"] == "arrived"]
        ax = axes(ax, x="time of a device in a round [s]", y="share of updates")
        cdf(ax, arrived["t_planned_s"], "planned", **line(1))
        cdf(ax, arrived["t_total_s"], "realised", **line(0))
        legend(ax)
        return ax

    def latency_by_speed(self, ax: Axes | None = None) -> Axes:
        """Each update that arrived: the device's time against its speed when the round began."""
        arrived = self._run.devices[self._run.devices["status"] == "arrived"]
        ax = axes(ax, x="speed [m/s]", y="time in the round [s]")
        ax.plot(arrived["speed_m_s"], arrived["t_total_s"], ".", markersize=3, alpha=0.5, color=COLOURS[0])
        return ax

    def accuracy(self, ax: Axes | None = None) -> Axes:
        """Accuracy against simulated time: mean and tenth percentile of the devices, and the global model where measured."""
        ax = axes(ax, x="simulated time [s]", y="accuracy")
        names = {"accuracy_mean": "mean of devices", "accuracy_p10": "10th percentile", "global_accuracy": "global model"}
        for index, (column, label) in enumerate(names.items()):
            known = self._run.rounds[self._run.rounds[column].notna()]
            if len(known):
                ax.plot(known["t_end_s"], known[column], label=label, marker=".", markersize=3, **line(index))
        legend(ax)
        return ax

    def energy(self, ax: Axes | None = None) -> Axes:
        """Energy of all devices against simulated time, computing below and transmitting above."""
        sums = self._run.devices.groupby("round")[["energy_compute_j", "energy_transmit_j"]].sum().cumsum()
        ends = self._run.rounds.set_index("round")["t_end_s"].reindex(sums.index)
        ax = axes(ax, x="simulated time [s]", y="energy of all devices [J]")
        ax.stackplot(
            ends, sums["energy_compute_j"], sums["energy_transmit_j"], labels=["computing", "transmitting"], colors=COLOURS[2:0:-1]
        )
        legend(ax)
        return ax

    def gantt(self, round: int = 0, ax: Axes | None = None) -> Axes:  # noqa: A002 - the column's name
        """What each selected device did in one round, slowest on top, and its threshold. Raises ValueError for no such round."""
        rows = self._run.devices[(self._run.devices["round"] == round) & self._run.devices["selected"]]
        if rows.empty:
            raise ValueError(f"no device was selected in round {round}; rounds: 0 to {self._run.rounds['round'].max()}")
        rows = rows.assign(done_s=rows[list(PHASES)].sum(axis=1)).sort_values("done_s", kind="stable")
        ax = axes(ax, x=f"time in round {round} [s]", y="device", height_in=min(7.0, 1.2 + 0.09 * len(rows)))
        height, begin = np.arange(len(rows)), np.zeros(len(rows))
        for column, (label, colour) in PHASES.items():
            length = rows[column].fillna(0).to_numpy()
            if length.any():
                ax.barh(height, length, left=begin, height=0.8, color=colour, label=label)
            begin = begin + length
        threshold = float(self._run.rounds.set_index("round")["latency_threshold_s"].loc[round])
        if np.isfinite(threshold):
            ax.axvline(threshold, color=COLOURS[6], linestyle=":", label="threshold")
        ax.set_yticks(height, [f"{row.device}{'' if row.status == 'arrived' else f' {row.status}'}" for row in rows.itertuples()])
        ax.tick_params(axis="y", labelsize=min(7, 300 / len(rows)))
        ax.grid(visible=False, axis="y")
        ax.margins(y=0.01)
        legend(ax, loc="lower left", bbox_to_anchor=(0, 1), ncols=5, borderaxespad=0, columnspacing=0.9, handlelength=1.2)
        return ax

    def map(self, ax: Axes | None = None) -> Axes:
        """Where the devices went, from recorded samples if there are any, dots being where they began; triangles are the sites."""
        samples = self._run.radio if len(self._run.radio) else self._run.devices
        ax = axes(ax, x="x [m]", y="y [m]", height_in=3.2)
        for index, (_, way) in enumerate(samples.groupby("device")):
            path = self._unfolded(way)
            ax.plot(path["x_m"], path["y_m"], linewidth=0.7, alpha=0.8, color=COLOURS[index % 6])
            ax.plot(path["x_m"].iloc[:1], path["y_m"].iloc[:1], ".", markersize=4, color=COLOURS[index % 6])
        for site in self._run.scenario["sites"]:
            ax.plot(site["x_m"], site["y_m"], "^", markersize=7, color=COLOURS[6])
        ax.set_aspect("equal", adjustable="datalim")
        return ax

    def _unfolded(self, way: pd.DataFrame) -> pd.DataFrame:
        """A device's positions, with a gap where it leaves a plane that wraps on one side and comes in on the other."""
        if not self._run.scenario["area"].get("wrap_around"):
            return way
        sites = self._run.scenario["sites"]
        apart_m = np.hypot(sites[1]["x_m"] - sites[0]["x_m"], sites[1]["y_m"] - sites[0]["y_m"])
        jumps = np.hypot(way["x_m"].diff(), way["y_m"].diff()) > apart_m
        return way.assign(x_m=way["x_m"].mask(jumps))

    def snr(self, devices: tuple[int, ...] = (0,), ax: Axes | None = None) -> Axes:
        """SNR of some devices over time, from recorded samples. Raises ValueError where there are none."""
        ax_made = None
        for index, device in enumerate(devices):
            samples = self._run.radio[self._run.radio["device"] == device]
            if samples.empty:
                raise ValueError(f"no radio samples of device {device}: set trace.radio_interval_s, and name a device of the run")
            ax_made = ax_made or axes(ax, x="simulated time [s]", y="SNR [dB]")
            ax_made.plot(samples["t_s"], samples["snr_db"], label=f"device {device}", **{**line(index), "linewidth": 0.7})
        if ax_made is None:
            raise ValueError("name at least one device")
        legend(ax_made)
        return ax_made

    def heat_map(self, column: HeatColumn = "prune_ratio", ax: Axes | None = None) -> Axes:
        """A column over devices and rounds. Raises ValueError for a column that has no heat map."""
        from matplotlib.ticker import MaxNLocator

        if column not in HEAT:
            raise ValueError(f"no heat map of {column!r}; there are: {', '.join(HEAT)}")
        table = self._run.devices.pivot_table(index="device", columns="round", values=column, dropna=False)
        values = table.to_numpy(np.float64) / (1e6 if column == "bandwidth_hz" else 1.0)
        ax = axes(ax, x="round", y="device")
        rounds, devices = table.columns.to_numpy(np.float64), table.index.to_numpy(np.float64)
        extent = (rounds.min() - 0.5, rounds.max() + 0.5, devices.max() + 0.5, devices.min() - 0.5)
        image = ax.imshow(values, aspect="auto", interpolation="nearest", cmap="cividis", extent=extent)
        ax.grid(visible=False)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.yaxis.set_major_locator(MaxNLocator(integer=True))
        bar = ax.figure.colorbar(image, ax=ax)
        bar.set_label(HEAT[column], size=8)
        bar.ax.tick_params(labelsize=7)
        return ax
