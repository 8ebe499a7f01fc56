"""The learner: models, data and training of all devices. It knows rounds, no clock and no radio."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, pairwise
from typing import TYPE_CHECKING, NamedTuple, Self, final

import numpy as np
from numpy.typing import NDArray

from cosim.errors import RunError, ScenarioError, SimulationError
from cosim.interfaces import Evaluation, FloatArray, IntArray, Mixing, PruningCost, Submodels, Update, Workload
from cosim.learn.evaluation import evaluate
from cosim.learn.layers import Mask, Vector
from cosim.learn.masking import Masking, masking
from cosim.learn.mixing import mixed
from cosim.learn.packed import PackedMask, from_rows, to_rows
from cosim.learn.pruner import running_gradient
from cosim.learn.remembered import Remembered
from cosim.learn.roles import Aggregator, LocalResult, LocalTask, Merged, SharedUpdate
from cosim.learn.rotation import FIRST, NONE, Turn
from cosim.learn.servers import Server, average, join, restore
from cosim.learn.servers import state as arrays_of
from cosim.learn.submodel import narrowed, submodel, widened
from cosim.learn.threads import in_order, training_threads
from cosim.learn.tickets import Ticket, Tickets
from cosim.learn.work import Work, upload_format, workload
from cosim.rng import Streams

if TYPE_CHECKING:
    from cosim.learn.federated import Federated


class _Outcome(NamedTuple):
    """What a device's finished tickets gave: its state after the last one, that one's mask and loss, and its update as the server has it.

    ``received``: None where nothing arrives, or what arrives is rejected. ``examples``: as of ``LocalResult``.
    """

    personal: Vector
    gradient: Vector | None
    mask: Mask
    train_loss: float
    received: Vector | None
    examples: int | None


class _NewMask(NamedTuple):
    """A mask, how many entries it keeps, what ``Masking.flops`` needs, and sum u_i^2 over what it removes."""

    mask: PackedMask
    kept: int
    counts: IntArray
    lost: float

    @classmethod
    def of(cls, mask: Mask, rule: Masking, squares: FloatArray) -> Self:
        """Pack it, once all of it is known. ``squares``: u^2 (length,)."""
        return cls(PackedMask.of(mask), int(np.count_nonzero(mask)), rule.counts(mask), float(squares[~mask].sum()))


@final
class FederatedLearner:
    """The run-time side of ``Federated``: see ``cosim.interfaces.Learner`` for how a round goes.

    Held: the servers, each with a u (N + M,), and which of them each device belongs to; v (devices, P); for pruners that need it a running
    gradient, (N,) on the server or (devices, N) on the devices, NaN where not known yet; the round's masks; tickets.
    """

    def __init__(self, parameters: Federated, devices: int, streams: Streams, *, workers: int, servers: int = 1) -> None:
        """Load and deal the data, initialise the model. Raises ScenarioError where the data cannot be had or dealt."""
        self._parameters, self._streams, self._workers = parameters, streams, workers
        self._parts = parameters.parts()
        self._together = parameters.trainer.together(self._parts)  # now: it may have to say that there is no GPU
        data = parameters.dataset.load()
        self._shares = parameters.partition.deal(data, devices, streams)
        self._data = data if self._shares.data is None else self._shares.data
        shared, personal = self._parts.initial(streams)
        self._personal = np.tile(personal, (devices, 1))

        pruner, trainer = parameters.pruner, parameters.trainer
        self._device_gradient = pruner.gradient_memory is not None and pruner.side == "device"
        self._gradient = np.full((devices, self._parts.prunable), np.nan, np.float32) if self._device_gradient else None
        known = pruner.gradient_memory is None or self._device_gradient
        unknown = None if known else np.full(self._parts.prunable, np.nan, np.float32)
        optimizer = parameters.server_optimizer
        self._servers = [Server(shared, optimizer.start(len(shared)), unknown, np.zeros(len(shared))) for _ in range(servers)]
        self._server_of = np.zeros(devices, np.int64)

        samples = np.array([len(share) for share in self._shares.train])
        steps = trainer.steps(samples, personal=self._parts.personal_parameters > 0)
        self._has_own_state = self._device_gradient or bool((steps.personal + steps.joint).any())
        self._weight = _weights(parameters.aggregator, samples)
        dense = self._device_gradient and pruner.granularity == "unstructured"
        self._work = Work.of(self._parts, steps, np.minimum(samples, trainer.batch_size), dense_gradient=dense)
        self._masking = masking(self._parts, pruner)
        self._upload = upload_format(self._parts, pruner, parameters.codec)
        self._workload = workload(self._parts, self._work, pruner, parameters.codec, weight=self._weight)
        self._submodel = Remembered(lambda held: submodel(held.mask(), self._parts))
        self._masks: dict[int, PackedMask] = {}
        self._masks_round = -1
        self._tickets = Tickets()

    # --- a round, in order ------------------------------------------------------------------------------

    def workload(self) -> Workload:
        """What a round costs each device, for planning."""
        return self._workload

    def pruning_cost(self, server: int = 0) -> PruningCost | None:
        """The pruning error as a function of the ratio, by a server's weights of this moment: what masks made now would cost.

        Where devices rank weights by their own gradients, their mean stands for them; random masks cost rho on average.
        """
        pruner, shared, gradient = self._parameters.pruner, self._servers[server].shared, self._servers[server].gradient
        if self._gradient is not None:
            gradient = self._gradient
            known = np.isfinite(gradient)
            gradient = np.divide(
                np.where(known, np.abs(gradient), 0).sum(axis=0), known.sum(axis=0), where=known.any(axis=0), out=gradient[0] * np.nan
            )
        importance = pruner.importance(shared[: self._parts.prunable], gradient, self._streams.generator("pruner"))
        return self._masking.cost(shared, importance)

    def assign(self, round_index: int, device_ids: IntArray, prune_ratio: FloatArray, server: IntArray | None = None) -> Submodels:
        """Fix the masks of a round from the model of this moment. Raises SimulationError for ratios outside [0, 1]."""
        if not ((prune_ratio >= 0) & (prune_ratio <= 1)).all():
            raise SimulationError(f"round {round_index}: pruning ratios must lie in [0, 1], got {prune_ratio}")
        if server is not None:
            self._server_of = np.array(server)
        ids, rule, own = device_ids.tolist(), self._masking, self._server_of[device_ids]
        squares = [np.square(each.shared[: rule.length], dtype=np.float64) for each in self._servers]
        self._masks, self._masks_round = {}, round_index  # the old ones go before the new ones come
        whole = _NewMask.of(np.ones(rule.length, np.bool_), rule, squares[0])
        found = list(self._new_masks(round_index, ids, prune_ratio.tolist(), squares, whole))
        self._masks = {device: each.mask for device, each in zip(ids, found, strict=True)}
        kept, lost = np.array([each.kept for each in found], np.int64), np.array([each.lost for each in found])
        counts = np.array([each.counts for each in (whole, *found)])[1:]  # with nobody there as well
        weight, entire = self._weight[device_ids], np.array([each.sum() for each in squares])
        return Submodels(
            device_ids=device_ids,
            prune_ratio=1.0 - (kept - rule.length + rule.removable) / rule.removable,
            payload_bits=self._upload.bits(kept).astype(np.float64),
            flops=rule.flops(self._work, device_ids, counts),
            pruning_error=float(weight @ lost),
            pruning_bound=float(sum(entire[e] * (weight[own == e] @ prune_ratio[own == e]) for e in range(len(squares)))),
        )

    def _new_masks(
        self, round_index: int, device_ids: list[int], prune_ratio: list[float], squares: list[FloatArray], whole: _NewMask
    ) -> Iterator[_NewMask]:
        """The devices' masks; devices that must have the same one share it. ``squares``: u^2 of each server; ``whole``: prunes nothing."""
        pruner, rule, turning = self._parameters.pruner, self._masking, self._parameters.pruner.turning
        common: dict[int, NDArray[np.floating]] = {}
        made: dict[tuple[int, float, Turn], _NewMask] = {}
        for device, ratio in zip(device_ids, prune_ratio, strict=True):
            turn, server = Turn(device, round_index), int(self._server_of[device])
            if ratio == 0.0:
                yield whole
            elif not pruner.common:
                yield _NewMask.of(rule.mask(self._importance(round_index, device), ratio, turning, turn), rule, squares[server])
            else:
                if server not in common:
                    common[server] = self._importance(round_index, device)
                key = server, ratio, FIRST if turning == NONE else turn
                if key not in made:
                    made[key] = _NewMask.of(rule.mask(common[server], ratio, turning, key[2]), rule, squares[server])
                yield made[key]

    def _importance(self, round_index: int, device: int) -> NDArray[np.floating]:
        server = self._servers[self._server_of[device]]
        gradient = server.gradient if self._gradient is None else self._gradient[device]
        rng = self._streams.generator("pruner", device, round_index)
        return self._parameters.pruner.importance(server.shared[: self._parts.prunable], gradient, rng)

    def start(self, round_index: int, device_id: int) -> None:
        """A device begins its local work with the model of this moment."""
        if round_index != self._masks_round or device_id not in self._masks:
            raise SimulationError(f"round {round_index}: device {device_id} starts work without a sub-model of this round")
        server = int(self._server_of[device_id])
        self._tickets.start(Ticket(round_index, device_id, self._servers[server].shared, self._masks[device_id], server))

    def finish(self, device_id: int) -> None:
        """The device's local work is done."""
        self._tickets.finish(device_id)

    def cancel(self, device_id: int) -> None:
        """The device's local work will never be done."""
        self._tickets.cancel(device_id)

    def aggregate(self, round_index: int, arrived: IntArray, mixing: Mixing | None = None) -> Update:
        """Train all finished tickets, keep every personal part, merge the updates of the devices that arrived, mixed in as told.

        A device's last finished ticket is the one that arrives. Raises SimulationError if an arrived device has none.
        """
        scale = np.ones(len(arrived)) if mixing is None else mixing.scale
        work, senders = self._tickets.collect(), dict(zip(arrived.tolist(), scale.tolist(), strict=True))
        if missing := senders.keys() - work.keys():
            raise SimulationError(f"round {round_index}: updates of devices {sorted(missing)} arrived without finished work")
        work = {device: tickets for device, tickets in work.items() if len(self._shares.train[device])}  # without data nothing is trained
        if not self._has_own_state:  # nobody will ever need what the others' training or earlier tickets would give
            work = {device: tickets[-1:] for device, tickets in work.items() if device in senders}
        train_loss = np.full(len(self._weight), np.nan)
        rejected: list[int] = []
        arriving = self._updates(work, senders, mixing, train_loss, rejected)
        if len(self._servers) == 1:
            merged = [self._merge(self._servers[0], arriving)]
        else:
            came = list(arriving)
            merged = [self._merge(each, [update for update in came if update.server == index]) for index, each in enumerate(self._servers)]
        keepers = np.sum([each.keepers[: self._masking.length] for each in merged], axis=0)
        if rejected and self._parameters.on_divergence == "stop":
            raise SimulationError(
                f"round {round_index}: the updates of devices {rejected} are not finite, and learning.on_divergence is stop; a smaller"
                " learning rate may help"
            )
        aggregator, optimizer = self._parameters.aggregator, self._parameters.server_optimizer
        for server, found in zip(self._servers, merged, strict=True):
            _refuse_model(found.shared, server.shared, f"round {round_index}, learning.aggregator {type(aggregator).__name__}")
            shared, server.memory = optimizer.step(server.shared, found, server.memory)
            _refuse_model(shared, server.shared, f"round {round_index}, learning.server_optimizer {type(optimizer).__name__}")
            server.shared = shared
        return Update(train_loss, np.array(rejected, np.int64), float(keepers.min()), float((keepers == 0).mean()))

    def _merge(self, server: Server, updates: Iterable[SharedUpdate]) -> Merged:
        """A server's average, and what it learns from it: the running gradient, and how much of each parameter was kept by whom."""
        merged = self._parameters.aggregator.merge(server.shared, self._weighed(server, updates))
        if server.gradient is not None:
            change = (server.shared - merged.shared)[: self._parts.prunable]
            known = merged.keepers[: self._parts.prunable] > 0
            server.gradient = self._running(server.gradient, np.where(known, change, np.float32(np.nan)))
        return merged

    def _weighed(self, server: Server, updates: Iterable[SharedUpdate]) -> Iterator[SharedUpdate]:
        """The same updates, whose weights are added to the server's mass where there are several servers."""
        for update in updates:
            if len(self._servers) > 1:
                server.mass[: len(update.mask)] += update.weight * update.mask
                server.mass[len(update.mask) :] += update.weight
            yield update

    def join_servers(self) -> None:
        """All servers get the average of their models."""
        join(self._servers)

    def _updates(
        self,
        work: dict[int, list[Ticket]],
        senders: dict[int, float],
        mixing: Mixing | None,
        train_loss: FloatArray,
        rejected: list[int],
    ) -> Iterator[SharedUpdate]:
        """Train, keep what stays on the devices, and pass on what arrived, device by device in ascending order.

        ``senders``: scale of each device's update.
        """
        with training_threads(self._workers) as pool:
            jobs = _jobs(list(work.values()), self._together)
            outcomes = chain.from_iterable(in_order(pool, partial(self._train, senders=senders), jobs, ahead=2 * self._workers))
            for (device, tickets), outcome in zip(work.items(), outcomes, strict=True):
                self._personal[device] = outcome.personal
                if self._device_gradient and self._gradient is not None:
                    self._gradient[device] = outcome.gradient
                train_loss[device] = outcome.train_loss
                received, ticket = outcome.received, tickets[-1]
                if device in senders and received is None:
                    rejected.append(device)
                elif received is not None and (weight := self._counted(device, outcome.examples)) > 0:
                    if mixing is not None:
                        newest = self._servers[ticket.server].shared
                        base = ticket.shared if mixing.reference == "own" else newest
                        received = mixed(received, outcome.mask, newest, base, senders[device])
                    yield SharedUpdate(received, outcome.mask, weight, ticket.server)

    def _counted(self, device: int, examples: int | None) -> float:
        """w_k; of an update that counts for more or fewer samples than the device has, as the aggregator weighs these against those."""
        if examples is None:
            return float(self._weight[device])
        these, own = self._parameters.aggregator.weights(np.array([examples, len(self._shares.train[device])]))
        return float(self._weight[device] * these / own)

    def _received(self, ticket: Ticket, mask: Mask, result: LocalResult) -> Vector | None:
        """The update as the server has it, encoded and decoded; None where it diverged, or is beyond the codec's range."""
        if not result.finite:
            return None
        try:
            return self._upload.deliver(result.shared, mask, self._streams.generator("codec", ticket.device, ticket.round))
        except ValueError:
            return None

    def _train(self, work: Sequence[list[Ticket]], senders: Collection[int]) -> list[_Outcome]:
        """Some devices' tickets, each device's in turn, and the uploads of those among them that are ``senders``.

        Where training diverges, what stays on the device is as it was before.
        """
        devices = [tickets[0].device for tickets in work]
        personal, last = [self._personal[device] for device in devices], {}
        gradients = [self._gradient[device] if self._device_gradient and self._gradient is not None else None for device in devices]
        masks = {held: held.mask() for held in {ticket.mask for tickets in work for ticket in tickets}}
        for turn in range(max(map(len, work))):
            chosen = [(i, tickets[turn]) for i, tickets in enumerate(work) if turn < len(tickets)]
            tasks = [self._task(ticket, masks[ticket.mask], personal[i]) for i, ticket in chosen]
            rngs = [self._streams.generator("train", ticket.device, ticket.round) for _, ticket in chosen]
            smaller = [self._submodel(ticket.mask) for _, ticket in chosen]
            results = self._parameters.trainer.train(list(map(narrowed, tasks, smaller)), rngs)
            for (i, _), result in zip(chosen, map(widened, tasks, smaller, results), strict=True):
                last[i], old = result, gradients[i]
                if result.finite:
                    personal[i] = result.personal
                    gradients[i] = old if old is None or result.gradient is None else self._running(old, result.gradient)
        final = [(tickets[-1], masks[tickets[-1].mask]) for tickets in work]
        received = [self._received(*final[i], last[i]) if devices[i] in senders else None for i in range(len(work))]
        return [
            _Outcome(personal[i], gradients[i], final[i][1], last[i].train_loss, received[i], last[i].examples) for i in range(len(work))
        ]

    def _task(self, ticket: Ticket, mask: Mask, personal: Vector) -> LocalTask:
        return LocalTask(
            parts=self._parts,
            images=self._data.train_images,
            labels=self._data.train_labels,
            samples=self._shares.train[ticket.device],
            shared=ticket.shared,
            mask=mask,
            personal=personal,
            round=ticket.round,
            dense_gradient=self._device_gradient,
            device=ticket.device,
            devices=len(self._weight),
        )

    def _running(self, old: Vector, new: Vector) -> Vector:
        memory = self._parameters.pruner.gradient_memory
        assert memory is not None
        return running_gradient(old, new, memory)

    def evaluate(self, round_index: int, *, final: bool = False) -> Evaluation:
        """Accuracies after a round; all NaN in rounds that ``evaluate_every`` leaves out, unless it is the ``final`` one."""
        if (round_index + 1) % self._parameters.evaluate_every and not final:
            unknown = np.full(len(self._weight), np.nan)
            return Evaluation(accuracy=unknown, accuracy_full=unknown.copy(), global_accuracy=np.nan)
        masks = self._tickets.masks() | (self._masks if self._masks_round == round_index else {})
        with training_threads(self._workers) as pool:
            return evaluate(
                self._parts,
                self._data,
                self._shares.test,
                shared=average(self._servers),
                personal=self._personal,
                masks=masks,
                pool=pool,
                own=[self._servers[e].shared for e in self._server_of.tolist()] if len(self._servers) > 1 else None,
            )

    # --- checkpoints ------------------------------------------------------------------------------------

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """Everything needed to go on, as named arrays. Tickets are kept untrained: training them later gives the same bits."""
        return {
            **arrays_of(self._servers),
            **({} if self._gradient is None else {"gradient": self._gradient.copy()}),
            "personal": self._personal.copy(),
            "server_of": self._server_of.copy(),
            "masks": to_rows(list(self._masks.values())),
            "masks_devices": np.array(list(self._masks), np.int64),
            "masks_round": np.array([self._masks_round]),
            **self._tickets.state(),
        }

    def restore(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Go on from a state of a learner with the same parameters. Raises RunError if it is another's."""
        here = self.state()
        for name, array in here.items():
            if name not in state or (name in {"shared", "personal", "server", "gradient"} and state[name].shape != array.shape):
                found = f"has shape {state[name].shape}, must have {array.shape}" if name in state else "is missing"
                raise RunError(f"checkpoint of the learner: array {name!r} {found}; it belongs to another scenario")
        restore(self._servers, state if self._gradient is None else {**state, "gradient": np.empty(0)})
        self._personal, self._server_of = np.array(state["personal"], np.float32), np.array(state["server_of"], np.int64)
        self._gradient = None if self._gradient is None else np.array(state["gradient"], np.float32)
        masks = from_rows(state["masks"], self._masking.length)
        self._masks = dict(zip(state["masks_devices"].tolist(), masks, strict=True))
        self._masks_round = int(state["masks_round"][0])
        self._tickets.restore(state, self._masking.length)


def _weights(aggregator: Aggregator, samples: IntArray) -> FloatArray:
    """w_k (devices,). Raises ScenarioError for what can be none."""
    weight = aggregator.weights(samples)
    wrong = np.flatnonzero(~(np.isfinite(weight) & (weight >= 0)))
    if wrong.size:
        where = f"learning.aggregator {type(aggregator).__name__}: weight of device {wrong[0]}"
        raise ScenarioError(f"{where} is {weight[wrong[0]]}; must be finite and >= 0")
    return weight


def _refuse_model(new: Vector, old: Vector, who: str) -> None:
    """Updates that are not finite were rejected before, so a model that is not must be a mistake of who made it."""
    if new.shape != old.shape:
        raise SimulationError(f"{who}: the new model has shape {new.shape}; must be {old.shape}")
    wrong = np.flatnonzero(~np.isfinite(new))
    if wrong.size:
        raise SimulationError(
            f"{who}: {wrong.size} of the new model's {new.size} parameters are not finite, the first is number {wrong[0]}"
        )


def _jobs(work: list[list[Ticket]], together: int) -> list[list[list[Ticket]]]:
    """The devices in groups of at most so many, an even number of groups of about one size, so that threads end together."""
    groups = -(-len(work) // together)
    if 1 < groups < len(work):
        groups += groups % 2
    starts = [len(work) * i // max(groups, 1) for i in range(groups + 1)]
    return [work[begin:end] for begin, end in pairwise(starts)]
