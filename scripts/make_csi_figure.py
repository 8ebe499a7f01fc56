# noqa: INP001 - a script, not a package
"""Figure and table of docs/csi.md, from the study scenarios/studies/csi_speed.yaml.

    cosim study scenarios/studies/csi_speed.yaml --out runs/csi_speed
    python scripts/make_csi_figure.py runs/csi_speed

Writes docs/img/csi_speed.png and, between its two markers in docs/csi.md, the table.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import pandas as pd

import cosim

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- table: scripts/make_csi_figure.py -->\n", "<!-- end of table -->\n"
LOOKS = {  # one colour for an age, one line for a plan
    "mean-0s": ("mean gain, now", "C0", "-"),
    "mean-1s": ("mean gain, 1 s old", "C1", "-"),
    "mean-5s": ("mean gain, 5 s old", "C3", "-"),
    "snapshot-0s": ("snapshot, now", "0.5", ":"),
    "outage-0s": ("outage 5 %, now", "C0", "--"),
    "outage-1s": ("outage 5 %, 1 s old", "C1", "--"),
    "outage-5s": ("outage 5 %, 5 s old", "C3", "--"),
}


def measured(study: cosim.Study) -> pd.DataFrame:
    """Per plan, speed [m/s] and seed: late updates and those in an unchanged state of sight [%], pruning ratio, of selected devices."""
    devices = study.devices.sort_values("round")
    after = devices.groupby(["variant", "seed", "device"], observed=True)["los"].shift(-1)  # a round begins where the last one ends
    devices = devices.assign(steady=after == devices["los"])[devices["selected"]]
    late = 100.0 * (devices["status"] == "late")
    words = devices["variant"].astype(str).str.extract(r"^(?P<plan>[^,]+),speed_min_m_s-(?P<speed>[0-9.]+),")
    frame = pd.DataFrame(
        {
            "plan": words["plan"],
            "speed": words["speed"].astype(float),
            "seed": devices["seed"].astype(int),
            "late": late,
            "steady": late.where(devices["steady"]),
            "pruned": devices["prune_ratio"],
        }
    )
    return frame.groupby(["plan", "speed", "seed"]).mean()


def draw(table: pd.DataFrame, path: Path) -> None:
    """Late devices and pruning over speed; bars span the seeds."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.8), sharex=True, constrained_layout=True)
    for plan, (label, color, line) in LOOKS.items():
        by_speed = table.loc[plan].groupby("speed")
        mean, low, high = by_speed.mean(), by_speed.min(), by_speed.max()
        for axes, column in ((left, "late"), (right, "pruned")):
            spread = [mean[column] - low[column], high[column] - mean[column]]
            axes.errorbar(mean.index, mean[column], yerr=spread, label=label, color=color, linestyle=line, marker="o", ms=3.5, capsize=2)
    left.axhline(5.0, color="0.8", lw=1, zorder=0)
    left.set(xlabel="speed [m/s]", ylabel="late updates [%]", ylim=(0, None))
    right.set(xlabel="speed [m/s]", ylabel="mean pruning ratio", ylim=(0, None))
    figure.legend(*left.get_legend_handles_labels(), loc="outside right center", frameon=False, fontsize=8)
    figure.savefig(path, dpi=120)


def markdown(table: pd.DataFrame) -> str:
    """Means over the seeds: late updates in %, the pruning ratio in brackets; last, late updates where sight did not change."""
    mean = table.groupby(["plan", "speed"]).mean()
    speeds = sorted(mean.index.unique("speed"))
    rows = ["| plan | " + " | ".join(f"{speed:.0f} m/s" for speed in speeds) + " |", "| --- |" + " ---: |" * len(speeds)]
    for plan, (label, _, _) in LOOKS.items():
        cells = (mean.loc[(plan, speed)] for speed in speeds)
        rows.append(f"| {label} | " + " | ".join(f"{cell['late']:.1f} ({cell['pruned']:.2f})" for cell in cells) + " |")
    unchanged = " | ".join(f"{mean.loc[('outage-0s', speed), 'steady']:.1f}" for speed in speeds)
    rows.append(f"| {LOOKS['outage-0s'][0]}, sight unchanged | {unchanged} |")
    return "\n".join(rows) + "\n"


def main(directory: str) -> None:
    """Read the study, write figure and table."""
    table = measured(cosim.Study.open(directory))
    draw(table, ROOT / "docs/img/csi_speed.png")
    page = ROOT / "docs/csi.md"
    head, rest = page.read_text(encoding="utf-8").split(BEGIN)
    page.write_text(head + BEGIN + markdown(table) + END + rest.split(END)[1], encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
