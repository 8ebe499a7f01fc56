"""Metrics x variants with confidence intervals, and differences from a baseline paired by seed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cosim import statistics
from cosim.errors import CosimError, RunError
from cosim.rng import Streams
from cosim.study.layout import STUDY_NAME
from cosim.study.plan import name_of
from cosim.study.results import Study
from cosim.trace.run import Run

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


@dataclass(frozen=True)
class Cell:
    """One metric of one variant; ``difference`` from the baseline over the seeds that both have, None for the baseline itself.

    ``p_adjusted``: the p-value of the paired t-test after Holm's correction over the variants of this metric.
    """

    metric: str
    variant: str
    interval: statistics.Interval
    difference: statistics.Interval | None = None
    p_value: float = np.nan
    p_adjusted: float = np.nan


@dataclass(frozen=True)
class Comparison:
    """Cells by metric and variant, the baseline first, and notes that belong below the table."""

    variants: tuple[str, ...]
    cells: Mapping[str, Mapping[str, Cell]]
    notes: tuple[str, ...]


def gather(directories: Sequence[Path]) -> pd.DataFrame:
    """Rounds of all finished runs with their variant and seed: of one study, or of run directories.

    Run directories that differ in nothing but their seeds are one variant, named after what sets it apart from the others.
    Raises RunError.
    """
    studies = [directory for directory in directories if (directory / STUDY_NAME).is_file()]
    if studies and len(directories) > 1:
        raise CosimError(f"compare takes one study, or run directories; {studies[0]} is a study among {len(directories)} directories")
    frame = Study.open(studies[0]).rounds if studies else _of_runs([Run.open(directory) for directory in directories])
    if frame.empty:
        raise RunError(f"{', '.join(map(str, directories))}: no finished run, so there is nothing to compare")
    return frame


def _of_runs(runs: Sequence[Run]) -> pd.DataFrame:
    import pandas as pd

    for run in runs:
        if run.manifest.get("status") != "finished":
            raise RunError(f"{run.directory} is not finished ({run.manifest.get('status')}), so it cannot be compared")
    scenarios = [{name: value for name, value in run.scenario.items() if name != "seed"} for run in runs]
    names = _names(scenarios)
    keys = list(zip(names, (run.manifest["seed"] for run in runs), strict=True))
    for index, key in enumerate(keys):
        if key in keys[:index]:
            raise CosimError(f"{runs[index].directory} and {runs[keys.index(key)].directory} are the same scenario with the same seed")
    frames = [run.rounds.assign(variant=name, seed=seed) for run, (name, seed) in zip(runs, keys, strict=True)]
    frame = pd.concat(frames, ignore_index=True)
    return frame.assign(variant=pd.Categorical(frame["variant"], categories=list(dict.fromkeys(names))))


def _names(scenarios: Sequence[Mapping[str, Any]]) -> list[str]:
    """A name for each scenario: its values where they differ; where kinds differ, the kind alone."""
    flat = [_flat(scenario) for scenario in scenarios]
    paths = list(dict.fromkeys(path for leaves in flat for path in leaves))
    differing = [path for path in paths if len({json.dumps(leaves.get(path), default=str) for leaves in flat}) > 1]
    nodes = tuple(path.removesuffix("kind") for path in differing if path.endswith(".kind"))
    telling = [path for path in differing if path.endswith(".kind") or not path.startswith(nodes)]
    names = [name_of({path: leaves[path] for path in telling if path in leaves}) for leaves in flat]
    first = {json.dumps(scenario, sort_keys=True, default=str): name for scenario, name in zip(scenarios, names, strict=True)}
    if len(set(first.values())) < len(first):  # too short to tell them apart
        numbers = {key: f"{name},{number}" for number, (key, name) in enumerate(first.items(), 1)}
        return [numbers[json.dumps(scenario, sort_keys=True, default=str)] for scenario in scenarios]
    return names


def _flat(data: Any, path: str = "") -> dict[str, Any]:
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else None
    if items is None:
        return {path: data}
    return {name: leaf for key, value in items for name, leaf in _flat(value, f"{path}.{key}" if path else str(key)).items()}


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


def compare(rounds: pd.DataFrame, *, baseline: str | None = None, target: float | None = None, resample: bool = False) -> Comparison:
    """Compare variants by the metrics that all their runs have.

    ``baseline``: the variant that others are compared with; default: the first. ``target``: accuracy for the time to accuracy.
    ``resample``: bootstrap instead of Student-t intervals. Raises CosimError for an unknown baseline.
    """
    frame = metrics(rounds, target)
    known = [name for name in rounds["variant"].cat.categories if name in frame.index.get_level_values("variant")]
    if baseline is not None and baseline not in known:
        raise CosimError(f"--baseline {baseline}: no such variant; variants: {', '.join(known)}")
    first = baseline or known[0]
    variants = (first, *(name for name in known if name != first))
    notes = []
    if target is not None:
        notes.append(_time_note(frame, variants, target))
        frame = frame if frame["reached"].any() else frame.drop(columns=TIME_TO_ACCURACY)
    if TIME_TO_ACCURACY in frame:
        frame[TIME_TO_ACCURACY] = frame[TIME_TO_ACCURACY].clip(upper=statistics.horizon(frame[TIME_TO_ACCURACY], frame["reached"]))
    shown = [name for name in METRICS if name in frame and frame[name].notna().all()]
    cells = {name: _row(frame[name], name, variants, resample=resample) for name in shown}
    return Comparison(variants, cells, (_note(frame, variants, resample=resample), *notes))


def _row(column: pd.Series[float], metric: str, variants: tuple[str, ...], *, resample: bool) -> dict[str, Cell]:
    series = {name: column.xs(name, level="variant") for name in variants}
    first, others = variants[0], variants[1:]
    rng = Streams(0).generator("bootstrap") if resample else None

    def interval(values: pd.Series[float]) -> statistics.Interval:
        return statistics.student_t(values) if rng is None else statistics.bootstrap(values, rng)

    row = {first: Cell(metric, first, interval(series[first]))}
    common = {name: series[name].index.intersection(series[first].index) for name in others}
    differences = {
        name: statistics.paired(series[name].loc[seeds], series[first].loc[seeds], rng=rng) if len(seeds) else None
        for name, seeds in common.items()
    }
    adjusted = statistics.holm([found.p_value if found else np.nan for found in differences.values()])
    for (name, found), p in zip(differences.items(), adjusted, strict=True):
        gap, p_value = (found.interval, found.p_value) if found else (None, np.nan)
        row[name] = Cell(metric, name, interval(series[name]), gap, p_value, float(p))
    return row


def _note(frame: pd.DataFrame, variants: tuple[str, ...], *, resample: bool) -> str:
    counts = {name: len(frame.loc[name]) for name in variants}
    runs = (
        f"{counts[variants[0]]} runs each"
        if len(set(counts.values())) == 1
        else ", ".join(f"{name}: {n} runs" for name, n in counts.items())
    )
    kind = "BCa bootstrap" if resample else "Student-t"
    return (
        f"Mean over seeds, 95 % {kind} intervals; {runs}. Second line: difference from {variants[0]}, paired by seed; "
        "*** p < 0.001, ** p < 0.01, * p < 0.05, paired t-test, Holm-adjusted over the variants."
    )


def _time_note(frame: pd.DataFrame, variants: tuple[str, ...], target: float) -> str:
    until = statistics.horizon(frame[TIME_TO_ACCURACY], frame["reached"])
    parts = []
    for name in variants:
        rows = frame.loc[name]
        median = statistics.median_time(rows[TIME_TO_ACCURACY], rows["reached"])
        when = f"{median:.4g} s" if np.isfinite(median) else "not reached"
        parts.append(f"{name}: {int(rows['reached'].sum())} of {len(rows)} runs, median {when}")
    return (
        f"Accuracy {target:g} was reached by {'; '.join(parts)} (Kaplan-Meier). "
        f"{TIME_TO_ACCURACY} is the mean of min(time, {until:.4g} s): runs that did not get there are censored."
    )
