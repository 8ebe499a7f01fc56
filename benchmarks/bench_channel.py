"""What fading costs for many devices, and over a band: python benchmarks/bench_channel.py [--repeat 7].

First a step (one slot) and a chunk (20 slots) of 50 devices x 50 blocks under TDL, beside bare numpy sums of the same sinusoids, as
one would write them: taps by ``sum``, blocks by a matrix product, with the precision of the channel (phases in float64, cosines in
float32) and all in float64. Neither is bit-equal for any subset of devices, as the channel is. Then simulated seconds per wall second
at slots of 10 ms, and the memory at its peak, of 10,000 devices under Jakes fading and of 1,000 under TDL with 50 blocks, motion,
shadowing and all.
"""

import argparse
import statistics
import time
import tracemalloc

import numpy as np

from cosim.interfaces import Band
from cosim.net.availability import Always
from cosim.net.channel import Channel
from cosim.net.compute import Constant
from cosim.net.fading import Jakes
from cosim.net.geometry import Area, Devices, Site
from cosim.net.mobility import RandomWaypoint
from cosim.net.pathloss import UrbanMacro
from cosim.net.tdl import TappedDelayLine
from cosim.net.world import World
from cosim.rng import Streams

BAND = Band(50 * 180e3, 50)
SLOT_S = 0.01


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=7)
    repeat = parser.parse_args().repeat
    for slots in (1, 20):
        beside_bare_sums(slots, repeat)
    real_time("10,000 devices, Jakes", world(10_000, Jakes()), 10_000, selective=False)
    real_time("1,000 devices, Jakes", world(1_000, Jakes()), 1_000, selective=False)
    real_time("1,000 devices, TDL, 50 blocks", world(1_000, TappedDelayLine()), 1_000, selective=True)


def beside_bare_sums(slots, repeat, devices=50):
    process, ids, times = TappedDelayLine().start(UrbanMacro(), BAND, 0, devices, Streams(1)), np.arange(devices), np.arange(slots) * SLOT_S
    travelled = np.repeat(times[:, None] * 10.0, devices, axis=1)
    waves = process.taps
    per_m, per_s, phase, real, imaginary = (a[:, :, None] for a in (waves.per_m, waves.per_s, waves.phase, waves.real, waves.imaginary))
    turns = process.turns.T.copy()

    def bare(dtype):
        """|sum over taps and sinusoids|^2 (F, T n), phases in float64, cosines and sums in ``dtype`` in any order."""
        cycles = per_m * travelled + per_s * times[:, None] + phase
        waves = np.cos(((cycles - np.rint(cycles)) * (2 * np.pi)).astype(dtype))
        taps = (real * waves).sum(axis=0) + 1j * (imaginary * waves).sum(axis=0)
        response = turns @ taps.reshape(len(taps), -1)
        return response.real**2 + response.imag**2

    kernels = {
        "cosim": lambda: process.subband_power(times, travelled, ids),
        "bare sum, cosines in float32": lambda: bare(np.float32),
        "bare sum, all in float64": lambda: bare(np.float64),
    }
    expected = bare(np.float64).T.reshape(slots, devices, -1)
    assert np.allclose(kernels["cosim"](), expected, atol=1e-4)
    spent = {name: [] for name in kernels}
    for _ in range(20 * repeat):
        for name, kernel in kernels.items():
            begin = time.perf_counter()
            kernel()
            spent[name].append(time.perf_counter() - begin)
    print(f"{devices} devices x 50 blocks x {slots} slots")
    for name, seconds in spent.items():
        ratio = statistics.median(a / b for a, b in zip(spent["cosim"], seconds, strict=True))
        print(f"  {name:30s}{statistics.median(seconds) * 1e3:9.3f} ms   cosim takes {ratio:5.2f} times as long")


def real_time(name, channel, devices, *, selective):
    """Windows of slots, one after the other, as an uplink asks for them."""
    gain, ids = channel.subbands.gain if selective else channel.gain, np.arange(devices)
    slots = 20
    gain(np.arange(slots) * SLOT_S, ids)
    rates = []
    for window in range(1, 6):
        begin = time.perf_counter()
        gain((window * slots + np.arange(slots)) * SLOT_S, ids)
        rates.append(slots * SLOT_S / (time.perf_counter() - begin))
    tracemalloc.start()
    gain((6 * slots + np.arange(slots)) * SLOT_S, ids)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(f"{name:32s}{statistics.median(rates):6.2f} simulated s per wall s, best {max(rates):.2f}, peak {peak / 2**20:.0f} MiB")


def world(devices, fading):
    return World(
        streams=Streams(1),
        area=Area(),
        site=Site(x_m=-20.0),
        devices=Devices(count=devices),
        mobility=RandomWaypoint(speed_min_m_s=1.0, speed_max_m_s=15.0),
        channel=Channel(fading=fading),
        compute=Constant(),
        availability=Always(),
        band=BAND,
    )


if __name__ == "__main__":
    main()
