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
    "pruned_share": ("", "devices that were pruned at all, of those asked"),
    "coverage_min": ("", "devices that kept the parameter that fewest kept, mean over rounds"),
    "uncovered_fraction": ("", "parameters that nobody kept, mean share over rounds"),
    "arrived_share": ("", "updates that arrived, of those asked for"),
    "uplink_bits": ("bit", "bits sent by all devices in all rounds"),
    "kept_flops": ("FLOP", "work of all devices in all rounds, counted on their real sub-models"),
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
    "pruned_share",
    "coverage_min",
    "uncovered_fraction",
    "arrived_share",
    "uplink_bits",
    "kept_flops",
    "energy_j",
    "accuracy_mean",
    "accuracy_p10",
    "global_accuracy",
]
"""Metrics that every run has, whatever target is asked for."""
HAIR: Final = 1e-3
"""Efforts that differ by less, relatively, are equal: half of twice the rounds must not miss the last of them by rounding."""
Effort: TypeAlias = Literal["round", "time_s", "kept_flops", "uplink_bits"]
"""What accuracy may be looked at in terms of: rounds, simulated time, or the sums up to then of work and of bits sent."""


def metrics(rounds: pd.DataFrame, target: float | None = None) -> pd.DataFrame:
    """The metrics of each run, indexed by variant and seed; with ``target`` also when it was reached, as ``reached`` says.

    What a run did not measure is NaN; so is its time to an accuracy if it measured none.
    """
    import pandas as pd

    groups = rounds.groupby(["variant", "seed"], observed=True, sort=True)
    totals = groups[["devices_arrived", "devices_pruned", "devices_selected", "uplink_bits", "kept_flops", "energy_j"]].sum(min_count=1)
    last = groups[["accuracy_mean", "accuracy_p10", "global_accuracy"]].last()  # the last that is not NaN
    columns = {
        "latency_s": groups["latency_s"].mean(),
        "latency_p95_s": groups["latency_s"].quantile(0.95),
        "planned_latency_s": groups["planned_latency_s"].mean(),
        "objective": groups["objective"].mean(),
        "prune_ratio": groups["prune_ratio_mean"].mean(),
        "pruned_share": totals["devices_pruned"] / totals["devices_selected"],
        "coverage_min": groups["coverage_min"].mean(),
        "uncovered_fraction": groups["uncovered_fraction"].mean(),
        "arrived_share": totals["devices_arrived"] / totals["devices_selected"],
        "uplink_bits": totals["uplink_bits"],
        "kept_flops": totals["kept_flops"],
        "energy_j": totals["energy_j"],
        **{name: last[name] for name in last},
    }
    frame = pd.DataFrame(columns)
    if target is None:
        return frame
    hits = rounds[rounds["accuracy_mean"] >= target].groupby(["variant", "seed"], observed=True)["t_end_s"].min().reindex(frame.index)
    time = hits.fillna(groups["t_end_s"].max()).where(frame["accuracy_mean"].notna())
    return frame.assign(reached=hits.notna(), **{TIME_TO_ACCURACY: time})


def effort(rounds: pd.DataFrame, by: Effort) -> pd.Series[float]:
    """What had been spent by the end of each round of each run, like ``rounds``: rounds from 1, simulated time [s], or a running sum."""
    if by == "round":
        return rounds["round"] + 1.0
    if by == "time_s":
        return rounds["t_end_s"]
    return rounds.groupby(["variant", "seed"], observed=True)[by].cumsum()


def accuracy_within(rounds: pd.DataFrame, by: Effort, baseline: str) -> pd.DataFrame:
    """Accuracy at equal effort: of each run and of the baseline's run with its seed, when the one that spent less in all had ended.

    Indexed by variant and seed; columns ``accuracy``, ``baseline`` and ``spent``, the effort at which both were read: the last
    ``accuracy_mean`` measured by then, or within a thousandth of it, which is what a user would have got. NaN where none was measured
    yet. Seeds that the baseline lacks are left out.
    """
    import pandas as pd

    known = rounds.assign(spent=effort(rounds, by)).sort_values(["variant", "seed", "round"])
    runs = {key: run[["spent", "accuracy_mean"]] for key, run in known.groupby(["variant", "seed"], observed=True)}
    rows = {}
    for (variant, seed), run in runs.items():
        other = runs.get((baseline, seed))
        if other is not None:
            spent = min(run["spent"].iloc[-1], other["spent"].iloc[-1])
            rows[variant, seed] = (_at(run, spent), _at(other, spent), spent)
    index = pd.MultiIndex.from_tuples(rows, names=["variant", "seed"])
    return pd.DataFrame(list(rows.values()), index, columns=["accuracy", "baseline", "spent"])


def _at(run: pd.DataFrame, spent: float) -> float:
    """The last accuracy that a run had measured by the time that it had spent so much, or a hair more; NaN if none."""
    seen = run.loc[(run["spent"] <= spent * (1.0 + HAIR)) & run["accuracy_mean"].notna(), "accuracy_mean"]
    return float(seen.iloc[-1]) if len(seen) else float("nan")
