"""Metrics of a run: the one number to which each of them reduces its rounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    import pandas as pd

TIME_TO_ACCURACY: Final = "time_to_accuracy_s"
METRICS: Final[Mapping[str, tuple[str, str]]] = {
    "latency_s": ("s", "mean latency of a round"),
    "latency_p95_s": ("s", "latency that 95 % of the rounds stay below"),
    "planned_latency_s": ("s", "mean planned latency of a round"),
    "objective": ("", "mean objective of the allocation"),
    "prune_ratio": ("", "mean pruning ratio of the selected devices, over rounds"),
    "arrived_share": ("", "updates that arrived, of those asked for"),
    "uplink_bits": ("bit", "bits sent by all devices in all rounds"),
    "energy_j": ("J", "energy spent by all devices in all rounds"),
    "accuracy_mean": ("", "mean accuracy of the devices in the last round that measured it"),
    "accuracy_p10": ("", "accuracy that 90 % of the devices exceed, in that round"),
    "global_accuracy": ("", "accuracy of the global model in the last round that measured it"),
    TIME_TO_ACCURACY: ("s", "mean simulated time to the target accuracy, runs cut at the common horizon"),
}
Metric: TypeAlias = Literal[
    "latency_s",
    "latency_p95_s",
    "planned_latency_s",
    "objective",
    "prune_ratio",
    "arrived_share",
    "uplink_bits",
    "energy_j",
    "accuracy_mean",
    "accuracy_p10",
    "global_accuracy",
]
"""Metrics that every run has, whatever target is asked for."""


def metrics(rounds: pd.DataFrame, target: float | None = None) -> pd.DataFrame:
    """The metrics of each run, indexed by variant and seed; with ``target`` also when it was reached, as ``reached`` says."""
    import pandas as pd

    groups = rounds.groupby(["variant", "seed"], observed=True, sort=True)
    totals = groups[["devices_arrived", "devices_selected", "uplink_bits", "energy_j"]].sum()
    last = groups[["accuracy_mean", "accuracy_p10", "global_accuracy"]].last()  # the last that is not NaN
    columns = {
        "latency_s": groups["latency_s"].mean(),
        "latency_p95_s": groups["latency_s"].quantile(0.95),
        "planned_latency_s": groups["planned_latency_s"].mean(),
        "objective": groups["objective"].mean(),
        "prune_ratio": groups["prune_ratio_mean"].mean(),
        "arrived_share": totals["devices_arrived"] / totals["devices_selected"],
        "uplink_bits": totals["uplink_bits"],
        "energy_j": totals["energy_j"],
        **{name: last[name] for name in last},
    }
    frame = pd.DataFrame(columns)
    if target is None:
        return frame
    hits = rounds[rounds["accuracy_mean"] >= target].groupby(["variant", "seed"], observed=True)["t_end_s"].min().reindex(frame.index)
    return frame.assign(reached=hits.notna(), **{TIME_TO_ACCURACY: hits.fillna(groups["t_end_s"].max())})
