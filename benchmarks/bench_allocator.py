"""Time per call of the exact allocator: against the number of devices, and against a conic solver at n = 50.

    python benchmarks/bench_allocator.py [--largest 1000000] [--repeats 5]

Prints the median over repeats, and peak memory; the two solvers at n = 50 take turns, so that a slower or
faster spell of the machine meets both.
"""

from __future__ import annotations

import argparse
import dataclasses
import resource
import time
from statistics import median

import cvxpy as cp
import numpy as np

from cosim.alloc.kkt import KKT
from cosim.alloc.problem import least_feasible_threshold, unpruned_latency
from cosim.interfaces import AllocationProblem
from cosim.rate import Blocks, ErgodicRayleigh, Rate, Shannon

RNG = np.random.default_rng(0)


def problem(devices: int, rate: Rate, tightness: float = 0.4) -> AllocationProblem:
    bits = 10 ** RNG.uniform(5, 7, devices)
    loose = AllocationProblem(
        round=0,
        device_ids=np.arange(devices),
        weight=np.full(devices, 1 / devices),
        fixed_time_s=RNG.uniform(0, 0.5, devices),
        prunable_time_s=RNG.uniform(0.01, 0.5, devices),
        fixed_bits=bits * RNG.uniform(0, 0.3, devices),
        prunable_bits=bits,
        snr_hz=10 ** RNG.uniform(6.5, 10, devices),
        prune_max=0.9,
        bandwidth_hz=4e5 * devices,
        latency_threshold_s=1.0,
        rate=rate,
    )
    least, most = least_feasible_threshold(loose), unpruned_latency(loose)
    return dataclasses.replace(loose, latency_threshold_s=least + tightness * (most - least))


def seconds(action) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def conic(p: AllocationProblem) -> None:
    """The same problem in disciplined convex form, from modelling to solution."""
    unit_hz = p.bandwidth_hz / p.device_ids.size
    unit_bps = p.rate.value(unit_hz, p.snr_hz)
    b, y = cp.Variable(p.device_ids.size, nonneg=True), cp.Variable(p.device_ids.size)
    rate = cp.multiply(unit_hz / unit_bps / np.log(2), -cp.rel_entr(b, b + p.snr_hz / unit_hz))
    most = (p.latency_threshold_s - p.fixed_time_s) / p.prunable_time_s
    share = cp.inv_pos(1 + cp.multiply(p.prunable_time_s * unit_bps / p.prunable_bits, rate))
    kept = most - cp.multiply(most + p.fixed_bits / p.prunable_bits, share)
    constraints = [y <= 1, y >= 1 - p.prune_max, cp.sum(b) <= p.device_ids.size, y <= kept]
    cp.Problem(cp.Maximize(p.weight @ y), constraints).solve(solver=cp.CLARABEL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=int, default=1_000_000, help="largest number of devices")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    rates = {"shannon": Shannon(), "ergodic": ErgodicRayleigh(), "blocks of ergodic": Blocks(ErgodicRayleigh(), 180e3)}
    print(f"{'devices':>10} {'rate':>18} {'kkt':>12} {'worst residual':>15} {'peak memory':>12}")
    for exponent in range(2, 7):
        if (devices := 10**exponent) > options.largest:
            break
        for name, rate in rates.items():
            p = problem(devices, rate)
            times = [seconds(lambda p=p: KKT().allocate(p, RNG)) for _ in range(options.repeats)]
            worst = KKT().allocate(p, RNG).certificate.worst
            peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"{devices:>10} {name:>18} {1e3 * median(times):>9.2f} ms {worst:>15.1e} {peak_mib:>8.0f} MiB", flush=True)
    p = problem(50, Shannon())
    pairs = [(seconds(lambda: KKT().allocate(p, RNG)), seconds(lambda: conic(p))) for _ in range(5 * options.repeats)]
    ours, theirs = (median(column) for column in zip(*pairs, strict=True))
    print(f"n = 50, shannon: kkt {1e3 * ours:.2f} ms, cvxpy with Clarabel {1e3 * theirs:.2f} ms, ratio {theirs / ours:.0f}")


if __name__ == "__main__":
    main()
