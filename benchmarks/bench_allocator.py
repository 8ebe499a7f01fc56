"""Time per call of the exact allocator: for each rate, against conic solvers at n = 50, and against the number of devices.

    python benchmarks/bench_allocator.py [--largest 1000000] [--repeats 5]

Processor time. Everything takes turns, so that a slower or faster spell of the machine meets all alike, and the least of the repeats
counts. A kernel of NumPy is timed with the rest, to compare machines by.

What is compared at n = 50: from a problem (arrays) to an answer, new in each round. ``kkt``: ``KKT().allocate``, checked input to certified
answer. Conic solvers, through CVXPY, with the settings that CVXPY gives them (SCS stops far from the optimum with these: it is tightened
until it meets 1e-6): problem (P) in ratios and bandwidths, each latency constraint in the convex form that the solver needs, since
y / R(B) as models write it is not convex in both. Three times are reported: the whole call (modelling, compilation, solution); the same
model with parameters, compiled once for the number of devices and solved again with other numbers; what the solver reports for itself.
The fastest whole call that comes within 1e-6 of the optimum makes the headline.
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
SOLVERS: dict[str, dict] = {"CLARABEL": {}, "ECOS": {}, "SCS": {"eps_abs": 1e-7, "eps_rel": 1e-7, "max_iters": 100_000}}


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
    """The least processor time [s] of each action; they take turns. Of ``kkt``, five calls in a row: the first finds cold caches."""
    best = dict.fromkeys(actions, float("inf"))
    for _ in range(repeats):
        for name, action in actions.items():
            for _ in range(5 if name.startswith("kkt") else 1):
                best[name] = min(best[name], seconds(action))
    return best


def kernel() -> float:
    return float(np.exp(np.log1p(KERNEL)).sum())


class Conic:
    """Problem (P) with Shannon's rate in disciplined convex form, in units that keep numbers near 1; its numbers are parameters."""

    def __init__(self, devices: int) -> None:
        n = devices
        self.share, self.ratio = cp.Variable(n, nonneg=True), cp.Variable(n)
        self.snr, self.least = cp.Parameter(n, nonneg=True), cp.Parameter(n)
        self.scale, self.weight = cp.Parameter(n, nonneg=True), cp.Parameter(n, nonneg=True)
        self.most, self.drop = cp.Parameter(n), cp.Parameter(n, nonneg=True)
        rate, work, part = cp.Variable(n), cp.Variable(n), cp.Variable(n)  # of their own, as parameters must not be multiplied
        constraints = [rate <= -cp.rel_entr(self.share, self.share + self.snr), work == 1 + cp.multiply(self.scale, rate)]
        constraints += [part >= cp.inv_pos(work), 1 - self.ratio <= self.most - cp.multiply(self.drop, part)]
        constraints += [self.ratio >= 0, self.ratio <= self.least, cp.sum(self.share) <= n]
        self.program = cp.Problem(cp.Minimize(self.weight @ self.ratio), constraints)

    def solve(self, p: AllocationProblem, solver: str, **options) -> float:
        """The objective; sets the numbers of the problem before."""
        unit_hz = p.bandwidth_hz / p.device_ids.size
        self.snr.value, self.least.value, self.weight.value = p.snr_hz / unit_hz, p.prune_max, p.weight
        self.scale.value = p.prunable_time_s * unit_hz / np.log(2) / p.prunable_bits
        self.most.value = (p.latency_threshold_s - p.fixed_time_s) / p.prunable_time_s
        self.drop.value = self.most.value + p.fixed_bits / p.prunable_bits
        return self.program.solve(solver=solver, **options)


def fresh(p: AllocationProblem, solver: str, **options) -> cp.Problem:
    """The same modelled with numbers in place of parameters, which CVXPY compiles faster, and solved."""
    n, unit_hz = p.device_ids.size, p.bandwidth_hz / p.device_ids.size
    share, ratio = cp.Variable(n, nonneg=True), cp.Variable(n)
    rate = cp.multiply(p.prunable_time_s * unit_hz / np.log(2) / p.prunable_bits, -cp.rel_entr(share, share + p.snr_hz / unit_hz))
    most = (p.latency_threshold_s - p.fixed_time_s) / p.prunable_time_s
    kept = most - cp.multiply(most + p.fixed_bits / p.prunable_bits, cp.inv_pos(1 + rate))
    constraints = [ratio >= 0, ratio <= p.prune_max, cp.sum(share) <= n, 1 - ratio <= kept]
    program = cp.Problem(cp.Minimize(p.weight @ ratio), constraints)
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
    shannon, model = problems[repr(Shannon())], Conic(50)
    optimum = KKT().allocate(shannon, RNG).objective
    solvers = {name: options for name, options in SOLVERS.items() if name in cp.installed_solvers()}
    alone, error = dict.fromkeys(solvers, np.inf), {}

    def whole(name: str) -> None:
        program = fresh(shannon, name, **solvers[name])
        alone[name] = min(alone[name], program.solver_stats.solve_time or np.inf)
        error[name] = program.value / optimum - 1.0

    actions |= {f"whole {name}": lambda name=name: whole(name) for name in solvers if name != "SCS"}
    actions |= {f"again {name}": lambda name=name: model.solve(shannon, name, **solvers[name]) for name in solvers if name != "SCS"}
    best = least(actions, 4 * repeats)
    best |= least({"whole SCS": lambda: whole("SCS"), "again SCS": lambda: model.solve(shannon, "SCS", **solvers["SCS"])}, 1)
    print(f"n = 50; kernel {1e3 * best['kernel']:.2f} ms")
    for name in problems:
        print(f"  kkt {1e3 * best[f'kkt {name}']:>6.2f} ms, unpruned latency {1e3 * best[f'threshold {name}']:>6.2f} ms  {name}")
    ours = best[f"kkt {Shannon()!r}"]
    print("  Shannon, conic solvers: ms (times kkt)")
    print(f"  {'solver':>10} {'whole call':>16} {'same model again':>18} {'solver alone':>16} {'error':>10}")
    for name in solvers:
        times = (best[f"whole {name}"], best[f"again {name}"], alone[name])
        print(f"  {name.lower():>10}" + "".join(f"{1e3 * took:>10.1f} ({took / ours:>4.0f})" for took in times) + f"{error[name]:>12.0e}")
    fastest = min(best[f"whole {name}"] for name in solvers if abs(error[name]) <= 1e-6)
    print(f"  the fastest whole call within 1e-6 takes {fastest / ours:.0f} times as long as kkt")


def growth(largest: int, repeats: int) -> None:
    """Also the very first call of each size: pages of memory that nobody has touched yet, tables that are not made."""
    rates = {"shannon": Shannon(), "ergodic": ErgodicRayleigh(), "blocks of ergodic": Blocks(ErgodicRayleigh(), 180e3)}
    sizes = [10**exponent for exponent in range(2, 7) if 10**exponent <= largest]
    columns = f"{'first call':>13} {'kkt':>13} {'per device':>12} {'growth':>7} {'worst residual':>15} {'peak memory':>12}"
    print(f"{'devices':>10} {'rate':>18} {columns}")
    problems = {devices: problem(devices, Shannon()) for devices in reversed(sizes)}
    for name, rate in rates.items():
        before = None
        for devices, base in problems.items():  # the other rates carry less, and get a fifth more time
            p = dataclasses.replace(base, rate=rate, latency_threshold_s=base.latency_threshold_s * (1.0 if name == "shannon" else 1.2))
            first = seconds(lambda p=p: KKT().allocate(p, RNG))
            took = least({"kkt": lambda p=p: KKT().allocate(p, RNG)}, repeats if devices < 1e5 else 2)["kkt"]
            slope = "" if before is None else f"{np.log10(before / took):.2f}"
            before = took
            worst = KKT().allocate(p, RNG).certificate.worst
            peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(
                f"{devices:>10} {name:>18} {1e3 * first:>10.2f} ms {1e3 * took:>10.2f} ms {1e6 * took / devices:>9.2f} us {slope:>7} "
                f"{worst:>15.1e} {peak_mib:>8.0f} MiB",
                flush=True,
            )
    print("growth: power of the number of devices with which the time grows up to the row above; 1 is linear")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=int, default=1_000_000, help="largest number of devices")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    growth(options.largest, options.repeats)  # first: its first call is the first of the process
    fifty(options.repeats)


if __name__ == "__main__":
    main()
