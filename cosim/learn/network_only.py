"""Learning that does not happen: the network alone, with the traffic and the work that training would cause. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import numpy as np
from numpy.typing import NDArray

from cosim.component import Component, quantity
from cosim.interfaces import Evaluation, FloatArray, IntArray, Mixing, Submodels, Update, Workload
from cosim.learn.codec import HEADER_BITS
from cosim.learn.values import Float32
from cosim.rng import Streams


@final
class NetworkOnly(Component):
    """Payloads and work from a few numbers, linear in the kept fraction; nothing is trained.

    With y = 1 - rho: upload = header + 32 (M + y N) bit, work = personal_flops + y global_flops. The defaults are
    those of the default CNN with its last layer personal, and of 5 personal and 10 global steps on 32 samples.
    """

    prunable_parameters: int = quantity(77_128, "", "N: shared parameters that can be pruned", ge=1)
    unprunable_parameters: int = quantity(312, "", "M: shared parameters that cannot be pruned", ge=0)
    global_flops: float = quantity(8.82e8, "FLOP", "work of a round in the unpruned global part", ge=0)
    personal_flops: float = quantity(6.45e6, "FLOP", "work of a round in the personal part", ge=0)

    def start(self, devices: int, streams: Streams, *, workers: int, servers: int = 1) -> NetworkOnlyLearner:  # noqa: ARG002 - role
        """A learner for ``devices`` equal devices; nothing is random and nothing needs threads."""
        return NetworkOnlyLearner(self.workload(devices))

    def workload(self, devices: int) -> Workload:
        """Cost of a round, the same on every device."""
        same = np.ones(devices)
        shared_bits = float(Float32.value_bits * self.unprunable_parameters + HEADER_BITS)
        prunable_bits = float(Float32.value_bits * self.prunable_parameters)
        return Workload(
            weight=same / devices,
            fixed_flops=same * self.personal_flops,
            prunable_flops=same * self.global_flops,
            fixed_bits=same * shared_bits,
            prunable_bits=same * prunable_bits,
            download_bits=same * (shared_bits + prunable_bits),
            prunable_parameters=self.prunable_parameters,
        )


@final
class NetworkOnlyLearner:
    """A learner without models: what was planned is what happens, and every result of learning is NaN."""

    def __init__(self, workload: Workload) -> None:
        self._workload = workload

    def workload(self) -> Workload:
        """What a round costs."""
        return self._workload

    def pruning_cost(self, server: int = 0) -> None:
        """No weights, no error."""

    def assign(
        self,
        round_index: int,  # noqa: ARG002 - role
        device_ids: IntArray,
        prune_ratio: FloatArray,
        server: IntArray | None = None,  # noqa: ARG002
    ) -> Submodels:
        """Payload and work at exactly the ratios asked for: N is not cut into whole parameters."""
        work, kept = self._workload, 1.0 - prune_ratio
        return Submodels(
            device_ids=device_ids,
            prune_ratio=prune_ratio,
            payload_bits=work.fixed_bits[device_ids] + kept * work.prunable_bits[device_ids],
            flops=work.fixed_flops[device_ids] + kept * work.prunable_flops[device_ids],
            pruning_error=np.nan,
            pruning_bound=np.nan,
        )

    def start(self, round_index: int, device_id: int) -> None:
        """Nothing to train."""

    def finish(self, device_id: int) -> None:
        """Nothing was trained."""

    def cancel(self, device_id: int) -> None:
        """Nothing to forget."""

    def aggregate(self, round_index: int, arrived: IntArray, mixing: Mixing | None = None) -> Update:  # noqa: ARG002 - role
        """Nothing to merge."""
        return Update(
            train_loss=np.full(len(self._workload.weight), np.nan),
            rejected=np.empty(0, np.int64),
            coverage_min=np.nan,
            uncovered_fraction=np.nan,
        )

    def join_servers(self) -> None:
        """Nothing to average."""

    def evaluate(self, round_index: int, *, final: bool = False) -> Evaluation:  # noqa: ARG002 - role
        """Nothing to test."""
        unknown = np.full(len(self._workload.weight), np.nan)
        return Evaluation(accuracy=unknown, accuracy_full=unknown.copy(), global_accuracy=np.nan)

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """There is none."""
        return {}

    def restore(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """There is none."""
