"""Answers in plain words: how far the plan was off, who was last and why, what share of the time was waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cosim.report import insight
from cosim.report.summary import percent_text, quantity_text

if TYPE_CHECKING:
    import pandas as pd

    from cosim.trace.run import Run


MOST_NAMED: Final = 4


def answers(run: Run) -> list[tuple[str, str]]:
    """Questions and answers about the whole run; only those that its tables can answer."""
    rows = insight.device_rounds(run)
    alone = run.asynchronous
    made = [("How far was planned latency off?", _update_error(run.rounds, rows) if alone else _plan_error(run.rounds))]
    if not rows.empty:
        last = insight.stragglers(rows)
        made += [
            ("What share of the time was waiting?", _waiting(rows)),
            ("Which devices took longest, and why?", _slowest(last))
            if alone
            else ("Which devices held the rounds up, and why?", _stragglers(last)),
            ("Who was pruned, and why?", _pruned(rows, insight.pruned(rows))),
        ]
    return [(question, answer) for question, answer in made if answer]


def _plan_error(rounds: pd.DataFrame) -> str:
    known = rounds[rounds["latency_s"].notna() & rounds["planned_latency_s"].notna() & (rounds["planned_latency_s"] > 0)]
    if known.empty:
        return ""
    took, planned = float(known["latency_s"].mean()), float(known["planned_latency_s"].mean())
    error = known["latency_s"] - known["planned_latency_s"]
    worst = known.iloc[int(error.abs().argmax())]
    return (
        f"A round took {quantity_text(took, 's')} on average, planned were {quantity_text(planned, 's')}: {off(took, planned)}. "
        f"Furthest off was round {int(worst['round'])}: {quantity_text(worst['latency_s'], 's')} instead of "
        f"{quantity_text(worst['planned_latency_s'], 's')}."
    )


def _update_error(rounds: pd.DataFrame, rows: pd.DataFrame) -> str:
    """Of asynchronous rounds: they have no plan of their own, the devices have."""
    known = rows[rows["t_total_s"].notna() & (rows["t_planned_s"] > 0)]
    if known.empty:
        return ""
    took, planned = float(known["t_total_s"].mean()), float(known["t_planned_s"].mean())
    return (
        f"From when a device was asked until its update had come it took {quantity_text(took, 's')} on average, planned were "
        f"{quantity_text(planned, 's')}: {off(took, planned)}. The server aggregated every "
        f"{quantity_text(float(rounds['latency_s'].mean()), 's')} on average, with the updates that had come by then."
    )


def off(took_s: float, planned_s: float) -> str:
    """By how much something took longer or shorter than planned."""
    share = took_s / planned_s - 1
    if abs(share) < 0.005:
        return "as planned"
    return f"{quantity_text(abs(took_s - planned_s), 's')} ({100 * abs(share):.0f} %) {'longer' if share > 0 else 'shorter'} than planned"


def _waiting(rows: pd.DataFrame) -> str:
    share = insight.waiting_share(rows)
    own = float(rows["t_wait_s"].sum() / max(rows["waiting_s"].sum(), 1e-300))
    kind = (
        "at least 95 % of it for the updates of others"
        if own < 0.05
        else f"{percent_text(own)} of it for the device's own earlier work, the rest for the updates of others"
    )
    return f"{percent_text(share)} of the devices' time in the rounds was waiting" + (f", {kind}." if share > 0 else ".")


def _stragglers(last: pd.DataFrame) -> str:
    counts = last["device"].value_counts()
    radio = int((last["bound"] == insight.RADIO).sum())
    often, times = int(counts.index[0]), int(counts.iloc[0])
    most = f"Device {often} was last most often, in {times} of {len(last)} rounds" if times > 1 else "No device was last more than once"
    return (
        f"{most}. In {radio} of {len(last)} rounds the last device was held up by the radio, "
        f"in {len(last) - radio} by its computing. Round by round, below, names it for each round."
    )


def _slowest(last: pd.DataFrame) -> str:
    """Of asynchronous rounds: the slowest hold nobody up."""
    radio = int((last["bound"] == insight.RADIO).sum())
    return (
        f"No aggregation waited for everybody. The device that took longest of those that began with a round was held up by the radio in "
        f"{radio} of {len(last)} rounds, by its computing in {len(last) - radio}. Round by round, below, names it for each round."
    )


def _pruned(rows: pd.DataFrame, known: pd.DataFrame) -> str:
    if known.empty:
        return ""
    radio = float((known["bound"] == insight.RADIO).mean())
    computing = known.loc[known["bound"] == insight.COMPUTING, "device"]
    times = computing.groupby(computing).size().sort_values(ascending=False, kind="stable")
    often = ", ".join(str(device) for device in times.index[:MOST_NAMED])
    others = f" The others were compute-bound, most often device {often}." if radio < 1 else ""
    return (
        f"In {percent_text(len(known) / len(rows))} of the device rounds something was pruned, {percent_text(known['prune_ratio'].mean())} "
        f"of the model on average. {percent_text(radio)} of those devices were radio-bound: sending the whole model in their share of the "
        f"band would have taken longer than their computing.{others}"
    )


def round_notes(run: Run) -> dict[int, str]:
    """For each round: how far off it was, who was last and why, and what share of it was waiting."""
    rows = insight.device_rounds(run)
    if rows.empty:
        return {}
    by_round = dict(iter(rows.groupby("round")))
    totals = run.rounds.set_index("round")
    last, note = insight.stragglers(rows).reset_index(), _note_alone if run.asynchronous else _note
    return {  # a sentence each, so rounds are looped over
        row["round"]: note(row, by_round[row["round"]], totals.loc[row["round"]]) for row in last.to_dict("records")
    }


def _note(last: dict[Any, Any], rows: pd.DataFrame, total: pd.Series[Any]) -> str:
    took, planned = float(total["latency_s"]), float(total["planned_latency_s"])
    error = f", {off(took, planned)}" if np.isfinite(planned) and planned > 0 else ""
    late = rows[rows["t_total_s"].isna()]
    others = f" (and {len(late) - 1} more)" if len(late) > 1 else ""
    who = (
        f"Device {last['device']}{others} had not arrived when it closed"
        if len(late)
        else f"Last was device {last['device']}, after {quantity_text(last['done_s'], 's')}"
    )
    waited = percent_text(insight.waiting_share(rows))
    what = f"Round {last['round']} took {quantity_text(took, 's')}{error}. {who}. {_why(last, rows)}"
    return f"{what} Waiting was {waited} of the devices' time."


def _note_alone(last: dict[Any, Any], rows: pd.DataFrame, total: pd.Series[Any]) -> str:
    """Of an asynchronous round: what became of those that began with it, whenever their updates were taken."""
    late = rows[rows["t_total_s"].isna()]
    others = f" and {len(late) - 1} more were" if len(late) > 1 else " was"
    error = f", {off(last['done_s'], last['t_planned_s'])}" if last["t_planned_s"] > 0 else ""
    who = (
        f"device {last['device']}{others} still at work when the run ended"
        if len(late)
        else f"device {last['device']} took longest: {quantity_text(last['done_s'], 's')}{error}"
    )
    took, waited = quantity_text(float(total["latency_s"]), "s"), percent_text(insight.waiting_share(rows))
    return (
        f"Round {last['round']} took {took}. Of those that began with it ({len(rows)}), {who}. {_why(last, rows)} Waiting, until an "
        f"aggregation took their updates, was {waited} of their time."
    )


def _why(last: dict[Any, Any], rows: pd.DataFrame) -> str:
    return _radio_reason(last, rows) if last["bound"] == insight.RADIO else _computing_reason(last)


def _radio_reason(last: dict[Any, Any], rows: pd.DataFrame) -> str:
    over = last["upload_s"] - last["plan_upload_s"]
    extra = f", {quantity_text(over, 's')} more than planned" if over > insight.MATERIAL * last["t_planned_s"] else ""
    begun = "it had been uploading for" if np.isnan(last["t_total_s"]) else "its upload took"
    facts = [fact for fact in (_rate(last), _gain(last, rows)) if fact]
    known = f" ({'; '.join(facts)})" if facts else ""
    return f"Why: the radio; {begun} {quantity_text(last['upload_s'], 's')}{extra}{known}."


def _rate(last: dict[Any, Any]) -> str:
    """The mean rate of an upload that ended, against the planned one."""
    planned = (last["fixed_bits"] + (1 - last["prune_ratio"]) * last["prunable_bits"]) / max(last["plan_upload_s"], 1e-9)
    if not np.isfinite(planned) or np.isnan(last["t_upload_s"]) or not last["upload_s"] > 0:
        return ""
    rate = last["payload_bits"] / last["upload_s"]
    band, held = last["bandwidth_hz"], last["bandwidth_mean_hz"]
    plan = f"planned were {quantity_text(planned, 'bit/s')} in {quantity_text(band, 'Hz')}"
    text = f"it sent at {quantity_text(rate, 'bit/s')}, {plan}"
    if not rate < (1 - insight.MATERIAL) * planned:
        return text
    if held < (1 - insight.MATERIAL) * band:
        return f"{text}, of which it held {quantity_text(held, 'Hz')} on average"
    return f"{text}: its channel was worse than the plan expected"


def _gain(last: dict[Any, Any], rows: pd.DataFrame) -> str:
    """How well the planner believed it was heard, among the devices of its round."""
    gain = last["gain_planned_db"]
    if not np.isfinite(gain):
        return ""
    weaker, stronger = int((rows["gain_planned_db"] < gain).sum()), int((rows["gain_planned_db"] > gain).sum())
    place = f"{_ordinal(weaker + 1)}weakest" if weaker <= stronger else f"{_ordinal(stronger + 1)}strongest"
    return f"planned gain {gain:.0f} dB, the {place} of {len(rows)}; {'in' if last['los'] else 'no'} line of sight"


def _computing_reason(last: dict[Any, Any]) -> str:
    over = last["before_s"] - last["plan_before_s"]
    extra = f", {quantity_text(over, 's')} more than planned" if over > insight.MATERIAL * last["t_planned_s"] else ""
    factor = last["straggler_factor"]
    slow = f"; it computed {factor:.2g} times as long as nominal" if np.isfinite(factor) and abs(factor - 1) > 0.05 else ""
    wait = f"; {quantity_text(last['t_wait_s'], 's')} of that it waited for its own earlier work" if last["t_wait_s"] > 0 else ""
    return f"Why: computing; {quantity_text(last['before_s'], 's')} passed before its upload could begin{extra}{slow}{wait}."


def _ordinal(place: int) -> str:
    if place == 1:
        return ""
    ending = "th" if 10 <= place % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th")
    return f"{place}{ending} "
