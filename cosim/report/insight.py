"""What the tables say about who was last and why, what waiting cost, and what the pruned lacked: numbers, not words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from cosim.trace.run import Run

RADIO, COMPUTING = "radio", "computing"
MATERIAL: Final = 0.02
"""A device whose time strays from the plan by less than this share of it went as planned."""


def idle_rounds(run: Run) -> list[int]:
    """Rounds in which nobody was at work, since nobody was selected."""
    if run.asynchronous:
        return []
    asked = run.devices.groupby("round")["selected"].any()
    return [int(index) for index in asked.index[~asked]]


def device_rounds(run: Run) -> pd.DataFrame:
    """Rows of devices that were selected, and stayed until their update or the round's end; with what follows from them.

    ``latency_s``: from the start of the round until the aggregation that took the update: the round's, unless asynchronous; of a late
    device until its round ended, or the run if asynchronous. ``done_s``: time until the device was done, that latency for one that was
    late. ``before_s``, ``upload_s``: time until the upload began and of the upload, cut at that end for a late device.
    ``waiting_s``: for its own earlier work, and from its own end to that of its latency. ``plan_before_s``, ``plan_upload_s``: the
    same parts in the plan, fixed time + (1 - rho) prunable time, and the rest; NaN where no plan was recorded.
    """
    stayed = run.devices["selected"] & run.devices["status"].isin(["arrived", "late", "rejected"])
    rows, rounds = run.devices[stayed].reset_index(drop=True), run.rounds.set_index("round")
    over = rows["merged_round"].fillna(rounds.index.max() if run.asynchronous else rows["round"])
    rows["latency_s"] = over.map(rounds["t_end_s"]) - rows["round"].map(rounds["t_start_s"])
    ended = rows["t_total_s"].notna()
    before = rows[["t_download_s", "t_compute_s", "t_wait_s"]].sum(axis=1, skipna=False).fillna(rows["latency_s"])
    plan_before = rows["fixed_time_s"] + (1 - rows["prune_ratio"]) * rows["prunable_time_s"]
    return rows.assign(
        done_s=rows["t_total_s"].fillna(rows["latency_s"]),
        before_s=before,
        upload_s=rows["t_upload_s"].fillna((rows["latency_s"] - before).clip(lower=0)),
        waiting_s=rows["t_wait_s"].fillna(0) + (rows["latency_s"] - rows["t_total_s"]).where(ended, 0).clip(lower=0),
        plan_before_s=plan_before,
        plan_upload_s=(rows["t_planned_s"] - plan_before).clip(lower=0),
    )


def waiting_share(rows: pd.DataFrame) -> float:
    """Share of the devices' time that was waiting; ``rows`` as from ``device_rounds``. NaN without rows."""
    present_s = float(np.maximum(rows["latency_s"], rows["done_s"]).sum())
    return float(rows["waiting_s"].sum()) / present_s if present_s > 0 else float("nan")


def stragglers(rows: pd.DataFrame) -> pd.DataFrame:
    """The last device of those that began with each round, indexed by round: of those that were late the one that began its upload last.

    ``over_s``: by how much it took longer than planned; ``bound``: ``radio`` or ``computing``, the part that exceeded its plan
    most, or where the device went as planned the part that takes longer.
    """
    order = rows.assign(late=rows["t_total_s"].isna()).sort_values(["late", "done_s", "before_s"], kind="stable")
    last = order.groupby("round").tail(1).set_index("round").sort_index()
    over_before, over_upload = last["before_s"] - last["plan_before_s"], last["upload_s"] - last["plan_upload_s"]
    over = last["done_s"] - last["t_planned_s"]
    strayed = (over > MATERIAL * last["t_planned_s"]) & over_before.notna()
    radio = np.where(strayed, over_upload > over_before, last["upload_s"] > last["before_s"])
    return last.assign(over_s=over, bound=np.where(radio, RADIO, COMPUTING))


def pruned(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows whose model was pruned and whose plan is known, with what bound them.

    ``full_upload_s``: what the upload would take in the band that the device was given, had nothing been pruned:
    planned upload x (Q0 + Q) / (Q0 + (1 - rho) Q). ``bound``: ``radio`` where that is longer than its whole computing
    in the prunable part, else ``computing``.
    """
    known = rows[(rows["prune_ratio"] > 0) & (rows["plan_upload_s"] > 0) & rows["prunable_time_s"].notna()]
    whole = known["fixed_bits"] + known["prunable_bits"]
    full_s = known["plan_upload_s"] * whole / (whole - known["prune_ratio"] * known["prunable_bits"])
    return known.assign(full_upload_s=full_s, bound=np.where(full_s > known["prunable_time_s"], RADIO, COMPUTING))
