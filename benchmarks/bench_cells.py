"""What many cells cost: wall and processor seconds per simulated second, seven cells with 50 devices each beside one cell with 50.

    python benchmarks/bench_cells.py [--devices 350] [--rounds 4]

Both are the city of scenarios/city_7cells.yaml without tables of samples and events; all devices take part in every round.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from pathlib import Path

import cosim

SCENARIO = Path(__file__).parent.parent / "scenarios" / "city_7cells.yaml"
PLAIN = {"trace.radio_interval_s": None, "trace.events": False, "round.latency_threshold": 6.0}
KINDS = ("allocated", "work_conserving", "proportional_fair")


def simulate(**overrides):
    """Wall, processor and simulated seconds."""
    scenario = cosim.Scenario.load(SCENARIO, overrides={**PLAIN, **overrides})
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter(), time.process_time()
        run = cosim.run(scenario, out=Path(folder) / "run")
        return time.perf_counter() - begin[0], time.process_time() - begin[1], float(run.rounds.t_end_s.iloc[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", type=int, default=350)
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    site = cosim.Scenario.load(SCENARIO).resolved()["sites"][:1]
    alone = {"sites": site, "area.wrap_around": False, "network.links": None, "devices.count": max(1, options.devices // 7)}
    alone |= {"area.width_m": 500.0, "area.height_m": 500.0, "sites.0.x_m": 250.0, "sites.0.y_m": 250.0}
    simulate(**alone, rounds=1)  # imports
    print("cells  devices  uplink              wall s per simulated s  CPU s per simulated s")
    for kind in KINDS:
        for cells, overrides in (("1", alone), ("7", {"devices.count": options.devices})):
            wall_s, cpu_s, simulated_s = simulate(**overrides, **{"uplink.kind": kind, "rounds": options.rounds})
            count = overrides["devices.count"]
            print(f"{cells:5}  {count:7d}  {kind:18}  {wall_s / simulated_s:22.3f}  {cpu_s / simulated_s:21.3f}")


if __name__ == "__main__":
    main()
