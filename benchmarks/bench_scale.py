"""What a device-slot costs from 100 to 100,000 devices, network only: ``scenarios/scale_10k.yaml``, its uplink grown with the devices.

    python benchmarks/bench_scale.py [--devices 100 1000 10000 100000] [--round 5] [--figure docs/img/scale.svg]

A device-slot is one device whose channel is followed for one slot of 10 ms: from the beginning of a round until its update has arrived.
Every device is in the round. Rounds are equally long for all sizes, a deadline ends them, so that what a round costs once (plan,
downloads, first look at the channel, tables) is spread over equally many slots; small cells simulate several rounds. How much that is
is told by rounds of twice the length: what their further slots cost is the last column. Processor time,
the least of the repeats, since wall time depends on who else is busy; a first run, not counted, loads what is loaded once.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import cosim

SCENARIO = Path(__file__).parent.parent / "scenarios" / "scale_10k.yaml"
SHARE_HZ = 10e3
"""Uplink per device. The model is broadcast, so the downlink need not grow."""
LEAST_DEVICES = 2_000
"""Devices times rounds."""


def simulate(devices: int, round_s: float, rounds: int) -> tuple[float, float, float]:
    """Processor seconds of the simulation and of building the world, and the number of device-slots."""
    overrides = {
        "devices.count": devices,
        "rounds": rounds,
        "uplink.bandwidth_hz": SHARE_HZ * devices,
        "round.policy.after": round_s,
    }
    scenario = cosim.Scenario.load(SCENARIO, overrides=overrides)
    with tempfile.TemporaryDirectory() as folder:
        begin, wall = time.process_time(), time.perf_counter()
        run = cosim.run(scenario, out=Path(folder) / "run")
        cpu_s, wall_s = time.process_time() - begin, time.perf_counter() - wall
        build_s = run.manifest["wall_times_s"]["build"] / wall_s * cpu_s
        latency_s = run.devices["round"].map(run.rounds.set_index("round").latency_s)
        followed_s = run.devices.t_total_s.where(run.devices.status == "arrived", latency_s).sum()
        return cpu_s - build_s, build_s, float(followed_s) / scenario.uplink.slot_s


def main() -> None:
    """Print a line for each size; draw them where a figure is wanted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", type=int, nargs="+", default=[100, 1_000, 10_000, 100_000])
    parser.add_argument("--round", type=float, default=5.0, help="length of a round [s]")
    parser.add_argument("--repeats", type=int, default=3, help="of sizes below 10,000")
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    simulate(100, 1.0, 1)
    costs, further = [], []
    print("| devices | rounds | device-slots | CPU s | microseconds per device-slot | per further one | build, CPU s | peak memory, MiB |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for devices in options.devices:
        rounds = max(1, round(LEAST_DEVICES / devices))
        repeats = range(options.repeats if devices < 10_000 else 1)
        both = [[simulate(devices, length_s, rounds) for length_s in (options.round, 2.0 * options.round)] for _ in repeats]
        (cpu_s, build_s, count), (longer_s, _, more) = (min(found) for found in zip(*both, strict=True))
        costs.append(1e6 * cpu_s / count)
        further.append(1e6 * (longer_s - cpu_s) / (more - count))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"| {devices} | {rounds} | {count:.3g} | {cpu_s:.2f} | {costs[-1]:.2f} | {further[-1]:.2f} | {build_s:.2f} | {peak:.0f} |",
            flush=True,
        )
    print(f"dearest over cheapest: {max(costs) / min(costs):.2f}; of further slots {max(further) / min(further):.2f}")
    if options.figure:
        draw(options.devices, costs, further, options.figure)


def draw(devices: list[int], costs: list[float], further: list[float], path: Path) -> None:
    """Cost per device-slot over the number of devices."""
    from cosim.plot.style import axes, legend

    ax = axes(None, x="devices", y="CPU time per device-slot [µs]")
    ax.semilogx(devices, costs, "o-", label="rounds and start included")
    ax.semilogx(devices, further, "s--", label="a further slot")
    ax.set_ylim(0, 1.2 * max(costs))
    legend(ax)
    ax.figure.savefig(path)


if __name__ == "__main__":
    main()
