"""Plugins that go wrong in the second round, each in its own way: for test_faults.py."""

import os
import resource
import signal
import threading
import time
from pathlib import Path
from typing import Literal, final

import numpy as np

from cosim.alloc.kkt import KKT
from cosim.component import Component, quantity
from cosim.interfaces import Motion
from cosim.learn.aggregator import KeptAverage
from cosim.learn.trainer import SGD
from cosim.net.compute import Processor
from cosim.net.csi import Ergodic
from cosim.policy.state import Decision


@final
class Faulty(Component):
    """An allocator like kkt, but for round 1."""

    how: Literal["raise", "nan", "shape", "none", "sleep", "deaf", "memory", "die", "exit"] = quantity("raise", "", "what goes wrong")

    def allocate(self, problem, rng):
        answer = KKT().allocate(problem, rng)
        return answer if problem.round != 1 else getattr(self, f"_{self.how}")(answer)

    def _raise(self, answer):
        raise KeyError("a mistake in a plugin")

    def _nan(self, answer):
        answer.prune_ratio[0] = np.nan
        return answer

    def _shape(self, answer):
        import dataclasses

        return dataclasses.replace(answer, bandwidth_hz=answer.bandwidth_hz[:-1])

    def _none(self, answer):
        return None

    def _sleep(self, answer):
        time.sleep(3600)

    def _deaf(self, answer):
        """Hangs and catches what would end it, once."""
        try:
            time.sleep(3600)
        except Exception:  # noqa: BLE001 - as plugins do
            time.sleep(3600)

    def _memory(self, answer):
        """Only a small part of the memory is this process's own."""
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**27, resource.RLIM_INFINITY))
        np.ones(2**28)

    def _die(self, answer):
        os.kill(os.getpid(), signal.SIGKILL)

    def _exit(self, answer):
        raise SystemExit(7)


@final
class Lost(Component):
    """A mobility whose devices have no speed after a while, or whose answer has too few of them."""

    how: Literal["nan", "shape"] = quantity("nan", "", "what goes wrong")

    def start(self, extent_m, devices, streams):
        return self

    def at(self, times_s, device_ids):
        shape = (len(times_s), len(device_ids) - (self.how == "shape"))
        x, speed = np.full(shape, 30.0), np.zeros(shape)
        if self.how == "nan":
            speed[times_s > 0.5, 0] = np.nan
        return Motion(x, np.full(shape, 40.0), speed, np.zeros(shape))


@final
class Sleepy(Component):
    """A trainer that never ends, on its own thread."""

    batch_size: int = quantity(8, "", "samples in a mini-batch")

    def steps(self, samples, *, personal):
        return SGD().steps(samples, personal=personal)

    def check(self, parts, pruner):
        pass

    def together(self, parts):
        return 1

    def train(self, tasks, rngs):
        threading.Event().wait(3600)


@final
class Blind(Component):
    """Channel knowledge that is lost after a while."""

    def observe(self, channel, time_s, device_ids, streams):
        gain = Ergodic().observe(channel, time_s, device_ids, streams)
        return np.where((device_ids == 1) & (time_s > 0), np.nan, gain)

    def planning_rate(self, rate, fading):
        return Ergodic().planning_rate(rate, fading)


@final
class Numbers(Component):
    """A selection that answers 0 and 1."""

    def select(self, problem, rng):
        return np.ones(len(problem.device_ids), np.int64 if problem.round else np.bool_)


@final
class Slow(Processor):
    """Devices of which one has no speed in round 1."""

    @property
    def mean_factor(self):
        return 1.0

    def factor(self, round_index, devices, streams):
        return np.where((np.arange(devices) == 2) & (round_index == 1), np.nan, 1.0)


@final
class Waits(Component):
    """A policy that, in the second round, never ends, wakes when it cannot, or merges nobody knows whom."""

    how: Literal["inf", "nan", "0", "merge"] = quantity("inf", "", "what goes wrong")

    def on_event(self, state):
        if state.start_s == 0.0:
            return Decision(aggregate=state.outstanding == 0)
        if self.how == "merge":
            return Decision(aggregate=True, merge=np.ones(state.selected))
        return Decision(aggregate=False, wake_at_s=float(self.how))


@final
class Average(Component):
    """An aggregator whose weights or whose models are not numbers."""

    how: Literal["weights", "model"] = quantity("model", "", "what goes wrong")

    def weights(self, samples):
        return np.full(len(samples), np.nan if self.how == "weights" else 1.0 / len(samples))

    def merge(self, shared, updates):
        merged = KeptAverage().merge(shared, updates)
        merged.shared[7] = np.nan
        return merged
