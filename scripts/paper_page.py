# noqa: INP001 - a script, not a package
"""The page docs/paper.md from the studies of scenarios/paper: every number in it is computed here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import cosim
from cosim import statistics
from cosim.plot.study import StudyPlots
from cosim.plot.style import axes, legend, line
from cosim.study.metrics import TIME_TO_ACCURACY, Effort, accuracy_within, effort, metrics
from cosim.study.tables import pair, stars

BASELINE, PROPOSED = "personalization_only", "kkt"
SETTINGS = {"slow fading": ",snapshot,block_s-1e6", "fast fading": ",ergodic,block_s-0.001"}
SCHEMES = (
    PROPOSED,
    "kkt_alternating",
    BASELINE,
    "personalization_selected",
    "quantised",
    "pruning_only",
    "fedavg",
    "fixed_ratio",
    "equal_bandwidth",
)
DRAWN = tuple(name for name in SCHEMES if name != "kkt_alternating")  # it lies on top of kkt
FRONTIER = {1.0: BASELINE, 0.75: "kkt-0.75", 0.5: PROPOSED, 0.35: "kkt-0.35", 0.2: "kkt-0.2"}
EQUAL: Mapping[Effort, str] = {"round": "rounds", "time_s": "simulated time", "kept_flops": "FLOPs"}
MARGIN = 0.005
"""Loss of accuracy that counts as none: half a point."""
LATENCY_SHARE = 0.51
BETTER_TARGET = 0.92
"""What ``stop`` says in better.yaml."""
LATER = "not simulated yet"
TARGET_SHARE = 0.98
"""Time to accuracy: until this share of what personalization alone reaches in the end."""


@dataclass(frozen=True)
class Setting:
    """The runs of one setting: what ``StudyPlots`` draws."""

    rounds: pd.DataFrame
    devices: pd.DataFrame

    def effort(self, by: Effort) -> pd.Series:
        """As ``Study.effort``."""
        return effort(self.rounds, by)

    def swept(self, path: str) -> dict[str, dict[float, str]]:
        """Nothing is swept within a setting."""
        raise ValueError(f"no variant sets {path}")

    def known(self, names: Iterable[str]) -> list[str]:
        """Those of which a run is finished, in the order given."""
        return [name for name in names if name in self.rounds["variant"].cat.categories]

    def seeds(self, variant: str) -> str:
        """The finished seeds of a variant: ``1-4, 7``."""
        return spans(sorted(self.values("latency_s", variant).index))

    @cached_property
    def target(self) -> float:
        """The accuracy of the time to accuracy, in whole per cent."""
        final = metrics(self.rounds)["accuracy_mean"].xs(BASELINE, level="variant").mean()
        return float(np.floor(100 * TARGET_SHARE * final) / 100)

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """A row for each variant and seed, with the time to accuracy."""
        return metrics(self.rounds, self.target)

    def values(self, metric: str, variant: str) -> pd.Series:
        """A metric of a variant by seed."""
        return self.metrics[metric].xs(variant, level="variant")

    def ratio(self, metric: str, variant: str) -> statistics.Interval:
        """A metric over that of the baseline, seed by seed."""
        return statistics.student_t((self.values(metric, variant) / self.values(metric, BASELINE)).dropna())

    def gain(self, variant: str, by: Effort = "round", baseline: str = BASELINE) -> statistics.Difference:
        """Accuracy less that of another at equal effort, seed by seed; NaN where one of them had measured none by then."""
        found = accuracy_within(self.rounds, by, baseline).xs(variant, level="variant").dropna()
        if found.empty:
            return statistics.Difference(statistics.Interval(np.nan, np.nan, np.nan, 0), np.nan)
        return statistics.paired(found["accuracy"], found["baseline"])


def finished(study: cosim.Study) -> list[int]:
    """Seeds of which every variant is finished."""
    done = study.runs.groupby("seed")["finished"].all()
    return [int(seed) for seed in done.index[done]]


def spans(numbers: Sequence[int]) -> str:
    """Ascending numbers with runs of them drawn together: ``1-4, 7``."""
    starts = [number for number in numbers if number - 1 not in numbers]
    ends = [number for number in numbers if number + 1 not in numbers]
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True))


def in_setting(studies: Sequence[cosim.Study], ending: str) -> Setting:
    """The finished runs of variants whose name ends so, without the ending."""
    names = [name for study in studies for name in study.variants if name.endswith(ending)]
    tables = (pd.concat([getattr(study, table).astype({"variant": str}) for study in studies]) for table in ("rounds", "devices"))
    return Setting(*(_cut(table, names, ending) for table in tables))


def _cut(table: pd.DataFrame, names: Sequence[str], ending: str) -> pd.DataFrame:
    rows = table[table["variant"].isin(names)]
    found = [name.removesuffix(ending) for name in names if name in set(rows["variant"])]
    return rows.assign(variant=pd.Categorical(rows["variant"].str.removesuffix(ending), categories=found)).reset_index(drop=True)


def write(studies: Mapping[str, cosim.Study], folder: Path, planned: int) -> None:
    """Write ``paper.md`` and its figures under ``img/paper`` into a folder; ``planned``: seeds of the headline in all."""
    both = [studies[name] for name in ("headline", "frontier") if name in studies]
    settings = {name: in_setting(both, ending) for name, ending in SETTINGS.items()}
    images = folder / "img/paper"
    images.mkdir(parents=True, exist_ok=True)
    for name, figure in figures(settings, studies).items():
        figure.savefig(images / f"{name}.png", dpi=110)
    (folder / "paper.md").write_text(text(settings, studies, planned), encoding="utf-8")


# --- text -------------------------------------------------------------------------------------------


def text(settings: Mapping[str, Setting], studies: Mapping[str, cosim.Study], planned: int) -> str:
    """The whole page."""
    values = {
        "seeds": seeds_line(settings, planned),
        "claims": claims(settings),
        **{f"schemes {name}": schemes(setting) for name, setting in settings.items()},
        **{f"costs {name}": costs(setting) for name, setting in settings.items()},
        **{f"frontier {name}": frontier(setting) for name, setting in settings.items()},
        **{f"least {name}": least(setting) for name, setting in settings.items()},
        "better": better(studies["better"]) if "better" in studies else LATER,
        "pilot": pilot(studies["pilot"]),
    }
    return filled("paper.md.in", values)


def filled(template: str, values: Mapping[str, str]) -> str:
    """A template beside this file with its marks ``{{ name }}`` replaced, all of them."""
    text = (Path(__file__).parent / template).read_text(encoding="utf-8")
    for name, value in values.items():
        mark = f"{{{{ {name} }}}}"
        assert mark in text, mark
        text = text.replace(mark, value)
    return text


def seeds_line(settings: Mapping[str, Setting], planned: int) -> str:
    """How far the runs are, of how many planned seeds."""
    names = (*SCHEMES, *FRONTIER.values())
    counts = [len(setting.values("latency_s", name)) if setting.known([name]) else 0 for setting in settings.values() for name in names]
    if min(counts) >= planned:
        return f"All {planned} seeds are finished."
    return (
        f"**Not all runs are finished**: of {planned} seeds, schemes have {min(counts)} to {max(counts)}; each table says which. "
        "`make paper` simulates what is missing and writes this page again."
    )


def claims(settings: Mapping[str, Setting]) -> str:
    """What was wanted of the proposed scheme, what was measured, and whether it holds."""
    rows = [("claim", *settings)]
    checks = {
        "planned latency over personalization only: 0.50": lambda s: _at_most(s.ratio("planned_latency_s", PROPOSED), 0.505),
        f"realised latency over personalization only: at most {LATENCY_SHARE}": lambda s: _at_most(
            s.ratio("latency_s", PROPOSED), LATENCY_SHARE
        ),
        "accuracy less personalization only, equal rounds: above -0.5 points": lambda s: _at_least(s.gain(PROPOSED), -MARGIN),
        "the same at equal simulated time: not below 0": lambda s: _at_least(s.gain(PROPOSED, "time_s"), 0.0),
        "the same at equal FLOPs": lambda s: points(s.gain(PROPOSED, "kept_flops")),
        **{
            f"accuracy less {name}, equal rounds: above 0": lambda s, name=name: _at_least(s.gain(PROPOSED, baseline=name), 0.0)
            for name in ("fedavg", "pruning_only", "personalization_selected")
        },
        "mean pruning ratio": lambda s: number(statistics.student_t(s.values("prune_ratio", PROPOSED))),
    }
    rows += [(claim, *(_tried(check, setting) for setting in settings.values())) for claim, check in checks.items()]
    return table(rows)


def _tried(check: Callable[[Setting], str], setting: Setting) -> str:
    try:
        return check(setting)
    except KeyError:  # a scheme without a finished run
        return LATER


def _at_most(interval: statistics.Interval, limit: float) -> str:
    return f"{number(interval)}: {verdict(limit - interval.estimate, limit - interval.high, limit - interval.low)}"


def _at_least(difference: statistics.Difference, limit: float) -> str:
    found = difference.interval
    return f"{points(difference)}: {verdict(found.estimate - limit, found.low - limit, found.high - limit)}"


def verdict(estimate: float, low: float, high: float) -> str:
    """Whether a quantity that should not be negative is so, and whether its 95 % interval says the same."""
    word, sure = ("yes", low >= 0) if estimate >= 0 else ("no", high < 0)
    doubt = "a single seed has no interval" if np.isnan(low) else "the interval reaches across"
    return f"**{word}**" if sure else f"**{word}**, but {doubt}"


def schemes(setting: Setting) -> str:
    """Latency, time to accuracy and accuracy of each scheme."""
    head = (
        "scheme",
        "seeds",
        "planned latency [s]",
        "latency [s]",
        "over personalization only",
        f"median time to {setting.target:.2f} [s] (runs that got there)",
        "accuracy, mean of devices",
        "10th percentile",
        "less personalization only, equal rounds [points]",
        "equal time [points]",
    )
    rows = [
        (
            name,
            setting.seeds(name),
            number(statistics.student_t(setting.values("planned_latency_s", name))),
            number(statistics.student_t(setting.values("latency_s", name))),
            number(setting.ratio("latency_s", name)),
            reached(setting, name),
            number(statistics.student_t(setting.values("accuracy_mean", name))),
            number(statistics.student_t(setting.values("accuracy_p10", name))),
            "" if name == BASELINE else points(setting.gain(name)),
            "" if name == BASELINE else points(setting.gain(name, "time_s")),
        )
        for name in setting.known(SCHEMES)
    ]
    return table([head, *rows])


def reached(setting: Setting, variant: str) -> str:
    """Kaplan-Meier median of the time to accuracy, and how many runs got there."""
    rows = setting.metrics.xs(variant, level="variant")
    median = statistics.median_time(rows[TIME_TO_ACCURACY], rows["reached"])
    return f"{f'{median:.3g}' if np.isfinite(median) else 'not reached'} ({int(rows['reached'].sum())} of {len(rows)})"


COSTS = {
    "uplink [Gbit]": ("uplink_bits", 1e-9),
    "counted work [TFLOP]": ("kept_flops", 1e-12),
    "energy [kJ]": ("energy_j", 1e-3),
    "mean pruning ratio": ("prune_ratio", 1.0),
    "devices pruned": ("pruned_share", 1.0),
    "least keepers of a parameter": ("coverage_min", 1.0),
    "parameters nobody kept": ("uncovered_fraction", 1.0),
}


def costs(setting: Setting) -> str:
    """What each scheme sends, computes, spends, and leaves untrained; devices that take part."""
    asked = setting.devices.groupby(["variant", "seed"], observed=True)["selected"].mean()
    rows = [
        (
            name,
            *(number(statistics.student_t(scale * setting.values(metric, name))) for metric, scale in COSTS.values()),
            number(statistics.student_t(asked.xs(name, level="variant"))),
        )
        for name in setting.known(SCHEMES)
    ]
    return table([("scheme", *COSTS, "devices that take part"), *rows])


def frontier(setting: Setting) -> str:
    """Latency and pruning at each threshold, and the accuracy less that at 1.0."""
    head = (
        "relative threshold",
        "seeds",
        "latency [s]",
        "mean pruning ratio",
        "accuracy",
        *(f"less that at 1.0, equal {word} [points]" for word in EQUAL.values()),
    )
    rows = [
        (
            f"{threshold:g}",
            setting.seeds(name),
            number(statistics.student_t(setting.values("latency_s", name))),
            number(statistics.student_t(setting.values("prune_ratio", name))),
            number(statistics.student_t(setting.values("accuracy_mean", name))),
            *("" if name == BASELINE else points(setting.gain(name, by)) for by in EQUAL),
        )
        for threshold, name in FRONTIER.items()
        if setting.known([name])
    ]
    return table([head, *rows])


def least(setting: Setting) -> str:
    """Down to which threshold no loss over the margin was found, and down to which it was excluded, from above without a gap."""
    gains = {threshold: setting.gain(name).interval for threshold, name in FRONTIER.items() if name != BASELINE and setting.known([name])}
    not_found = _down_to(gains, [gain.high >= -MARGIN or np.isnan(gain.high) for gain in gains.values()])
    excluded = _down_to(gains, [gain.low > -MARGIN for gain in gains.values()])
    return f"down to {not_found} no loss over half a point is significant; down to {excluded} the 95 % interval excludes such a loss"


def _down_to(gains: Mapping[float, Any], good: Sequence[bool]) -> str:
    held = [threshold for position, threshold in enumerate(gains) if all(good[: position + 1])]
    return f"**{held[-1]:g}**" if held else "1 (no pruning)"


def pilot(study: cosim.Study) -> str:
    """Accuracy of each rule, and what pruning cost with the same steps."""
    setting = in_setting([study], "")
    rows = []
    for name in setting.known(study.variants):
        mean = setting.values("accuracy_mean", name)
        rule, _, steps = name.partition(",")
        lost = "" if rule == "unpruned" else points(setting.gain(name, baseline=f"unpruned,{steps}"))
        rows.append((rule, steps, setting.seeds(name), number(statistics.student_t(mean)), lost))
    return table([("rule", "global steps", "seeds", "accuracy", "less unpruned with the same steps [points]"), *rows])


def better(study: cosim.Study) -> str:
    """Time to accuracy of each policy, and what it is less than the paper's, seed by seed."""
    rounds = in_setting([study], "").rounds
    found = metrics(rounds, BETTER_TARGET)
    times = found[TIME_TO_ACCURACY].clip(upper=statistics.horizon(found[TIME_TO_ACCURACY], found["reached"]))
    rows = []
    for name in study.variants:
        own, paper = (times.xs(variant, level="variant") for variant in (name, "paper"))
        ratio, gap = statistics.student_t(own / paper), statistics.paired(own, paper)
        less = "" if name == "paper" else f"{number(gap.interval)} {stars(gap.p_value)}".rstrip().replace("*", "\\*")
        some = found.xs(name, level="variant")
        cells = (statistics.student_t(some[metric]) for metric in ("latency_s", "prune_ratio", "arrived_share", "uplink_bits"))
        reached = f"{int(some['reached'].sum())} of {len(some)}"
        rows.append((name, number(statistics.student_t(own)), reached, less, "" if name == "paper" else number(ratio), *map(number, cells)))
    head = (
        "policy",
        f"time to {BETTER_TARGET:g} [s]",
        "runs that got there",
        "less paper [s]",
        "over paper",
        "latency [s]",
        "mean pruning ratio",
        "updates that arrived",
        "uplink [bit]",
    )
    return table([head, *rows])


def number(interval: statistics.Interval) -> str:
    """An estimate and half its 95 % interval, which is left out where the runs differ by no more than rounding."""
    if interval.half_width <= 1e-6 * abs(interval.estimate):
        return f"{interval.estimate:.4g}"
    return pair(interval.estimate, interval.low, interval.high, "±")


def points(difference: statistics.Difference) -> str:
    """A difference of accuracies in points, with its interval and stars."""
    found = difference.interval
    if not found.count:
        return "not measured"
    shown = pair(100 * found.estimate, 100 * found.low, 100 * found.high, "±")
    return f"{shown if shown.lstrip('(').startswith('-') else f'+{shown}'} {stars(difference.p_value)}".rstrip().replace("*", "\\*")


def table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first row is its head."""
    head, *body = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([head, f"| --- |{' ---: |' * (len(rows[0]) - 1)}", *body])


# --- figures ----------------------------------------------------------------------------------------


def figures(settings: Mapping[str, Setting], studies: Mapping[str, cosim.Study]) -> dict[str, Figure]:
    """All figures by name; two settings side by side."""
    made = {name: Figure(figsize=(9.5, 3.6), layout="constrained") for name in ("accuracy_time", "accuracy_rounds", "pruning", "frontier")}
    for name, figure in made.items():
        for ax, (title, setting) in zip(figure.subplots(1, 2), settings.items(), strict=True):
            draw(name, setting, ax)
            ax.set_title(title, fontsize=9)
            ax.grid(alpha=0.25, linewidth=0.5)
    made["objective"] = Figure(figsize=(11.0, 3.4), layout="constrained")
    paths = {"bandwidth": "uplink.bandwidth_hz", "devices": "devices.count", "threshold": "round.latency_threshold"}
    for ax, (name, path) in zip(made["objective"].subplots(1, 3), paths.items(), strict=True):
        studies[f"objective_{name}"].plot.sweep("objective", path, ax)
        ax.grid(alpha=0.25, linewidth=0.5)
    return made


def draw(name: str, setting: Setting, ax: Any) -> None:
    """One panel of a figure."""
    plots = StudyPlots(setting)
    if name == "pruning":
        plots.pruning_by_gain(ax, variants=setting.known([PROPOSED, "equal_bandwidth"]))
    elif name == "frontier":
        draw_frontier(setting, ax)
    else:
        plots.accuracy(ax, by="time_s" if name == "accuracy_time" else "round", variants=setting.known(DRAWN))


def draw_frontier(setting: Setting, ax: Any) -> None:
    """Accuracy less that of personalization only against the latency's share, at equal effort of three kinds."""
    axes(ax, x="latency over that of personalization only", y="accuracy less personalization only [points]")
    for index, (by, word) in enumerate(EQUAL.items()):
        names = setting.known(name for name in FRONTIER.values() if name != BASELINE)
        share = [setting.ratio("latency_s", name).estimate for name in names]
        gains = [setting.gain(name, by).interval for name in names]
        centre, half = [100 * gain.estimate for gain in gains], [100 * gain.half_width for gain in gains]
        ax.errorbar(share, centre, yerr=np.nan_to_num(half), label=f"equal {word}", marker="o", markersize=3, capsize=2, **line(index))
    ax.axhline(-100 * MARGIN, color="0.6", linewidth=0.8, linestyle=":")
    legend(ax)
