# noqa: INP001 - a script, not a package
"""The figure of docs/cells.md: where a device on a line between two sites is handed over, and how ping-pong falls with hysteresis.

Writes docs/img/handover.svg in about 10 s.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from cosim.interfaces import FloatArray, IntArray, Motion
from cosim.net.availability import Always
from cosim.net.channel import Channel
from cosim.net.compute import ShiftedExponential
from cosim.net.distance_laws import LogDistance
from cosim.net.fading import NoFading
from cosim.net.geometry import Area, Devices, Site
from cosim.net.handover import Handover
from cosim.net.many_sites import ManySites
from cosim.net.mobility import Static
from cosim.net.shadowing import CorrelatedShadowing, NoShadowing
from cosim.net.world import World
from cosim.rng import Streams

SPEED_M_S, START_M, APART_M, BESIDE_M, EXPONENT = 20.0, 50.0, 1000.0, 20.0, 3.5
WHOLE_S = (APART_M - 2 * START_M) / SPEED_M_S


class Drive:
    """From one site to the other, on lanes beside the line between them."""

    def __init__(self, lanes_m: FloatArray) -> None:
        self.lanes_m = lanes_m

    def at(self, times_s: FloatArray, device_ids: IntArray) -> Motion:
        x = START_M + SPEED_M_S * np.broadcast_to(times_s[:, None], (len(times_s), len(device_ids)))
        return Motion(x, np.zeros_like(x) + self.lanes_m[device_ids], np.full_like(x, SPEED_M_S), x - START_M)


def between(rule: Handover, lanes_m: FloatArray, *, sigma_db: float, seed: int = 1) -> ManySites:
    """Two sites, and devices that drive from one to the other."""
    shadowing = CorrelatedShadowing(sigma_db=sigma_db, correlation_m=50.0) if sigma_db else NoShadowing()
    worlds = [
        World(
            streams=Streams(seed),
            area=Area(),
            site=Site(x_m=index * APART_M, y_m=-BESIDE_M),
            site_index=index,
            devices=Devices(count=len(lanes_m)),
            mobility=Static(),
            motion=Drive(lanes_m),
            channel=Channel(pathloss=LogDistance(exponent=EXPONENT), shadowing=shadowing, fading=NoFading()),
            compute=ShiftedExponential(),
            availability=Always(),
        )
        for index in (0, 1)
    ]
    return ManySites(worlds, rule, len(lanes_m))


def predicted_m(hysteresis_db: FloatArray, trigger_s: float) -> FloatArray:
    """Where the difference of path losses is the hysteresis, and what the device drives until it has held for long enough."""
    places = np.linspace(START_M, APART_M - START_M, 100_001)
    height = np.hypot(23.5, BESIDE_M)
    difference_db = 10 * EXPONENT * np.log10(np.hypot(places, height) / np.hypot(APART_M - places, height))
    return np.interp(hysteresis_db, difference_db, places) + SPEED_M_S * trigger_s


def main() -> None:
    hysteresis_db = np.linspace(0.0, 10.0, 11)
    figure = Figure(figsize=(8.0, 3.0), layout="constrained")
    place, pings = figure.subplots(1, 2)
    for trigger_s, colour in ((0.0, "tab:blue"), (1.28, "tab:orange")):
        rules = [Handover(hysteresis_db=value, time_to_trigger_s=trigger_s) for value in hysteresis_db]
        found = [between(rule, np.zeros(1), sigma_db=0.0).handovers(0.0, WHOLE_S).t_s for rule in rules]
        place.plot(hysteresis_db, predicted_m(hysteresis_db, trigger_s), color=colour, label=f"theory, time-to-trigger {trigger_s:g} s")
        place.plot(hysteresis_db, [START_M + SPEED_M_S * t_s[0] for t_s in found], "o", color=colour, markersize=4)
        assert all(len(t_s) == 1 for t_s in found)
    place.set(xlabel="hysteresis [dB]", ylabel="place of the handover [m]")
    lanes_m = np.linspace(0.0, 300.0, 200)
    for trigger_s, colour in ((0.0, "tab:blue"), (0.5, "tab:orange")):
        worlds = [between(Handover(hysteresis_db=value, time_to_trigger_s=trigger_s), lanes_m, sigma_db=6.0) for value in hysteresis_db]
        counts = [len(world.handovers(0.0, WHOLE_S).t_s) / len(lanes_m) for world in worlds]
        pings.plot(hysteresis_db, counts, "o-", color=colour, markersize=4, label=f"time-to-trigger {trigger_s:g} s")
    pings.axhline(1.0, color="0.6", linewidth=0.8)
    pings.set(xlabel="hysteresis [dB]", ylabel="handovers per device", ylim=(0, None))
    for axes in (place, pings):
        axes.legend(frameon=False, fontsize=8)
        axes.grid(visible=True, linewidth=0.4, alpha=0.5)
    figure.savefig(Path(__file__).parents[1] / "docs" / "img" / "handover.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
