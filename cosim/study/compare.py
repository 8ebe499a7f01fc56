"""Metrics x variants with confidence intervals, and differences from a baseline paired by seed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cosim import statistics
from cosim.errors import CosimError, RunError, counted, did_you_mean
from cosim.rng import Streams
from cosim.study.layout import STUDY_NAME
from cosim.study.metrics import METRICS, TIME_TO_ACCURACY, metrics
from cosim.study.plan import Until, name_of
from cosim.study.results import Study
from cosim.trace.run import Run

if TYPE_CHECKING:
    import pandas as pd

LONGEST_NAME: Final = 40
"""Letters of a variant's name that a table has room for."""


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

    Run directories that differ in nothing but their seeds are one variant, named after what sets it apart from the others, or after
    its first directory where that is much.
    Raises RunError, or CosimError where they cannot be compared.
    """
    studies = [directory for directory in directories if (directory / STUDY_NAME).is_file()]
    if studies and len(directories) > 1:
        raise CosimError(f"compare takes one study, or run directories; {studies[0]} is a study among {len(directories)} directories")
    found = _of_study(Study.open(studies[0])) if studies else _of_runs([Run.open(directory) for directory in directories])
    if not found:
        raise RunError(f"{', '.join(map(str, directories))}: no finished run, so there is nothing to compare")
    return found


def study_of(directories: Sequence[Path]) -> Study | None:
    """The study that is meant, None for run directories. Raises RunError when it is damaged."""
    return Study.open(directories[0]) if len(directories) == 1 and (directories[0] / STUDY_NAME).is_file() else None


def _of_study(study: Study) -> list[Member]:
    done = study.runs[study.runs["finished"]]
    places = zip(done["variant"], done["seed"].tolist(), done["directory"], strict=True)
    return [Member(str(variant), seed, Run.open(place)) for variant, seed, place in places]


def _of_runs(runs: Sequence[Run]) -> list[Member]:
    for run in runs:
        if run.manifest.get("status") != "finished":
            raise RunError(f"{run.directory} is not finished ({run.manifest.get('status')}), so it cannot be compared")
    names = _short(_names([{name: value for name, value in run.scenario.items() if name != "seed"} for run in runs]), runs)
    keys = list(zip(names, (run.manifest["seed"] for run in runs), strict=True))
    for index, key in enumerate(keys):
        if key in keys[:index]:
            raise CosimError(f"{runs[index].directory} and {runs[keys.index(key)].directory} are the same scenario with the same seed")
    return [Member(name, seed, run) for run, (name, seed) in zip(runs, keys, strict=True)]


def rounds_of(chosen: Sequence[Member], planned: Sequence[str] = ()) -> pd.DataFrame:
    """Rounds of all runs, with their variant (categorical, those planned first, then in the order given) and seed."""
    import pandas as pd

    frames = [one.run.rounds.assign(variant=one.variant, seed=one.seed) for one in chosen]
    frame = pd.concat(frames, ignore_index=True)
    return frame.assign(
        variant=pd.Categorical(frame["variant"], categories=list(dict.fromkeys([*planned, *(one.variant for one in chosen)])))
    )


def compare_directories(directories: Sequence[Path], **options: Any) -> Comparison:
    """Compare the finished runs of one study, or of run directories; options as of ``compare``. Raises RunError, CosimError."""
    study = study_of(directories)
    rounds = rounds_of(members(directories), study.variants if study else ())
    return compare(rounds, sequential=study.until if study else None, **options)


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


def _short(names: list[str], runs: Sequence[Run]) -> list[str]:
    """The same, or the name of each one's first directory where what sets them apart fits no table and those differ."""
    first: dict[str, str] = {}
    for name, run in zip(names, runs, strict=True):
        first.setdefault(name, run.directory.absolute().name)
    if max(map(len, names)) <= LONGEST_NAME or len(set(first.values())) < len(first):
        return names
    return [first[name] for name in names]


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
    """Compare variants by the metrics that all their runs have; notes tell what is left out.

    ``baseline``: the variant that others are compared with; default: the first. ``target``: accuracy for the time to accuracy.
    ``resample``: bootstrap instead of Student-t intervals. ``sequential``: the rule by which seeds were added, if they were.
    Raises CosimError for an unknown baseline.
    """
    frame = metrics(rounds, target)
    known = [name for name in rounds["variant"].cat.categories if name in frame.index.get_level_values("variant")]
    if baseline is not None and baseline not in known:
        raise CosimError(f"--baseline {baseline}: no such variant; variants: {', '.join(known)}{did_you_mean(baseline, known)}")
    first = baseline or known[0]
    variants = (first, *(name for name in known if name != first))
    times: list[str] = []
    if target is not None:
        note, frame = _cut_times(frame, variants, target)
        times.append(note)
    whole = frame.where(frame.notna().groupby(level="variant", observed=True).transform("all"))
    shown = [name for name in METRICS if name in whole and whole[name].notna().any()]
    cells = {name: _row(whole[name], name, variants, resample=resample) for name in shown}
    notes = [
        _note(frame, cells, variants, resample=resample),
        *([_sequential_note(sequential)] if sequential else []),
        *_missing_notes(cells, variants, [name for name in rounds["variant"].cat.categories if name not in known]),
        *times,
    ]
    return Comparison(variants, cells, tuple(notes), sequential is not None)


def _row(column: pd.Series[float], metric: str, variants: tuple[str, ...], *, resample: bool) -> dict[str, Cell]:
    """Cells of the variants; ``column`` holds, of a variant, either all its runs or NaN."""
    series = {name: column.xs(name, level="variant").dropna() for name in variants}
    first, others = variants[0], variants[1:]
    rng = Streams(0).generator("bootstrap") if resample else None

    def interval(values: pd.Series[float]) -> statistics.Interval:
        if values.empty:
            return statistics.Interval(np.nan, np.nan, np.nan, 0)
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
        f"{counted(counts[variants[0]], 'run')} each"
        if len(set(counts.values())) == 1
        else ", ".join(f"{name}: {counted(n, 'run')}" for name, n in counts.items())
    )
    kind = "BCa bootstrap" if resample else "Student-t"
    untested = any(cell.difference and cell.difference.half_width == 0 for row in cells.values() for cell in row.values())
    means = f"Mean over seeds, 95 % {kind} intervals; {runs}."
    if len(variants) == 1:
        return means
    return (
        f"{means} Second line: difference from {variants[0]}, paired by seed; "
        "*** p < 0.001, ** p < 0.01, * p < 0.05, paired t-test, Holm-adjusted over the variants"
        + ("; no test of differences that are the same for every seed (+- 0)." if untested else ".")
    )


def _sequential_note(until: Until) -> str:
    return (
        f"Sequential: seeds were added until the interval of {until.metric} was within {100 * until.precision:g} % of its mean for every "
        "variant. Such intervals cover a little less than 95 % (docs/studies.md)."
    )


def _missing_notes(cells: Mapping[str, Mapping[str, Cell]], variants: Sequence[str], unfinished: Sequence[str]) -> list[str]:
    """What is left out: metrics that not every run of a variant has, and variants without a finished run."""
    lacking = {name: [metric for metric, row in cells.items() if not row[name].interval.count] for name in variants}
    told = "; ".join(f"{', '.join(metrics)} of {name}" for name, metrics in lacking.items() if metrics)
    notes = [f"Left out (-), because not every run has it: {told}."] if told else []
    return [*notes, *([f"Left out, because no run is finished: {', '.join(unfinished)}."] if unfinished else [])]


def _cut_times(frame: pd.DataFrame, variants: tuple[str, ...], target: float) -> tuple[str, pd.DataFrame]:
    """Who reached the target when, in words; and the metrics with times cut at the common horizon, without them if nobody did."""
    measured = frame[frame[TIME_TO_ACCURACY].notna()]
    parts = []
    for name in variants:
        rows = measured[measured.index.get_level_values("variant") == name]
        median = statistics.median_time(rows[TIME_TO_ACCURACY], rows["reached"])
        when = f"{median:.4g} s" if np.isfinite(median) else "not reached"
        told = f"{rows['reached'].sum()} of {counted(len(rows), 'run')}, median {when}" if len(rows) else "no accuracy measured"
        parts.append(f"{name}: {told}")
    note = f"Accuracy {target:g} was reached by {'; '.join(parts)} (Kaplan-Meier)."
    if not measured["reached"].any():
        return note, frame.drop(columns=TIME_TO_ACCURACY)
    until = statistics.horizon(measured[TIME_TO_ACCURACY], measured["reached"])
    cut = f"{TIME_TO_ACCURACY} is the mean of min(time, {until:.4g} s): runs that did not get there are censored."
    return f"{note} {cut}", frame.assign(**{TIME_TO_ACCURACY: frame[TIME_TO_ACCURACY].clip(upper=until)})
