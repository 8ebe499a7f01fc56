"""What a device-slot costs from 100 to 100,000 devices, network only: ``scenarios/scale_10k.yaml``, its band grown with the devices.

    python benchmarks/bench_scale.py [--devices 100 1000 10000 100000] [--figure docs/img/scale.svg]

A device-slot is one device whose channel is followed for one slot of 10 ms. Every device is in the round, which a deadline ends after
so many slots that each size has about as many device-slots. Processor time, since wall time depends on who else is busy; a
first run, not counted, loads what is loaded once.
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
"""Band per device."""


def simulate(devices: int, simulated_s: float) -> tuple[float, float, float]:
    """Processor seconds of the simulation, of building the world, and the simulated seconds of one round."""
    overrides = {
        "devices.count": devices,
        "rounds": 1,
        "uplink.bandwidth_hz": SHARE_HZ * devices,
        "downlink.bandwidth_hz": SHARE_HZ * devices,
        "round.policy.after": simulated_s,
    }
    scenario = cosim.Scenario.load(SCENARIO, overrides=overrides)
    with tempfile.TemporaryDirectory() as folder:
        begin, wall = time.process_time(), time.perf_counter()
        run = cosim.run(scenario, out=Path(folder) / "run")
        cpu_s, wall_s = time.process_time() - begin, time.perf_counter() - wall
        build_s = run.manifest["wall_times_s"]["build"] / wall_s * cpu_s
        return cpu_s - build_s, build_s, float(run.rounds.t_end_s.iloc[-1])


def main() -> None:
    """Print a line for each size; draw them where a figure is wanted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", type=int, nargs="+", default=[100, 1_000, 10_000, 100_000])
    parser.add_argument("--device-slots", type=float, default=4e6)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    simulate(100, 1.0)
    costs = []
    print("| devices | simulated s | device-slots | CPU s | microseconds per device-slot | build, CPU s | peak memory, MiB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for devices in options.devices:
        slots = options.device_slots / devices
        cpu_s, build_s, simulated_s = simulate(devices, max(1.0, slots * 0.01))
        count = devices * simulated_s / 0.01
        costs.append(1e6 * cpu_s / count)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"| {devices} | {simulated_s:.1f} | {count:.3g} | {cpu_s:.1f} | {costs[-1]:.2f} | {build_s:.1f} | {peak:.0f} |", flush=True)
    if options.figure:
        draw(options.devices, costs, options.figure)


def draw(devices: list[int], costs: list[float], path: Path) -> None:
    """Cost per device-slot over the number of devices."""
    from cosim.plot.style import axes

    ax = axes(None, x="devices", y="processor time per device-slot [µs]")
    ax.semilogx(devices, costs, "o-")
    ax.set_ylim(0, 1.2 * max(costs))
    ax.figure.savefig(path)


if __name__ == "__main__":
    main()
