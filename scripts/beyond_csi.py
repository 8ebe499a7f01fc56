# noqa: INP001 - a script, not a package
"""Old and partial channel knowledge of moving devices: from scenarios/studies/csi_speed.yaml."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import pandas as pd
from beyond_runs import cell, panels, per_cent, seeded, whole, with_bars
from matplotlib.figure import Figure

import cosim
from cosim.plot.style import axes

SPEED = "mobility.speed_min_m_s"
GRACE = 1.02
"""A round closes so late after its planned end: slots are whole."""
LOOKS = {  # one colour for an age, one line for a plan
    "mean-0s": ("mean gain, now", "C0", "-"),
    "mean-1s": ("mean gain, 1 s old", "C1", "-"),
    "mean-5s": ("mean gain, 5 s old", "C3", "-"),
    "snapshot-0s": ("snapshot, now", "0.5", ":"),
    "outage-0s": ("outage 5 %, now", "C0", "--"),
    "outage-1s": ("outage 5 %, 1 s old", "C1", "--"),
    "outage-5s": ("outage 5 %, 5 s old", "C3", "--"),
}
COLUMNS = {
    "late": "updates that miss the deadline [%]",
    "over": "realised over planned latency of a round",
    "pruned": "mean pruning ratio",
}


@lru_cache
def measured(study: cosim.Study) -> pd.DataFrame:
    """By plan, speed [m/s] and seed: the ``COLUMNS``, and ``steady``, misses of devices whose state of sight did not change [%]."""
    speeds = {name: float(overrides[SPEED]) for name, overrides in study.plan["variants"].items()}
    rounds, devices = whole(study, study.rounds), whole(study, study.devices).sort_values("round")
    after = devices.groupby(["variant", "seed", "device"], observed=True)["los"].shift(-1)  # a round begins where the last one ends
    devices = devices.assign(steady=after == devices["los"])[devices["selected"]]
    devices = devices.merge(rounds[["variant", "seed", "round", "planned_latency_s"]], on=["variant", "seed", "round"])
    late = 100.0 * (devices["t_total_s"] > GRACE * devices["planned_latency_s"])
    each = devices[["variant", "seed"]].assign(late=late, steady=late.where(devices["steady"]), pruned=devices["prune_ratio"])
    keys = ["variant", "seed"]
    over = (rounds["latency_s"] / rounds["planned_latency_s"]).rename("over").groupby([rounds[key] for key in keys], observed=True).mean()
    found = each.groupby(keys, observed=True).mean().join(over).reset_index()
    names = found["variant"].astype(str)
    return found.assign(plan=names.str.partition(",")[0], speed=names.map(speeds)).set_index(["plan", "speed", "seed"]).sort_index()


def tables(study: cosim.Study) -> str:
    """A table of each of the ``COLUMNS``, plans by speeds."""
    found = measured(study)
    speeds = sorted(found.index.unique("speed"))
    parts = []
    for column, title in COLUMNS.items():
        rows = [(title, *(f"{speed:.0f} m/s" for speed in speeds))]
        rows += [(label, *(cell(found.loc[(plan, speed), column]) for speed in speeds)) for plan, (label, _, _) in LOOKS.items()]
        if column == "late":
            label = f"{LOOKS['outage-0s'][0]}, sight unchanged"
            rows.append((label, *(cell(found.loc[("outage-0s", speed), "steady"]) for speed in speeds)))
        parts.append(rows)
    return "\n\n".join([seeded(study, parts[0]), *(seeded(study, rows).partition("\n\n")[2] for rows in parts[1:])])


def findings(study: cosim.Study) -> str:
    """What the tables say, with their numbers."""
    mean = measured(study).groupby(["plan", "speed"])[["late", "steady", "over", "pruned"]].mean()
    mean[["late", "steady"]] /= 100
    still, fast = mean.index.unique("speed").min(), mean.index.unique("speed").max()

    def late(plan: str, speed: float) -> str:
        return per_cent(mean.loc[(plan, speed), "late"])

    def span(plans: str, column: str, show: Callable[[float], str] = "{:.2f}".format) -> str:
        some = mean.loc[mean.index.get_level_values("plan").str.startswith(plans), column]
        return f"{show(some.min())} to {show(some.max())}"

    unchanged = per_cent(mean.loc["outage-0s", "steady"].max())
    return f"""\
- Planned with the **mean rate**, {span("mean", "late", per_cent)} of the updates miss the deadline: an exact allocator leaves nobody time
  to spare, and averages fall short of their mean, however well it is known. A **snapshot** knows one fade of many:
  {span("snapshot", "late", per_cent)}.
- **Outage-aware**, it is {late("outage-0s", still)} standing still, and at {fast:.0f} m/s {late("outage-0s", fast)} with a fresh gain and
  {late("outage-5s", fast)} with one that is 5 s old. A round takes {span("outage", "over")} of what was planned instead of
  {span("mean", "over")}. The price is pruning: {span("outage", "pruned")} of the shared model instead of {span("mean", "pruned")}.
- What the margin does not know is the line of sight and, of an old gain, the path loss: of the devices whose state of sight did
  not change during the round at most {unchanged} missed the deadline with a fresh gain, at any speed."""


def figure(study: cosim.Study) -> Figure:
    """The ``COLUMNS`` over speed."""
    found = measured(study)
    made, drawn = panels(len(COLUMNS), figsize=(13.0, 3.6))
    for ax, (column, title) in zip(drawn, COLUMNS.items(), strict=True):
        axes(ax, x="speed [m/s]", y=title)
        for plan, (label, colour, dash) in LOOKS.items():
            by_speed = found.loc[plan].groupby("speed")[column]
            samples = [values.to_numpy() for _, values in by_speed]
            with_bars(ax, list(by_speed.groups), samples, label=label, color=colour, linestyle=dash)
        ax.axhline(1.0 if column == "over" else 0.0, color="0.6", linewidth=0.8)
    made.legend(*drawn[0].get_legend_handles_labels(), loc="outside right center", frameon=False, fontsize=8)
    return made
