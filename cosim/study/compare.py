"""Metrics x variants with confidence intervals, and differences from a baseline paired by seed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cosim import statistics
from cosim.errors import CosimError, RunError
from cosim.rng import Streams
from cosim.study.layout import STUDY_NAME
from cosim.study.metrics import METRICS, TIME_TO_ACCURACY, metrics
from cosim.study.plan import Until, name_of
from cosim.study.results import Study
from cosim.trace.run import Run

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Cell:
    """One metric of one variant; ``difference`` from the baseline over the seeds that both have, None for the baseline itself.

    ``p_adjusted``: the p-value of the paired t-test after Holm's correction over the variants of this metric; NaN without a test.
    """

    metric: str
    variant: str
    interval: statistics.Interval
    difference: statistics.Interval | None = None
    p_value: float = np.nan
    p_adjusted: float = np.nan


@dataclass(frozen=True)
class Comparison:
    """Cells by metric and variant, the baseline first, and notes that belong below the table.

    ``sequential``: the number of seeds was not fixed beforehand, but followed from the results.
    """

    variants: tuple[str, ...]
    cells: Mapping[str, Mapping[str, Cell]]
    notes: tuple[str, ...]
    sequential: bool = False


@dataclass(frozen=True)
class Member:
    """A run among those that are compared, and the variant that it belongs to."""

    variant: str
    seed: int
    run: Run


def members(directories: Sequence[Path]) -> list[Member]:
    """All finished runs of one study, or of run directories, variant after variant.

    Run directories that differ in nothing but their seeds are one variant, named after what sets it apart from the others.
    Raises RunError, or CosimError where they cannot be compared.
    """
    studies = [directory for directory in directories if (directory / STUDY_NAME).is_file()]
    if studies and len(directories) > 1:
        raise CosimError(f"compare takes one study, or run directories; {studies[0]} is a study among {len(directories)} directories")
    found = _of_study(Study.open(studies[0])) if studies else _of_runs([Run.open(directory) for directory in directories])
    if not found:
        raise RunError(f"{', '.join(map(str, directories))}: no finished run, so there is nothing to compare")
    return found


def _of_study(study: Study) -> list[Member]:
    done = study.runs[study.runs["finished"]]
    places = zip(done["variant"], done["seed"].tolist(), done["directory"], strict=True)
    return [Member(str(variant), seed, Run.open(place)) for variant, seed, place in places]


def _of_runs(runs: Sequence[Run]) -> list[Member]:
    for run in runs:
        if run.manifest.get("status") != "finished":
            raise RunError(f"{run.directory} is not finished ({run.manifest.get('status')}), so it cannot be compared")
    names = _names([{name: value for name, value in run.scenario.items() if name != "seed"} for run in runs])
    keys = list(zip(names, (run.manifest["seed"] for run in runs), strict=True))
    for index, key in enumerate(keys):
        if key in keys[:index]:
            raise CosimError(f"{runs[index].directory} and {runs[keys.index(key)].directory} are the same scenario with the same seed")
    return [Member(name, seed, run) for run, (name, seed) in zip(runs, keys, strict=True)]


def rounds_of(chosen: Sequence[Member]) -> pd.DataFrame:
    """Rounds of all runs, with their variant (categorical, in the order given) and seed."""
    import pandas as pd

    frames = [one.run.rounds.assign(variant=one.variant, seed=one.seed) for one in chosen]
    frame = pd.concat(frames, ignore_index=True)
    return frame.assign(variant=pd.Categorical(frame["variant"], categories=list(dict.fromkeys(one.variant for one in chosen))))


def compare_directories(directories: Sequence[Path], **options: Any) -> Comparison:
    """Compare the finished runs of one study, or of run directories; options as of ``compare``. Raises RunError, CosimError."""
    is_study = len(directories) == 1 and (directories[0] / STUDY_NAME).is_file()
    sequential = Study.open(directories[0]).until if is_study else None
    return compare(rounds_of(members(directories)), sequential=sequential, **options)


def _names(scenarios: Sequence[Mapping[str, Any]]) -> list[str]:
    """A name for each scenario: its values where they differ; where kinds differ, the kind alone."""
    flat = [leaves_of(scenario) for scenario in scenarios]
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


def leaves_of(data: Any, path: str = "") -> dict[str, Any]:
    """Leaves of nested plain data by dotted path."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else None
    if items is None:
        return {path: data}
    return {name: leaf for key, value in items for name, leaf in leaves_of(value, f"{path}.{key}" if path else str(key)).items()}


def compare(
    rounds: pd.DataFrame,
    *,
    baseline: str | None = None,
    target: float | None = None,
    resample: bool = False,
    sequential: Until | None = None,
) -> Comparison:
    """Compare variants by the metrics that all their runs have.

    ``baseline``: the variant that others are compared with; default: the first. ``target``: accuracy for the time to accuracy.
    ``resample``: bootstrap instead of Student-t intervals. ``sequential``: the rule by which seeds were added, if they were.
    Raises CosimError for an unknown baseline.
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
    notes = [_note(frame, cells, variants, resample=resample), *([_sequential_note(sequential)] if sequential else []), *notes]
    return Comparison(variants, cells, tuple(notes), sequential is not None)


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


def _note(frame: pd.DataFrame, cells: Mapping[str, Mapping[str, Cell]], variants: tuple[str, ...], *, resample: bool) -> str:
    counts = {name: len(frame.loc[name]) for name in variants}
    runs = (
        f"{counts[variants[0]]} runs each"
        if len(set(counts.values())) == 1
        else ", ".join(f"{name}: {n} runs" for name, n in counts.items())
    )
    kind = "BCa bootstrap" if resample else "Student-t"
    untested = any(cell.difference and cell.difference.half_width == 0 for row in cells.values() for cell in row.values())
    return (
        f"Mean over seeds, 95 % {kind} intervals; {runs}. Second line: difference from {variants[0]}, paired by seed; "
        "*** p < 0.001, ** p < 0.01, * p < 0.05, paired t-test, Holm-adjusted over the variants"
        + ("; no test of differences that are the same for every seed (+- 0)." if untested else ".")
    )


def _sequential_note(until: Until) -> str:
    return (
        f"Sequential: seeds were added until the interval of {until.metric} was within {100 * until.precision:g} % of its mean for every "
        "variant. Such intervals cover a little less than 95 % (docs/studies.md)."
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
