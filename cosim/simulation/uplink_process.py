"""The uplink as events: one for each completion that can be foreseen, and one where the window of what is foreseen ends."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import simpy

    from cosim.interfaces import FloatArray, IntArray
    from cosim.net.transfer import Medium, Transfers, Window


class UplinkProcess:
    """All uploads of the round that is going on. ``completed(row, time_s)`` is called for each that ends.

    ``_completion_s`` (n,): when an upload will end, as far as the window tells; inf where it does not. On a coupled uplink a window
    ends at the slot edge after the senders change: no window has to be taken back, who begins within a slot is in the next one's, and
    a run that goes on from a checkpoint has the same windows. ``windows``: all of the round's, if they are to be kept.
    """

    def __init__(
        self,
        env: simpy.Environment,
        medium: Medium,
        completed: Callable[[int, float], None],
        *,
        keep_windows: bool = False,
        horizon: Callable[[], float] = lambda: np.inf,
    ) -> None:
        """Nothing to send yet.

        ``horizon``: the next moment, as far as is known, at which the round may be over; on a coupled uplink, at which the senders change
        other than by a beginning.
        """
        self._env, self._medium, self._completed, self._keep, self._horizon = env, medium, completed, keep_windows, horizon
        self.windows: list[Window] = []
        self._transfers: Transfers | None = None
        self._window: Window | None = None
        self._completion_s: FloatArray = np.zeros(0)
        self._begin_s = 0.0
        self._coming: IntArray = np.zeros(0, np.int64)
        self._coming_s: FloatArray = np.zeros(0)

    def open(self, transfers: Transfers, now_s: float) -> None:
        """A round's uploads; those that have begun in an earlier round go on."""
        self._transfers, self._window, self._begin_s, self.windows = transfers, None, now_s, []
        self._completion_s = np.full(len(transfers.device_ids), np.inf)
        if transfers.sending.any():
            self._look_ahead_from(now_s)

    def close(self, now_s: float) -> Transfers:
        """The uploads at the end of their round."""
        transfers = self._open_transfers()
        for row in np.flatnonzero(self._completion_s <= now_s).tolist():  # the last ones, of this very moment
            self._complete(transfers, row)
        self._settle(now_s)
        early = transfers.sending & (transfers.settled_s > now_s)
        transfers.sending[early], transfers.settled_s[early] = False, 0.0
        self._transfers = self._window = None
        self._coming, self._coming_s = self._coming[:0], self._coming_s[:0]
        return transfers

    def expect(self, rows: IntArray, begin_s: FloatArray) -> None:
        """Rows (k,) will have something to send at these moments; they are on the air from their grants on."""
        order = np.argsort(begin_s, kind="stable")
        self._coming, self._coming_s = rows[order], begin_s[order] + self._medium.uplink.grant_delay_s
        if self._window is not None and not self._medium.coupled:
            self._take_in(self._window)
        else:
            self._wait()

    def _wait(self) -> None:
        """An event for who begins next."""
        if self._coming.size:
            self._at(float(self._coming_s[0]), partial(self._go_on_air, self._open_transfers()))

    def _go_on_air(self, transfers: Transfers) -> None:
        if transfers is not self._transfers:
            return
        now_s = float(self._coming_s[0])
        rows, _ = self._called(np.searchsorted(self._coming_s, now_s, side="right"))
        transfers.begin(rows, now_s)
        if self._medium.coupled:
            self._wait()  # a coupled window looks no further than who begins next
            empty = rows[transfers.backlog_bits[rows] == 0.0]
            self._completion_s[empty] = now_s
            for row in empty.tolist():  # an event each
                self._at(now_s, partial(self._complete, transfers, row))
        if self._window is None:
            self._look_ahead_from(now_s)

    def _take_in(self, window: Window) -> None:
        """Reserved shares: all who begin within a window, at once and each from its moment on."""
        rows, begin_s = self._called(np.searchsorted(self._coming_s, window.end_s))
        if rows.size:
            self._open_transfers().begin(rows, begin_s)
            self._foresee(rows)

    def _called(self, count: np.intp) -> tuple[IntArray, FloatArray]:
        """The next ``count`` who begin, without those who have left."""
        rows, begin_s = self._coming[:count], self._coming_s[:count]
        self._coming, self._coming_s = self._coming[count:], self._coming_s[count:]
        there = ~self._open_transfers().done[rows]
        return rows[there], begin_s[there]

    def _look_ahead_from(self, now_s: float) -> None:
        """The first window of those on the air: at once, or, on a coupled uplink, from the next slot edge on."""
        if self._medium.coupled:
            self._last_at(self._medium.next_edge_s(now_s), partial(self._wake, self._open_transfers()))
        else:
            self._look_ahead()

    def _wake(self, transfers: Transfers) -> None:
        if transfers is self._transfers and self._window is None:
            self._look_ahead()

    def airtime_s(self, row: int, now_s: float) -> float:
        """Time that a device has spent on the air until now [s]."""
        transfers = self._open_transfers()
        if transfers.sending[row] and self._window is not None:
            self._window.settle(transfers, np.array([row]), now_s)
        return float(transfers.airtime_s[row])

    def restart(self, row: int, now_s: float, bits: float) -> None:
        """The upload of a device that is on the air begins anew, at a slot's edge, with so many bits: what had arrived is sent again.

        One that completes at this very moment is complete.
        """
        transfers = self._open_transfers()
        if not transfers.sending[row] or self._completion_s[row] <= now_s:
            return
        if self._window is not None:
            self._window.settle(transfers, np.array([row]), now_s)
        transfers.again_bits[row] += bits - transfers.backlog_bits[row]
        transfers.backlog_bits[row] = bits

    def abandon(self, row: int, now_s: float) -> None:
        """A device stops to send, for good."""
        transfers = self._open_transfers()
        if transfers.sending[row] and self._window is not None:
            self._window.settle(transfers, np.array([row]), now_s)
        self._completion_s[row] = np.inf
        transfers.stop(row)

    def _open_transfers(self) -> Transfers:
        assert self._transfers is not None
        return self._transfers

    def _look_ahead(self) -> None:
        """The next window, as long as anybody sends."""
        transfers, self._window = self._open_transfers(), None
        rows = np.flatnonzero(transfers.sending)
        if not rows.size:
            if not self._medium.coupled:
                self._wait()
            return
        now_s = float(transfers.settled_s[rows].min())
        self._medium.refuse_stall(transfers, self._begin_s, now_s)
        self._window = window = self._medium.window(transfers, self._begin_s, now_s, self._until())
        if self._keep:
            self.windows.append(window)
        self._foresee(rows)
        if not self._medium.coupled:
            self._take_in(window)
        self._last_at(window.end_s, partial(self._go_on, window))

    def _until(self) -> float:
        """How far a window may look: who begins is nobody else's business where shares are reserved."""
        begins_s = float(self._coming_s[0]) if self._coming.size and self._medium.coupled else np.inf
        return min(self._horizon(), begins_s)

    def _go_on(self, window: Window) -> None:
        if window is self._window:
            self._settle(window.end_s)
            self._look_ahead()

    def _foresee(self, rows: IntArray) -> None:
        """Completions of rows within the window become events: no other device will move them."""
        assert self._window is not None
        transfers = self._open_transfers()
        completion_s = self._completion_s[rows] = self._window.completion_s(transfers, rows)
        for row in rows[completion_s < np.inf].tolist():  # an event each
            self._at(float(self._completion_s[row]), partial(self._complete, transfers, row))

    def _complete(self, transfers: Transfers, row: int) -> None:
        if transfers is self._transfers and transfers.sending[row]:
            transfers.complete(row)
            self._completed(row, float(self._completion_s[row]))

    def _settle(self, now_s: float) -> None:
        """Bring all who have been on the air in this window to ``now_s``, or to the completion before it."""
        transfers = self._open_transfers()
        if self._window is not None:
            rows = np.flatnonzero(transfers.sending | np.isfinite(self._completion_s))
            self._window.settle(transfers, rows, np.minimum(self._completion_s[rows], now_s))
            self._completion_s[rows] = np.inf

    def _last_at(self, time_s: float, what: Callable[[], None]) -> None:
        """After all that is to happen at that moment, as far as is known when it comes: who begins at a slot's edge is in the slot."""
        self._at(time_s, lambda: self._at(time_s, what))

    def _at(self, time_s: float, what: Callable[[], None]) -> None:
        event = self._env.timeout(max(0.0, time_s - self._env.now))
        assert event.callbacks is not None
        event.callbacks.append(lambda _: what())
