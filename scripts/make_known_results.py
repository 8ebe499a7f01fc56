# noqa: INP001 - a script, not a package
"""The page docs/known_results.md: what two studies say about results that the field takes as known.

    cosim study scenarios/studies/known_personalization.yaml --out runs/known_personalization
    cosim study scenarios/studies/known_pruning.yaml --out runs/known_pruning
    python scripts/make_known_results.py runs/known_personalization runs/known_pruning

Numbers and verdicts on the page come from the runs: means over the seeds with 95 % Student-t intervals, differences seed by seed,
p-values of the paired t-test after Holm's correction over the rows of a table.
"""

from __future__ import annotations

import argparse
import textwrap
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import pandas as pd

import cosim
from cosim.statistics import Interval
from cosim.study.compare import Cell, compare

ROOT = Path(__file__).parents[1]
METRIC = "accuracy_mean"
PARTITIONS = {"classes_per_device": "2 of 10 classes each", "dirichlet": "Dirichlet, alpha = 0.5", "iid": "all alike (IID)"}
METHODS = {"fedavg": "FedAvg", "fedper": "FedPer", "fedrep": "FedRep", "ditto": "Ditto", "local": "local training"}
RULES = {
    "layer": "magnitude, per layer",
    "global": "magnitude, global",
    "rotation": "magnitude, per layer, `rotation: 0.5`",
    "taylor": "Taylor, on the device",
    "random": "random",
    "structured": "magnitude, whole units",
    "ordered": "ordered (HeteroFL)",
    "rolling": "rolling (FedRolex)",
}
CURVE = ("unpruned", "layer-work", "layer-0.8", "layer-0.9", "layer-0.95")


def main() -> None:
    """Read both studies, write the page and its figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("personalization", type=Path, help="directory of the study known_personalization")
    parser.add_argument("pruning", type=Path, help="directory of the study known_pruning")
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="folder of the page; its figure goes into img/ there")
    options = parser.parse_args()
    write(cosim.Study.open(options.personalization), cosim.Study.open(options.pruning), options.out)


def write(personalization: cosim.Study, pruning: cosim.Study, out: Path) -> None:
    """The page and its figure in a folder. Raises where a run of a study is missing."""
    for study in (personalization, pruning):
        assert study.runs["finished"].all(), f"{study.directory}: some runs are missing; run the study again"
    (out / "img").mkdir(parents=True, exist_ok=True)
    means = costs_of(pruning)
    draw(pruning, means, out / "img/known_results.png")
    parts = [head(personalization, pruning), *personal(personalization), *curve(pruning, means), *rules(pruning, means)]
    (out / "known_results.md").write_text("\n".join(parts), encoding="utf-8")


def head(*studies: cosim.Study) -> str:
    """What the page is, and how it was made."""
    runs = sum(len(study.runs) for study in studies)
    asked = f"""Does this simulator show what the field takes as known? Two studies in `scenarios/studies` ask it, on the data that come
    with cosim (Fashion-MNIST, 10,000 images) and small networks, in a network that serves everyone: {len(studies[0].seeds)}
    seeds, {runs} runs. All of this page was written by these commands:"""
    read = """Accuracies are means over the devices, each on test data dealt like its own training data, in the last round, of the
    model that the device would use (where there is pruning: the pruned one). Values are means over the seeds +- half the
    width of their 95 % Student-t interval. Differences are taken seed by seed: same data, same devices, same first model. A
    difference is called *higher* or *lower* where the paired t-test, Holm-adjusted over the rows of its table, has p <
    0.05, and *not told apart* otherwise."""
    commands = """```text
cosim study scenarios/studies/known_personalization.yaml --out runs/known_personalization
cosim study scenarios/studies/known_pruning.yaml --out runs/known_pruning
python scripts/make_known_results.py runs/known_personalization runs/known_pruning
```
"""
    return "\n".join(["# Known results\n", paragraph(asked), commands, paragraph(read)])


def paragraph(text: str) -> str:
    """Lines of at most 140 characters, and an empty one."""
    return textwrap.fill(" ".join(text.split()), 140) + "\n"


def cells(study: cosim.Study, baseline: str, others: list[str]) -> dict[str, Cell]:
    """The metric of these variants, compared with the baseline."""
    chosen = study.rounds[study.rounds["variant"].isin([baseline, *others])]
    chosen = chosen.assign(variant=chosen["variant"].cat.remove_unused_categories())
    return dict(compare(chosen, baseline=baseline).cells[METRIC])


def verdict(cell: Cell) -> str:
    """What the paired test says."""
    if cell.difference is None:
        return ""
    if not cell.p_adjusted < 0.05:  # NaN too
        return "not told apart"
    return "higher" if cell.difference.estimate > 0 else "lower"


def value(interval: Interval, *, sign: bool = False) -> str:
    """An interval in per cent."""
    return f"{100 * interval.estimate:{'+' if sign else ''}.1f} +- {100 * interval.half_width:.1f}"


def row(label: str, cell: Cell, *middle: str) -> str:
    """A line of a table: what, its accuracy, its difference, what that says."""
    difference = "" if cell.difference is None else value(cell.difference, sign=True)
    return f"| {' | '.join([label, *middle, value(cell.interval), difference, verdict(cell)])} |"


def table(*columns: str) -> list[str]:
    """The head of a table whose last three columns are accuracy, difference and verdict."""
    names = [*columns, "accuracy [%]", "difference [points]", "so it is"]
    return [f"| {' | '.join(names)} |", f"| {' | '.join(['---'] * len(columns) + ['---:', '---:', '---'])} |"]


def personal(study: cosim.Study) -> list[str]:
    """Personalization against FedAvg, for each way to deal the data."""
    lines = [
        "## Personalization against one model for all\n",
        paragraph(
            """20 devices with 200 images each, a network 784-64-10, 20 rounds, 10 steps on the shared part in each; methods with a
            personal part take 10 steps on that too. Settings: see [learning](learning.md)."""
        ),
    ]
    verdicts = {}
    for partition, meaning in PARTITIONS.items():
        names = {f"{method},{partition}": label for method, label in METHODS.items()}
        first, *others = names
        found = cells(study, first, others)
        verdicts[partition] = {method: verdict(found[f"{method},{partition}"]) for method in METHODS if method != "fedavg"}
        lines += [f"**{meaning}**, compared with FedAvg:\n", *table("method"), *(row(names[name], found[name]) for name in names), ""]
    lines += [f"- {PARTITIONS[partition]}: {told(found, 'FedAvg')}" for partition, found in verdicts.items()]
    return [*lines, ""]


def told(found: dict[str, str], baseline: str) -> str:
    """A sentence: who is higher, lower, or neither."""
    groups = {
        word: [METHODS.get(name, name) for name, said in found.items() if said == word] for word in ("higher", "lower", "not told apart")
    }
    parts = [f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} {word}" for word, names in groups.items() if names]
    return f"compared with {baseline}, {'; '.join(parts)}."


def costs_of(study: cosim.Study) -> pd.DataFrame:
    """Per variant: pruning ratio, and counted work and uplink bits as shares of the unpruned; means over rounds, devices and seeds."""
    columns = ["prune_ratio", "kept_flops", "payload_bits"]
    means = study.devices.groupby("variant", observed=True)[columns].mean()
    for name in columns[1:]:
        means[name] /= means.loc["unpruned", name]
    return means


def costs(means: pd.DataFrame, variant: str) -> tuple[str, str, str]:
    """Cells for ratio, work and bits."""
    ratio, work, bits = means.loc[variant]
    return f"{ratio:.2f}", f"{work:.2f}", f"{bits:.2f}"


def curve(study: cosim.Study, means: pd.DataFrame) -> list[str]:
    """Accuracy against the pruning ratio, for one rule."""
    first, *others = CURVE
    found = cells(study, first, others)
    lines = [
        "## Accuracy and the pruning ratio\n",
        paragraph(
            """10 devices with 200 images each, dealt with Dirichlet's alpha = 0.5, a network of 6 and 12 filters and 64 hidden units,
            FedAvg, 20 rounds of 5 steps. Masks: magnitude, per layer, the same for all devices. Compared with the unpruned model:"""
        ),
        *table("ratio", "work", "bits"),
        *(row(costs(means, name)[0], found[name], *costs(means, name)[1:]) for name in CURVE),
        "",
    ]
    series = [study.rounds[study.rounds["variant"] == name].groupby("seed")[METRIC].last() for name in CURVE]
    ratios = [f"{means.loc[name, 'prune_ratio']:.2f}" for name in CURVE]
    steps = [
        f"{int((after < before).sum())} of {len(after)} seeds from {ratio} to {following}"
        for (ratio, following), (before, after) in zip(pairwise(ratios), pairwise(series), strict=True)
    ]
    return [*lines, paragraph(f"Accuracy falls from one ratio to the next in {'; '.join(steps)}.")]


def rules(study: cosim.Study, means: pd.DataFrame) -> list[str]:
    """Mask rules at an equal ratio, and at equal counted work."""
    lines = [
        "## Which mask: at an equal ratio, and at equal work\n",
        paragraph(
            """The same devices and network. 83 % of its weights are in `fc1`, 94 % of its work is in the convolutions, so an equal
            ratio is not equal work: a global mask takes most from `fc1` and keeps the convolutions; narrow networks have less work
            than weights; Taylor on the device is charged for the gradients of what is pruned, and sends its mask. *Work* and *bits*
            are counted, as shares of the unpruned model's."""
        ),
    ]
    for kind, title in (("0.8", "Equal ratio, rho = 0.8"), ("work", "About equal work, 0.38 of the unpruned")):
        names = [f"{rule}-{kind}" for rule in RULES]
        found = cells(study, names[0], names[1:])
        lines += [f"**{title}**, compared with magnitude per layer:\n", *table("mask", "ratio", "work", "bits")]
        lines += [row(RULES[name.split("-")[0]], found[name], *costs(means, name)) for name in names]
        order = sorted(names, key=lambda name: -found[name].interval.estimate)
        best = ", ".join(f"{RULES[name.split('-')[0]]} ({100 * found[name].interval.estimate:.1f} %)" for name in order)
        lines += ["", paragraph(f"In the order of their means: {best}.")]
    return [*lines, "![Accuracy against counted work](img/known_results.png)\n"]


def draw(study: cosim.Study, means: pd.DataFrame, path: Path) -> None:
    """Accuracy against counted work: a point for each rule and operating point, the curve of magnitude per layer."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    everything = list(study.variants)
    found = cells(study, everything[0], everything[1:])
    figure, axes = plt.subplots(figsize=(7.0, 4.2), constrained_layout=True)
    series = {"layer": ("unpruned", *(name for name in everything if name.startswith("layer")))}
    series |= {rule: tuple(f"{rule}-{kind}" for kind in ("work", "0.8")) for rule in RULES if rule != "layer"}
    for number, (rule, names) in enumerate(series.items()):
        ordered = sorted(names, key=lambda name: means.loc[name, "kept_flops"])
        x = [means.loc[name, "kept_flops"] for name in ordered]
        y = [100 * found[name].interval.estimate for name in ordered]
        spread = [100 * found[name].interval.half_width for name in ordered]
        style = {"color": "0.4", "linestyle": "-"} if rule == "layer" else {"color": f"C{number}", "linestyle": ":"}
        axes.errorbar(x, y, yerr=spread, marker="o", ms=4, capsize=2, lw=1, label=RULES[rule].replace("`", ""), **style)
    axes.set(xlabel="counted work / that of the unpruned model", ylabel="accuracy of the model in use [%]", xlim=(0, 1.05))
    figure.legend(loc="outside right center", frameon=False, fontsize=8)
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
