"""The optional timeline of a round's decision points, made from its record when it has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from cosim.interfaces import BoolArray, FloatArray
    from cosim.net.handover import Handovers
    from cosim.simulation.records import Columns, Round

_KINDS = ("round_start", "download_done", "compute_done", "upload_done", "arrival", "departure", "handover", "round_end")
"""In the order in which simultaneous events are written."""


def round_events(record: Round, handovers: Handovers | None = None) -> Columns:
    """Events of the round in the order of (time, kind, device); device -1 is the server. ``handovers``: of all devices, in it or not."""
    works = record.works
    server = {"round_start": record.start_s, "round_end": record.end_s}
    details = {
        "round_start": f"{int(record.begun.sum())} devices, T = {record.plan.latency_threshold_s:.6g} s",
        "round_end": f"{int(record.merged.sum())} arrived",
    }
    times_s = {
        "download_done": works.download_end_s,
        "compute_done": works.compute_end_s,
        "upload_done": works.upload_end_s,
        "arrival": np.where(works.arrived, works.arrival_s, np.nan),
        "departure": np.where(works.gone, works.stop_s, np.nan),
    }
    pieces = [(kind, np.array([t_s]), np.array([-1]), [details[kind]]) for kind, t_s in server.items()]
    for kind, t_s in times_s.items():
        seen = _seen(record, t_s)
        pieces.append((kind, t_s[seen], works.device_ids[seen], [""] * int(seen.sum())))
    if handovers is not None:
        ways = [f"site {origin} to {target}" for origin, target in zip(handovers.origin.tolist(), handovers.target.tolist(), strict=True)]
        pieces.append(("handover", handovers.t_s, handovers.device, ways))
    t_s, device = (np.concatenate([piece[i] for piece in pieces]) for i in (1, 2))
    rank = np.concatenate([np.full(len(piece[1]), _KINDS.index(piece[0])) for piece in pieces])
    detail = np.array([text for piece in pieces for text in piece[3]])
    order = np.lexsort((device, rank, t_s))
    return {
        "t_s": t_s[order],
        "kind": np.array(_KINDS)[rank[order]],
        "round": np.full(len(order), record.index),
        "device": device[order],
        "detail": detail[order],
    }


def _seen(record: Round, t_s: FloatArray) -> BoolArray:
    """Which events happened in this round: of works that go on from earlier ones, only those after its beginning."""
    begin = record.begun & (t_s >= record.start_s)
    return (begin | (t_s > record.start_s)) & (t_s <= record.end_s) & (t_s <= record.works.stop_s)
