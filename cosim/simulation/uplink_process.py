"""The network as one process: it sleeps to the next completion, or until the set of senders changes."""

from __future__ import annotations

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
        forecast, self._forecast = self._forecast, None
        self._clock_s = max(self._clock_s, now_s)
        if forecast is None or self.transfers is None:
            return
        self.transfers, rows = forecast.settle(self.transfers, self._clock_s)
        ends_s = forecast.done_s[forecast.done_s <= self._clock_s]
        for row, end_s in zip(rows.tolist(), ends_s.tolist(), strict=True):  # one SimPy event each
            self._completed(row, end_s)

    def _wake(self) -> None:
        if not self._changed.triggered:
            self._changed.succeed()

    def _run(self) -> Generator[simpy.Event, None, None]:
        while True:
            if self._changed.triggered:
                self._changed = self._env.event()
            if self.transfers is None or not self.transfers.sending.any():
                yield self._changed
                continue
            if self._forecast is None:
                self._medium.refuse_stall(self.transfers, self._begin_s, self._clock_s)
                self._forecast = self._medium.forecast(self.transfers, self._clock_s)
            wake_s = self._forecast.wake_s
            yield self._env.timeout(max(0.0, wake_s - self._env.now)) | self._changed
            if not self._changed.triggered:
                self.settle(wake_s)
