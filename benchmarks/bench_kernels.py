"""What the channel costs per device and slot, against a bare numpy sum of as many sinusoids.

    python benchmarks/bench_kernels.py [--devices 50] [--slots 100] [--slot 0.01] [--repeat 30]

The two are timed in turn, so that a machine that grows slower or faster does so for both. The bare sum evaluates
|sum_m a_m cos(2 pi phase_m)|^2 for phases and complex amplitudes that are given, in float64 and in float32; the channel also finds
where the devices are, what they have travelled, path loss, shadowing and line of sight.
"""

import argparse
import statistics
import time

import numpy as np

from cosim.net.availability import Always
from cosim.net.channel import Channel
from cosim.net.compute import Constant
from cosim.net.fading import Jakes
from cosim.net.geometry import Area, Devices, Site
from cosim.net.mobility import RandomWaypoint
from cosim.net.world import World
from cosim.rng import Streams


def main():
    options = arguments()
    world = urban_world(options.devices)
    ids, slots = np.arange(options.devices), np.arange(options.slots) * options.slot
    rng = np.random.default_rng(1)
    cycles = rng.uniform(-0.5, 0.5, (Jakes().sinusoids, options.slots, options.devices))
    parts = rng.normal(size=(2, Jakes().sinusoids, 1, options.devices))
    single, single_parts = cycles.astype(np.float32), parts.astype(np.float32)
    kernels = {
        "world.gain": lambda begin_s: world.gain(slots + begin_s, ids),
        "world.mean_gain": lambda begin_s: world.mean_gain(slots + begin_s + 5000.0, ids),
        "world.motion": lambda begin_s: world.motion(slots + begin_s, ids),
        "bare sum, float64": lambda _: bare_sum(cycles, parts, 2.0 * np.pi),
        "bare sum, float32": lambda _: bare_sum(single, single_parts, np.float32(2.0 * np.pi)),
    }
    spent = {name: [] for name in kernels}
    for turn in range(options.repeat):
        for name, kernel in kernels.items():
            begin = time.perf_counter()
            kernel(turn * options.slots * options.slot)
            spent[name].append(time.perf_counter() - begin)
    print(f"{options.devices} devices x {options.slots} slots of {options.slot * 1e3:g} ms, {options.repeat} turns")
    print(f"{'':20s}{'least':>12s}{'median':>12s}{'per device-slot':>18s}")
    for name, seconds in spent.items():
        least, median = min(seconds), statistics.median(seconds)
        print(f"{name:20s}{least * 1e3:9.2f} ms{median * 1e3:9.2f} ms{median / (options.devices * options.slots) * 1e9:15.0f} ns")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=50)
    parser.add_argument("--slots", type=int, default=100)
    parser.add_argument("--slot", type=float, default=0.01, help="length of a slot [s]")
    parser.add_argument("--repeat", type=int, default=30)
    return parser.parse_args()


def urban_world(devices):
    return World(
        streams=Streams(1),
        area=Area(),
        site=Site(x_m=-20.0),
        devices=Devices(count=devices),
        mobility=RandomWaypoint(speed_min_m_s=1.0, speed_max_m_s=15.0),
        channel=Channel(),
        compute=Constant(),
        availability=Always(),
    )


def bare_sum(cycles, parts, full_circle):
    waves = np.cos(cycles * full_circle)
    real, imaginary = ((part * waves).sum(axis=0) for part in parts)
    return real**2 + imaginary**2


if __name__ == "__main__":
    main()
