"""SUMO in the loop: devices are vehicles of a traffic simulation that runs in a process of its own."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import weakref
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, cast, final

import numpy as np

from cosim.component import Component, ScenarioPath, quantity
from cosim.errors import ScenarioError, SimulationError
from cosim.interfaces import Motion

if TYPE_CHECKING:
    from cosim.interfaces import FloatArray, IntArray
    from cosim.rng import Streams

MANHATTAN: Final = Path(__file__).parent / "assets" / "manhattan.net.xml.gz"
"""The network used when a scenario names none: made by ``scripts/make_manhattan_network.py``."""
_STEPS: Final = 128
"""Steps asked for at once; any number gives the same positions."""


@final
class Sumo(Component):
    """Vehicles in Eclipse SUMO [Lopez et al., "Microscopic traffic simulation using SUMO", ITSC 2018], one for each device.

    All vehicles are inserted at random places; t = 0 is when the last of them is on the road and ``warmup_s`` have
    passed. Each drives to a random street by the fastest route, then to the next one, and is never taken off. Positions are
    recorded at multiples of ``step_s``, with straight lines between them. Vehicles make way for one another: unlike with
    every other kind, a device more changes the paths of all. Equal seeds give equal paths (with the same SUMO version).

    Needs the package libsumo: ``pip install cosim[sumo]``.
    """

    network: ScenarioPath | None = quantity(None, "", "network (.net.xml or .net.xml.gz); none: Manhattan, 5 x 5 crossings in 1 km x 1 km")
    step_s: float = quantity(1.0, "s", "time step of the traffic simulation and of the record", ge=0.1, le=10.0)
    warmup_s: float = quantity(120.0, "s", "traffic simulated before t = 0", ge=0)

    def start(self, extent_m: tuple[float, float], devices: int, streams: Streams) -> SumoTrajectories:
        """Trajectories of devices 0 .. devices-1; stream ("mobility") seeds SUMO, ("mobility", device) draws places and destinations.

        Raises:
            ScenarioError: libsumo is not installed, the network cannot be used, is larger than the area or too small for the devices.
        """
        if importlib.util.find_spec("libsumo") is None:
            raise ScenarioError("mobility kind 'sumo' needs the package libsumo, which is not installed: pip install 'cosim[sumo]'")
        settings = {
            "network": str(self.network or MANHATTAN),
            "step_s": self.step_s,
            "warmup_s": self.warmup_s,
            "devices": devices,
            "seed": streams.seed,
            "extent_m": extent_m,
        }
        return SumoTrajectories(_Worker(settings), self.step_s, devices)


@final
class SumoTrajectories:
    """Positions at multiples of the step, remembered; the simulation goes on when a later time is asked for."""

    def __init__(self, worker: _Worker, step_s: float, devices: int) -> None:
        self._worker, self._step_s = worker, step_s
        self._place_m = np.zeros((0, devices, 2))
        self._path_m = np.zeros((0, devices))
        self._known = 0

    def at(self, times_s: FloatArray, device_ids: IntArray) -> Motion:
        """Motion at times (T,) of devices (n,); times >= 0 in any order. Raises SimulationError if SUMO fails."""
        if times_s.size and not (times_s.min() >= 0.0 and np.isfinite(times_s.max())):
            raise ValueError(f"times must be finite and >= 0 s, got {times_s.min():g} s to {times_s.max():g} s")
        position = times_s / self._step_s
        index = np.floor(position).astype(np.int64)
        while self._known < index.max(initial=-1) + 2:
            self._extend()
        row, part = index[:, None], (position - index)[:, None]
        place, path = self._place_m[row, device_ids], self._path_m[row, device_ids]
        step, ahead = self._place_m[row + 1, device_ids] - place, self._path_m[row + 1, device_ids] - path
        x, y = np.moveaxis(place + step * part[..., None], -1, 0)
        return Motion(x, y, ahead / self._step_s, path + ahead * part)

    def _extend(self) -> None:
        """The next steps, into arrays that double when they are full."""
        known, end = self._known, self._known + _STEPS
        if end > len(self._place_m):
            self._place_m, self._path_m = (
                np.concatenate([a, np.zeros((max(end, len(a)), *a.shape[1:]))]) for a in (self._place_m, self._path_m)
            )
        self._place_m[known:end] = self._worker.steps(_STEPS, self._path_m.shape[1])
        for i in range(max(known, 1), end):  # a sum in fixed order
            self._path_m[i] = self._path_m[i - 1] + np.hypot(*(self._place_m[i] - self._place_m[i - 1]).T)
        self._known = end


class _Worker:
    """A process with one SUMO simulation: libsumo holds only one in each process.

    Through its pipes go a line of JSON with the settings, then numbers of steps; back come a line of JSON and, if
    that tells no error, positions as float64.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        """Start it. Raises ScenarioError if SUMO refuses the settings."""
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        command = [sys.executable, "-P", "-m", "cosim.net.sumo_worker"]
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, env=environment, start_new_session=True
        )
        self._stop = weakref.finalize(self, _stop, self._process, self._log)
        answer = self._ask(json.dumps(settings))
        if "error" in answer:
            raise ScenarioError(f"mobility: {answer['error']}")

    def steps(self, count: int, devices: int) -> FloatArray:
        """Positions (count, devices, 2) at the next steps. Raises SimulationError."""
        answer = self._ask(str(count))
        if "error" in answer:
            raise SimulationError(f"mobility: {answer['error']}")
        data = cast("IO[bytes]", self._process.stdout).read(count * devices * 16)
        return np.frombuffer(data, "<f8").reshape(count, devices, 2)

    def _ask(self, line: str) -> dict[str, Any]:
        talk, listen = cast("IO[bytes]", self._process.stdin), cast("IO[bytes]", self._process.stdout)
        try:
            talk.write(line.encode() + b"\n")
            talk.flush()
            answer = listen.readline()
        except BrokenPipeError:
            answer = b""
        if answer:
            return cast("dict[str, Any]", json.loads(answer))
        self._process.wait()
        self._log.seek(0)
        last = self._log.read().decode(errors="replace").strip().splitlines()[-1:]
        raise SimulationError(f"the SUMO process ended with exit status {self._process.returncode}: {''.join(last) or 'no message'}")


def _stop(process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
    """The end of its input ends the process."""
    for pipe in (process.stdin, process.stdout):
        if pipe:
            with contextlib.suppress(OSError):  # what it did not read
                pipe.close()
    try:
        process.wait(timeout=5.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    log.close()
