"""Federated learning as a scenario's ``learning`` node: which data, model, training, pruning, coding and aggregation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self, final

from pydantic import Field, model_validator

from cosim.catalog import Node, default
from cosim.component import Component, quantity
from cosim.learn.roles import Aggregator, Codec, Dataset, ImageData, Model, Partition, Pruner, ServerOptimizer, Shares, Trainer
from cosim.learn.split import Parts, Split
from cosim.rng import Streams

if TYPE_CHECKING:
    from cosim.learn.learner import FederatedLearner


@final
class Federated(Component):
    """Partial model pruning and personalization: the shared part is pruned, trained and averaged, the personal part stays.

    Source: Liu et al., "Adaptive Model Pruning and Personalization for Federated Learning over Wireless Networks",
    IEEE TSP 2024 (arXiv 2309.01816).
    """

    dataset: Annotated[Dataset, Node("dataset")] = default("dataset", "fashion_mnist_small")
    partition: Annotated[Partition, Node("partition")] = default("partition", "classes_per_device")
    model: Annotated[Model, Node("model")] = default("model", "cnn")
    split: Split = Field(default_factory=Split, description="which layers are personal")
    trainer: Annotated[Trainer, Node("trainer")] = default("trainer", "sgd")
    pruner: Annotated[Pruner, Node("pruner")] = default("pruner", "magnitude")
    codec: Annotated[Codec, Node("codec")] = default("codec", "float32")
    aggregator: Annotated[Aggregator, Node("aggregator")] = default("aggregator", "kept_average")
    server_optimizer: Annotated[ServerOptimizer, Node("server_optimizer")] = default("server_optimizer", "fedavg")
    on_divergence: Literal["reject", "stop"] = quantity(
        "reject", "", "what an update that is not finite does: it is refused, or the run stops"
    )
    evaluate_every: int = quantity(1, "", "evaluate after every so many rounds, and after the last one", ge=1, le=1_000_000)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        """The parts must fit each other; known without loading data."""
        self.partition.check(self.dataset.classes)
        parts = self.parts()
        self.trainer.check(parts, self.pruner)
        if self.pruner.granularity == "structured":  # not every network has units that can go
            from cosim.learn.masking import masking

            masking(parts, self.pruner)
        return self

    def parts(self) -> Parts:
        """The model cut in its shared and its personal part. Raises ValueError where that cannot be."""
        return Parts.of(self.model.network(self.dataset.image_shape, self.dataset.classes), self.split)

    def deal(self, devices: int, streams: Streams) -> tuple[ImageData, Shares]:
        """The data as devices see them, and who has which. Raises ScenarioError where they cannot be had or dealt."""
        data = self.dataset.load()
        shares = self.partition.deal(data, devices, streams)
        return shares.data or data, shares

    def start(self, devices: int, streams: Streams, *, workers: int, servers: int = 1) -> FederatedLearner:
        """Load and deal the data, initialise the model; ``workers`` training threads, any number giving the same bits."""
        from cosim.learn.learner import FederatedLearner

        return FederatedLearner(self, devices, streams, workers=workers, servers=servers)
