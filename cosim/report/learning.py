"""Figures of what was learned."""

from __future__ import annotations

import plotly.graph_objects as go

from cosim.report.style import BLUE, GREEN, ORANGE, RED, Panel, figure, numbers
from cosim.trace.run import Run

TIME_TITLE = "simulated time [s]"


def panels(run: Run) -> list[Panel]:
    """Accuracy and loss over time, accuracy per device; nothing where nothing was learned."""
    made = (accuracy_over_time(run), loss_over_time(run), accuracy_per_device(run))
    return [panel for panel in made if panel is not None]


def accuracy_over_time(run: Run) -> Panel | None:
    """Mean, 10th percentile and global accuracy at the end of each round."""
    rounds = run.rounds
    kinds = {
        "accuracy_mean": ("mean over devices", BLUE, "solid"),
        "accuracy_p10": ("10th percentile of devices", ORANGE, "dash"),
        "global_accuracy": ("global model", GREEN, "dot"),
    }
    known = {name: kind for name, kind in kinds.items() if rounds[name].notna().any()}
    if not known:
        return None
    lines = [
        go.Scatter(
            x=numbers(rounds["t_end_s"]),
            y=numbers(rounds[name]),
            name=label,
            mode="lines+markers",
            connectgaps=True,
            line={"color": colour, "dash": dash},
            marker={"size": 5},
            customdata=rounds["round"].tolist(),
            hovertemplate="round %{customdata}, %{x} s: %{y:.3f}",
        )
        for name, (label, colour, dash) in known.items()
    ]
    caption = (
        "How good the models are after each round. The mean and the 10th percentile are over devices, each with the pruned model it would "
        "really use on its own test data: the gap between them says how unequal the devices are. The global model is tested on all data."
    )
    return Panel("Accuracy", caption, figure(lines, x=TIME_TITLE, y="accuracy", yaxis_range=[0, 1.02]))


def loss_over_time(run: Run) -> Panel | None:
    """Mean training loss of the updates that were aggregated."""
    rounds = run.rounds[run.rounds["train_loss"].notna()]
    if rounds.empty:
        return None
    line = go.Scatter(
        x=numbers(rounds["t_end_s"]),
        y=numbers(rounds["train_loss"]),
        mode="lines+markers",
        line={"color": RED},
        marker={"size": 5},
        customdata=rounds["round"].tolist(),
        hovertemplate="round %{customdata}, %{x} s: %{y:.4f}<extra></extra>",
    )
    caption = "Mean loss of the local training, over the updates that were aggregated in the round. It should fall, steeply at first."
    return Panel("Training loss", caption, figure([line], x=TIME_TITLE, y="training loss", yaxis_rangemode="tozero"))


def accuracy_per_device(run: Run) -> Panel | None:
    """Accuracy of each device at the last evaluation, pruned and unpruned, sorted."""
    known = run.devices[run.devices["accuracy"].notna()]
    if known.empty:
        return None
    last = known[known["round"] == known["round"].max()].sort_values("accuracy")
    place = list(range(1, len(last) + 1))
    kinds = {"accuracy_full": ("unpruned", GREEN, "circle-open"), "accuracy": ("as pruned in this round", BLUE, "circle")}
    dots = [
        go.Scatter(
            x=place,
            y=numbers(last[name]),
            name=label,
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": 8},
            customdata=last["device"].tolist(),
            hovertemplate="device %{customdata}: %{y:.3f}",
        )
        for name, (label, colour, symbol) in kinds.items()
    ]
    caption = (
        f"Every device after round {int(last['round'].iloc[0])}, from the worst to the best. The distance between ring and dot is what "
        "pruning costs that device; where the dot is higher, the pruned model does better on its test data."
    )
    return Panel("Accuracy of each device", caption, figure(dots, x="devices, worst to best", y="accuracy", yaxis_range=[0, 1.02]))
