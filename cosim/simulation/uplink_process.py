"""The network as one process: it sleeps to the next completion, or until the set of senders changes."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    import simpy

    from cosim.net.transfer import Forecast, Medium, Transfers


class UplinkProcess:
    """All uploads of the round that is going on. ``completed(row, time_s)`` is called for each that ends."""

    def __init__(self, env: simpy.Environment, medium: Medium, completed: Callable[[int, float], None]) -> None:
        """The process starts with nothing to send."""
        self._env, self._medium, self._completed = env, medium, completed
        self._changed = env.event()
        self._forecast: Forecast | None = None
        self._completions: deque[tuple[float, int]] = deque()
        self._begin_s = self._clock_s = 0.0
        self.transfers: Transfers | None = None
        env.process(self._run())

    def open(self, transfers: Transfers, now_s: float) -> None:
        """A new round's uploads take the place of the last one's."""
        self.transfers, self._forecast = transfers, None
        self._begin_s = self._clock_s = now_s

    def begin(self, row: int, now_s: float) -> None:
        """A device starts to send."""
        self.settle(now_s)
        assert self.transfers is not None
        self.transfers = self.transfers.begin(row)
        self._wake()

    def abandon(self, row: int, now_s: float) -> None:
        """A device stops to send, for good."""
        self.settle(now_s)
        assert self.transfers is not None
        self.transfers = self.transfers.abandon(row)
        self._wake()

    def settle(self, now_s: float) -> None:
        """Bring the record to ``now_s``."""
        self._clock_s = max(self._clock_s, now_s)
        if self._forecast is None or self.transfers is None:
            return
        self.transfers = self._forecast.settle(self.transfers, self._clock_s)
        self._forecast = None
        self._announce(self._clock_s)

    def _announce(self, now_s: float) -> None:
        """Tell of completions up to ``now_s``. Shares are reserved, so they change nobody else's rate."""
        while self._completions and self._completions[0][0] <= now_s:
            end_s, row = self._completions.popleft()
            self._completed(row, end_s)

    def _wake(self) -> None:
        if not self._changed.triggered:
            self._changed.succeed()

    def _run(self) -> Generator[simpy.Event, None, None]:
        while True:
            if self._changed.triggered:
                self._changed = self._env.event()
            if self._forecast is None and self.transfers is not None and self.transfers.sending.any():
                self._medium.refuse_stall(self.transfers, self._begin_s, self._clock_s)
                self._forecast = self._medium.forecast(self.transfers, self._clock_s)
                self._completions = deque(self._forecast.completions())
            if self._forecast is None:
                yield self._changed
                continue
            forecast, end_s = self._forecast, float(self._forecast.edges_s[-1])
            wake_s = self._completions[0][0] if self._completions else end_s
            yield self._env.timeout(max(0.0, wake_s - self._env.now)) | self._changed
            if self._changed.triggered or self._forecast is not forecast:
                continue
            if wake_s < end_s:
                self._announce(wake_s)
            else:
                self.settle(end_s)
