"""A trainer that hands each device's local work to a client written for Flower. What imports Flower is in ``flower_client``."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Final, Self, final

import numpy as np
from pydantic import Field, model_validator

from cosim.component import Component, quantity
from cosim.interfaces import IntArray
from cosim.learn.roles import LocalResult, LocalTask, Pruner, Steps
from cosim.learn.trainer import Epochs, step_count

if TYPE_CHECKING:
    from cosim.learn.split import Parts

Setting = bool | int | float | str
OURS: Final = ("batch-size", "local-epochs", "local-steps", "server-round")
"""Settings that come from the scenario's own fields."""


@final
class Flower(Component):
    """Local work is done by a client of yours that was written for Flower (https://flower.ai), in its package ``flwr``.

    ``client`` names a ``ClientApp``, or a function that gets a ``Context`` and makes a ``NumPyClient`` (or any other ``Client``). In
    each round it gets the device's model and settings as from a server that trains, and gives the trained model, ``num_examples``
    and metrics. Masks are applied to what it gets and to what it gives. What it is told, and how it gets the device's data:
    docs/flower.md. Its module is imported when a scenario is checked, and so its code runs.

    The client alone knows what it does; cosim counts, as the work of a round, ``global_steps`` on mini-batches of ``batch_size``
    samples, on all layers, and tells the client these two. Needs the package flwr: ``pip install cosim[flower]``.
    """

    client: str = quantity(
        ..., "", 'the ClientApp, or the function that makes a client: "my_package.client_app:app"', pattern=r"^[\w.]+:\w+$"
    )
    config: dict[str, Setting] = quantity({}, "", "settings for the client, by name")
    batch_size: int = quantity(32, "", "samples in a mini-batch", ge=1, le=1_000_000)
    global_steps: Annotated[int, Field(ge=1, le=1_000_000)] | Epochs = quantity(
        Epochs(epochs=1), "", "local steps in each round, or {epochs: n}"
    )
    loss: str = quantity("train_loss", "", "name of the metric that is the mean training loss")

    @model_validator(mode="after")
    def _reserved(self) -> Self:
        if taken := sorted(set(OURS) & set(self.config)):
            raise ValueError(f"config: {taken[0]} is told to the client anyway, from batch_size, global_steps and the round")
        return self

    def settings(self) -> dict[str, Setting]:
        """What a client is told in every round; Flower's names are written with hyphens."""
        steps = self.global_steps
        length = {"local-epochs": steps.epochs} if isinstance(steps, Epochs) else {"local-steps": steps}
        return {"batch-size": self.batch_size, **length, **self.config}

    def check(self, parts: Parts, pruner: Pruner) -> None:
        """Import the client. Raises ValueError where that, the split, or the pruner will not do."""
        if parts.copy:
            raise ValueError("trainer kind flower: a client trains one model; split.personal_layers = copy would need two")
        if pruner.gradient_memory is not None and pruner.side == "device":
            raise ValueError(
                "trainer kind flower: clients tell no gradients, which this pruner needs on the device; set pruner.side = server"
            )
        if find_spec("flwr") is None:
            raise ValueError("trainer kind flower needs the package flwr, which is not installed: pip install 'cosim[flower]'")
        from cosim.learn.flower_client import client_app

        client_app(self.client)

    def steps(self, samples: IntArray, *, personal: bool) -> Steps:
        """Both parts are trained in the same steps."""
        count = step_count(self.global_steps, samples, self.batch_size)
        none = np.zeros_like(count)
        return Steps(none, none, count) if personal else Steps(none, count, none)

    def together(self, parts: Parts) -> int:  # noqa: ARG002 - role
        """One device at a time."""
        return 1

    def train(self, tasks: Sequence[LocalTask], rngs: Sequence[np.random.Generator]) -> list[LocalResult]:
        """The devices' local work. Raises SimulationError where a client raises, or gives what is no update."""
        from cosim.learn.flower_client import work

        return [work(self, task, rng) for task, rng in zip(tasks, rngs, strict=True)]
