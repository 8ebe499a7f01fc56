"""Tickets: local work that has begun, with the model of that moment, and is trained only when its result is needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from cosim.errors import SimulationError
from cosim.learn.layers import Vector
from cosim.learn.packed import PackedMask, from_rows, to_rows


@final
@dataclass(frozen=True, slots=True)
class Ticket:
    """One device's local work of one round, for a server; ``shared`` and ``mask`` are references, nobody writes to them."""

    round: int
    device: int
    shared: Vector
    mask: PackedMask
    server: int = 0


@final
class Tickets:
    """All tickets in the order in which their work began. A device works on one at a time; it may have finished others."""

    def __init__(self) -> None:
        self._finished: list[Ticket] = []
        self._pending: dict[int, Ticket] = {}

    def start(self, ticket: Ticket) -> None:
        """Work begins. Raises SimulationError if the device is still busy."""
        if ticket.device in self._pending:
            raise SimulationError(
                f"device {ticket.device} starts work of round {ticket.round} before its work of round"
                f" {self._pending[ticket.device].round} was finished or cancelled"
            )
        self._pending[ticket.device] = ticket

    def finish(self, device: int) -> None:
        """Work is done; it may be trained from now on."""
        self._finished.append(self._take(device))

    def cancel(self, device: int) -> None:
        """Work will never be done."""
        self._take(device)

    def _take(self, device: int) -> Ticket:
        if device not in self._pending:
            raise SimulationError(f"device {device} has no unfinished work to finish or cancel")
        return self._pending.pop(device)

    def collect(self) -> dict[int, list[Ticket]]:
        """Remove and return the finished tickets: for each device, in ascending order, its own in the order of finishing."""
        found: dict[int, list[Ticket]] = {}
        for ticket in sorted(self._finished, key=lambda ticket: ticket.device):  # stable
            found.setdefault(ticket.device, []).append(ticket)
        self._finished = []
        return found

    def masks(self) -> dict[int, PackedMask]:
        """Of each device that is at work, the mask that it works with."""
        return {device: ticket.mask for device, ticket in self._pending.items()}

    def state(self) -> dict[str, NDArray[np.generic]]:
        """All tickets as named arrays; each model is stored once, however many tickets refer to it."""
        tickets = [*self._finished, *self._pending.values()]
        models = list({id(ticket.shared): ticket.shared for ticket in tickets}.values())
        number = {id(model): index for index, model in enumerate(models)}
        return {
            "ticket_rounds": np.array([ticket.round for ticket in tickets], np.int64),
            "ticket_devices": np.array([ticket.device for ticket in tickets], np.int64),
            "ticket_servers": np.array([ticket.server for ticket in tickets], np.int64),
            "ticket_finished": np.arange(len(tickets)) < len(self._finished),
            "ticket_models": np.array([number[id(ticket.shared)] for ticket in tickets], np.int64),
            "ticket_masks": to_rows([ticket.mask for ticket in tickets]),
            "models": np.array(models, np.float32) if models else np.empty((0, 0), np.float32),
        }

    def restore(self, state: Mapping[str, NDArray[np.generic]], prunable: int) -> None:
        """Replace all tickets by those of ``state``; masks have length ``prunable``."""
        models = list(np.array(state["models"], np.float32))
        masks = from_rows(state["ticket_masks"], prunable)
        names = ("ticket_rounds", "ticket_devices", "ticket_servers", "ticket_finished", "ticket_models")
        columns = (state[name].tolist() for name in names)
        self._finished, self._pending = [], {}
        for (number, device, server, finished, model), mask in zip(zip(*columns, strict=True), masks, strict=True):
            ticket = Ticket(number, device, models[model], mask, server)
            if finished:
                self._finished.append(ticket)
            else:
                self._pending[device] = ticket
