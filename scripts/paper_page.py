# noqa: INP001 - a script, not a package
"""The page docs/paper.md from the studies of scenarios/paper: every number in it is computed here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from paper_figures import figures
from paper_runs import (
    BASELINE,
    BETTER_TARGET,
    EQUAL,
    FRONTIER,
    LATENCY_SHARE,
    LATER,
    MARGIN,
    PROPOSED,
    SCHEMES,
    SETTINGS,
    Setting,
    finished,
    in_setting,
    spans,
)

import cosim
from cosim import statistics
from cosim.study.metrics import TIME_TO_ACCURACY, metrics
from cosim.study.tables import pair, stars

RATIOS = (-0.01, 0.01, 0.3, 0.5, 0.7, 0.9)
"""Limits of classes of pruning ratios."""


def write(studies: Mapping[str, cosim.Study], folder: Path, planned: int) -> None:
    """Write ``paper.md`` and its figures under ``img/paper`` into a folder; ``planned``: seeds of the headline in all."""
    both = [studies[name] for name in ("headline", "frontier") if name in studies]
    settings = {name: in_setting(both, ending) for name, ending in SETTINGS.items()}
    images = folder / "img/paper"
    images.mkdir(parents=True, exist_ok=True)
    for name, figure in figures(settings, studies).items():
        figure.savefig(images / f"{name}.png", dpi=110)
    (folder / "paper.md").write_text(text(settings, studies, planned), encoding="utf-8")


def text(settings: Mapping[str, Setting], studies: Mapping[str, cosim.Study], planned: int) -> str:
    """The whole page."""
    values = {
        "seeds": seeds_line(settings, planned),
        "claims": claims(settings),
        **{f"schemes {name}": _tried(schemes, setting) for name, setting in settings.items()},
        **{f"costs {name}": _tried(costs, setting) for name, setting in settings.items()},
        **{f"losses {name}": _tried(losses, setting) for name, setting in settings.items()},
        **{f"frontier {name}": _tried(frontier, setting) for name, setting in settings.items()},
        **{f"least {name}": _tried(least, setting) for name, setting in settings.items()},
        "better": better(studies["better"]) if "better" in studies else LATER,
        "pilot": pilot(studies["pilot"]) if "pilot" in studies else LATER,
        "pilot training": pilot(studies["pilot_training"]) if "pilot_training" in studies else LATER,
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
        "`make paper` simulates what is missing and writes this page again. With so few seeds, intervals and stars say little."
    )


def claims(settings: Mapping[str, Setting]) -> str:
    """What was wanted of the proposed scheme, what was measured, and whether it holds."""
    rows = [("claim", *settings)]
    checks = {
        "planned latency over personalization only: 0.50": lambda s: _at_most(s.ratio("planned_latency_s", PROPOSED), 0.505),
        f"realised latency over personalization only: at most {LATENCY_SHARE}": lambda s: _at_most(
            s.ratio("latency_s", PROPOSED), LATENCY_SHARE
        ),
        "accuracy less personalization only, equal rounds: at least -0.5 points": lambda s: _at_least(s.gain(PROPOSED), -MARGIN),
        "the same at equal simulated time: at least 0": lambda s: _at_least(s.gain(PROPOSED, "time_s"), 0.0),
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
    if not setting.known([BASELINE]):
        return LATER
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


def losses(setting: Setting) -> str:
    """Accuracy of the proposed scheme's devices less that of the same devices unpruned, in the last round, by how far they were pruned."""
    rows = setting.devices[setting.devices["variant"].isin([PROPOSED, BASELINE])]
    last = rows[rows["round"] == rows["round"].max()].set_index(["seed", "device"])
    pruned, whole = (last[last["variant"] == name] for name in (PROPOSED, BASELINE))
    both = pruned.join(whole["accuracy"], rsuffix="_whole", how="inner")
    lost = pd.DataFrame({"used": both["accuracy"], "full": both["accuracy_full"]}).sub(both["accuracy_whole"], axis=0)
    head = ("pruning ratio", "devices, of all seeds", "accuracy less unpruned [points]", "with the unpruned shared part [points]")
    body = [
        (f"{max(bounds.left, 0):g} to {bounds.right:g}", str(len(some)), *(f"{100 * some[name].mean():+.1f}" for name in ("used", "full")))
        for bounds, some in lost.groupby(pd.cut(both["prune_ratio"], RATIOS), observed=True)
    ]
    return table([head, *body])


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
    """Accuracy of each rule and kind of training, and what pruning cost with the same training."""
    setting = in_setting([study], "")
    rows = []
    for name in setting.known(study.variants):
        mean = setting.values("accuracy_mean", name)
        rule, _, training = name.partition(",")
        lost = "" if rule == "unpruned" else points(setting.gain(name, baseline=f"unpruned,{training}"))
        rows.append((rule, training.removeprefix("global_steps-"), setting.seeds(name), number(statistics.student_t(mean)), lost))
    return table([("rule", "steps", "seeds", "accuracy", "less unpruned, trained alike [points]"), *rows])


def better(study: cosim.Study) -> str:
    """Time to accuracy of each policy, and what it is less than the paper's, over the seeds that all of them have."""
    seeds = finished(study)
    if not seeds:
        return LATER
    found = metrics(study.rounds[study.rounds["seed"].isin(seeds)], BETTER_TARGET)
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
    return f"Seeds {spans(seeds)}.\n\n{table([head, *rows])}"


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
