"""Killed at any moment and resumed, as often as it takes: the tables are those of a run that was left alone."""

import json
import os
import random
import select
import signal
import subprocess
import sys
import time

import pytest

import cosim

SMALL = {
    "rounds": 60,
    "devices": {"count": 4},
    "area": {"width_m": 300, "height_m": 300},
    "mobility": {"kind": "random_waypoint"},
    "availability": {"kind": "on_off", "mean_on_s": 4.0, "mean_off_s": 1.0},
    "uplink": {"kind": "allocated", "bandwidth_hz": 5e6},
    "trace": {"events": True},
}
LEARNING = {
    "kind": "federated",
    "dataset": {"kind": "digits"},
    "model": {"kind": "mlp", "hidden": [16]},
    "trainer": {"kind": "sgd", "global_steps": 2},
}
ASYNCHRONOUS = {"policy": {"kind": "fed_buff", "buffer": 2}}
SCENARIOS = {
    "network": {**SMALL, "learning": {"kind": "none"}},
    "network-async": {**SMALL, "learning": {"kind": "none"}, "round": ASYNCHRONOUS},
    "learning": {**SMALL, "rounds": 30, "learning": LEARNING},
    "learning-async": {**SMALL, "rounds": 30, "learning": LEARNING, "round": ASYNCHRONOUS},
}
NURSERY = """
import os, sys
from pathlib import Path
import cosim, cosim.build, cosim.net.transfer, cosim.alloc.kkt, pyarrow.parquet, safetensors.numpy
from cosim.trace import writer
if sys.argv[1] == "learning":
    import torch, cosim.learn.learner, cosim.learn.descent
writer.FLUSH_INTERVAL_S = 0.0  # tables and checkpoints are being written most of the time
for line in sys.stdin:
    directory, scenario = map(Path, line.split())
    child = os.fork()
    if not child:
        if (directory / "manifest.json").exists():
            cosim.build.resume(directory, workers=1)
        else:
            cosim.run(cosim.Scenario.load(scenario), out=directory, workers=1)
        os._exit(0)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""
"""A process that has imported everything, and whose children each begin a run or go on with one."""


class Nursery:
    def __init__(self, what):
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", NURSERY, what]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True, bufsize=1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def child(self, directory, scenario, limit_s=None):
        """Let a child run, killed after ``limit_s``; returns (whether it was killed, how long it took [s])."""
        begin = time.monotonic()
        self.process.stdin.write(f"{directory} {scenario}\n")
        child = int(self.process.stdout.readline())
        if not select.select([self.process.stdout], [], [], limit_s)[0]:
            os.kill(child, signal.SIGKILL)
        status = int(self.process.stdout.readline())
        assert status in (0, signal.SIGKILL)
        return status != 0, time.monotonic() - begin


def check(name, tmp_path, kills, seed, **changes):
    """As many kills, up to five of them on one run, each at a random moment: as it begins, in a round, while it is resumed."""
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text(json.dumps({**SCENARIOS[name], **changes}))
    rng, done, place = random.Random(seed), 0, 0
    with Nursery(name.split("-")[0]) as nursery:
        _, usual_s = nursery.child(tmp_path / "whole", scenario)
        expected = cosim.Run.open(tmp_path / "whole").manifest["fingerprint"]
        while done < kills:
            directory = tmp_path / f"killed-{place}"
            for _ in range(min(5, kills - done)):
                killed, _ = nursery.child(directory, scenario, rng.uniform(0.0, 0.8 * usual_s))
                done += killed
            nursery.child(directory, scenario)
            run = cosim.Run.open(directory)
            assert run.manifest["status"] == "finished"
            assert run.manifest["fingerprint"] == expected, f"{directory}, {done} kills"
            place += 1


def test_a_few_kills(tmp_path):
    check("network-async", tmp_path, kills=3, seed=1, rounds=10)


@pytest.mark.full
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_hundred_kills(name, tmp_path):
    check(name, tmp_path, kills=25, seed=2)
