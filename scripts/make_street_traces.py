# noqa: INP001 - a script, not a package
"""Make scenarios/traces/streets_12dev.csv: python scripts/make_street_traces.py.

Twelve vehicles on a grid of streets of 1000 m x 1000 m, seen every second for at most one minute; some come later, some leave earlier.
Our own data, drawn from cosim's Manhattan mobility with a fixed seed: the same bytes each time.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cosim.net.manhattan import Manhattan
from cosim.rng import Streams

TRACE = Path(__file__).parent.parent / "scenarios" / "traces" / "streets_12dev.csv"
DEVICES, SECONDS = 12, 60
STREAMS = Streams(20)


def rows() -> list[str]:
    """Lines of the file, sorted by time."""
    times = np.arange(SECONDS + 1.0)
    motion = Manhattan(block_m=250.0, speed_min_m_s=5.0, speed_max_m_s=14.0).start((1000.0, 1000.0), DEVICES, STREAMS)
    path = motion.at(times, np.arange(DEVICES))
    arrives = np.floor(np.maximum(0.0, STREAMS.uniform("availability", DEVICES, 0) * 40.0 - 20.0))
    leaves = np.floor(np.minimum(SECONDS, 15.0 + STREAMS.uniform("availability", DEVICES, 1) * 60.0))
    there = (times[:, None] >= arrives) & (times[:, None] <= leaves)
    return [f"{times[i]:g},{k},{path.x_m[i, k]:.2f},{path.y_m[i, k]:.2f}" for i, k in np.argwhere(there)]


if __name__ == "__main__":
    TRACE.parent.mkdir(exist_ok=True)
    TRACE.write_text("\n".join(["t_s,device,x_m,y_m", *rows()]) + "\n", encoding="utf-8")
