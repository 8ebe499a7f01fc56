"""Time per call of the exact allocator: for each rate, against a conic solver at n = 50, and against the number of devices.

    python benchmarks/bench_allocator.py [--largest 1000000] [--repeats 5]

Processor time. Everything takes turns, so that a slower or faster spell of the machine meets all alike, and the least of the repeats
counts. A kernel of NumPy is timed with the rest, to compare machines by. The conic solver is timed twice: the whole call of CVXPY, which is
what a user waits for (modelling, compilation, solution), and what the solver reports for itself.
"""

from __future__ import annotations

import argparse
import dataclasses
import resource
import time

import cvxpy as cp
import numpy as np

from cosim.alloc.kkt import KKT
from cosim.alloc.problem import least_feasible_threshold, unpruned_latency
from cosim.interfaces import AllocationProblem
from cosim.rate import Blocks, ErgodicRayleigh, ErgodicTruncated, Rate, Shannon, TruncatedShannon

RNG = np.random.default_rng(3)
KERNEL = np.random.default_rng(1).random(1 << 16)
SCS_TIGHT = {"eps_abs": 1e-9, "eps_rel": 1e-9, "max_iters": 200_000}


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
    start = time.process_time()
    action()
    return time.process_time() - start


def least(actions: dict, repeats: int) -> dict:
    """The least processor time [s] of each action; they take turns."""
    best = dict.fromkeys(actions, float("inf"))
    for _ in range(repeats):
        for name, action in actions.items():
            best[name] = min(best[name], seconds(action))
    return best


def kernel() -> float:
    return float(np.exp(np.log1p(KERNEL)).sum())


def conic(p: AllocationProblem, solver: str, **options) -> cp.Problem:
    """The same problem in disciplined convex form, from modelling to solution."""
    unit_hz = p.bandwidth_hz / p.device_ids.size
    unit_bps = p.rate.value(unit_hz, p.snr_hz)
    b, y = cp.Variable(p.device_ids.size, nonneg=True), cp.Variable(p.device_ids.size)
    rate = cp.multiply(unit_hz / unit_bps / np.log(2), -cp.rel_entr(b, b + p.snr_hz / unit_hz))
    most = (p.latency_threshold_s - p.fixed_time_s) / p.prunable_time_s
    share = cp.inv_pos(1 + cp.multiply(p.prunable_time_s * unit_bps / p.prunable_bits, rate))
    kept = most - cp.multiply(most + p.fixed_bits / p.prunable_bits, share)
    constraints = [y <= 1, y >= 1 - p.prune_max, cp.sum(b) <= p.device_ids.size, y <= kept]
    program = cp.Problem(cp.Maximize(p.weight @ y), constraints)
    program.solve(solver=solver, **options)
    return program


def fifty(repeats: int) -> None:
    rates = [Shannon(), ErgodicRayleigh(), Blocks(Shannon(), 180e3), Blocks(ErgodicRayleigh(), 180e3)]
    rates += [TruncatedShannon(), ErgodicTruncated(TruncatedShannon()), Blocks(TruncatedShannon(), 180e3)]
    problems = {repr(rate): problem(50, rate) for rate in rates}
    actions = {"kernel": kernel}
    for name, p in problems.items():
        actions[f"kkt {name}"] = lambda p=p: KKT().allocate(p, RNG)
        actions[f"threshold {name}"] = lambda p=p: unpruned_latency(p)
    shannon = problems[repr(Shannon())]
    own: dict[str, float] = {}

    def solver(name: str, **options) -> None:
        own[name] = min(own.get(name, np.inf), conic(shannon, name, **options).solver_stats.solve_time)

    actions["clarabel"] = lambda: solver("CLARABEL")
    best = least(actions, 10 * repeats)
    best |= least({"scs": lambda: solver("SCS", **SCS_TIGHT)}, 1)
    print(f"n = 50; kernel {1e3 * best['kernel']:.2f} ms")
    for name in problems:
        print(f"  kkt {1e3 * best[f'kkt {name}']:>6.2f} ms, unpruned latency {1e3 * best[f'threshold {name}']:>6.2f} ms  {name}")
    ours = best[f"kkt {Shannon()!r}"]
    for name in ("clarabel", "scs"):
        alone, whole = own[name.upper()], best[name]
        print(f"  {name}: CVXPY's call {1e3 * whole:.1f} ms, {whole / ours:.0f} x kkt", end="; ")
        print(f"the solver {1e3 * alone:.1f} ms, {alone / ours:.0f} x kkt")


def growth(largest: int, repeats: int) -> None:
    rates = {"shannon": Shannon(), "ergodic": ErgodicRayleigh(), "blocks of ergodic": Blocks(ErgodicRayleigh(), 180e3)}
    sizes = [10**exponent for exponent in range(2, 7) if 10**exponent <= largest]
    print(f"{'devices':>10} {'rate':>18} {'kkt':>13} {'per device':>12} {'worst residual':>15} {'peak memory':>12}")
    for name, rate in rates.items():
        for devices in sizes:
            p = problem(devices, rate)
            took = least({"kkt": lambda p=p: KKT().allocate(p, RNG)}, repeats)["kkt"]
            worst = KKT().allocate(p, RNG).certificate.worst
            peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(
                f"{devices:>10} {name:>18} {1e3 * took:>10.2f} ms {1e6 * took / devices:>9.2f} us {worst:>15.1e} {peak_mib:>8.0f} MiB",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=int, default=1_000_000, help="largest number of devices")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    fifty(options.repeats)
    growth(options.largest, options.repeats)


if __name__ == "__main__":
    main()
