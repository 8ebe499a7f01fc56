"""One device's local work, done by a Flower client: a message goes in, a reply comes out. The only module that imports Flower."""

from __future__ import annotations

import importlib
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, Metadata, RecordDict
from flwr.client import NumPyClient
from flwr.clientapp import ClientApp
from numpy.typing import NDArray

from cosim.errors import SimulationError
from cosim.learn.layers import tensor_names, views
from cosim.learn.roles import LocalResult, LocalTask
from cosim.learn.split import Parts

if TYPE_CHECKING:
    from cosim.learn.flower import Flower

_ONE_AT_A_TIME: Final = Lock()
"""Clients draw from the process's generators, which are seeded for each of them."""
_LIFE_S: Final = 7.0 * 86400.0
"""A client has so much wall time to answer; later, Flower would complain in its log."""


def client_app(name: str) -> ClientApp:
    """The ClientApp that ``module:name`` is, or one around the function that it is. Raises ValueError for anything else."""
    place, _, attribute = name.partition(":")
    try:
        found: Any = getattr(importlib.import_module(place), attribute)
    except Exception as error:
        raise ValueError(f"trainer.client = {name}: {type(error).__name__}: {error}") from error
    if isinstance(found, ClientApp):
        return found
    if not callable(found) or isinstance(found, type):
        what = "a class" if isinstance(found, type) else f"a {type(found).__name__}"
        raise ValueError(  # noqa: TRY004 - the scenario is wrong, not a type in the code
            f"trainer.client = {name} is {what}; it must be a ClientApp, or a function of a Context that makes a client"
        )

    def client_fn(context: Context) -> Any:
        client = found(context)
        return client.to_client() if isinstance(client, NumPyClient) else client

    return ClientApp(client_fn=client_fn)


def work(settings: Flower, task: LocalTask, rng: np.random.Generator) -> LocalResult:
    """One device's round. Raises SimulationError, which says whose client did what wrong."""
    u, kept = task.shared.copy(), np.ones(len(task.shared), np.bool_)
    kept[: len(task.mask)] = task.mask
    u[~kept] = 0.0
    model = _tensors(task.parts, u, task.personal)
    try:
        reply = _asked(client_app(settings.client), _message(settings, task, model), _context(settings, task, kept), rng)
        v = task.personal.copy()
        _take(reply, _tensors(task.parts, u, v))
        metrics = _metrics(reply)
        examples, loss = _examples(metrics), _loss(metrics, settings.loss)
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), "")
        told = reason if isinstance(error, _UnusableError) else f"the client raised {type(error).__name__}: {reason}"
        raise SimulationError(f"round {task.round}: device {task.device}: trainer.client = {settings.client}: {told}") from error
    u[~kept] = 0.0
    finite = bool(np.isfinite(u).all() and np.isfinite(v).all() and (loss is None or np.isfinite(loss)))
    return LocalResult(u, v, np.nan if loss is None else float(loss), finite, examples=examples)


class _UnusableError(ValueError):
    """The reply is no update."""


def _tensors(parts: Parts, shared: NDArray[Any], personal: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """The model's tensors by name, as views into u and v, layer by layer: weights, then what else the layer has."""
    layers = parts.network.layers
    tensors = parts.joined(views(shared, parts.shared), views(personal, parts.personal))
    by_name = dict(zip(tensor_names(layers), tensors, strict=True))
    return {name: by_name[name] for layer in layers for name in layer.tensors}


def _message(settings: Flower, task: LocalTask, model: Mapping[str, NDArray[Any]]) -> Message:
    """As a server's strategy writes it: for train functions of a ClientApp and, under names that start with fitins, for a client's fit."""
    arrays, config = _record(model), ConfigRecord({**settings.settings(), "server-round": task.round + 1})
    content = RecordDict({"arrays": arrays, "config": config, "fitins.parameters": arrays, "fitins.config": config})
    return Message(content=content, metadata=_metadata(task))


def _metadata(task: LocalTask) -> Metadata:
    """Where no server runs, nobody else fills it in."""
    return Metadata(
        run_id=0,
        message_id="",
        src_node_id=task.devices,
        dst_node_id=task.device,
        reply_to_message_id="",
        group_id=str(task.round + 1),
        created_at=time.time(),
        ttl=_LIFE_S,
        message_type="train",
    )


def _context(settings: Flower, task: LocalTask, kept: NDArray[np.bool_]) -> Context:
    """The device's number, data and mask; personal tensors are never pruned."""
    masks = _tensors(task.parts, kept, np.ones(len(task.personal), np.bool_))
    data: dict[str, NDArray[Any]] = {"images": task.images[task.samples], "labels": task.labels[task.samples]}
    return Context(
        run_id=0,
        node_id=task.device,
        node_config={"partition-id": task.device, "num-partitions": task.devices},
        state=RecordDict({"data": _record(data), "masks": _record(masks)}),
        run_config=settings.settings(),
    )


def _record(arrays: Mapping[str, NDArray[Any]]) -> ArrayRecord:
    return ArrayRecord({name: Array(array) for name, array in arrays.items()})


def _asked(app: ClientApp, message: Message, context: Context, rng: np.random.Generator) -> RecordDict:
    """What the client answers, with the global generators seeded from ``rng`` and as before afterwards."""
    given = set(context.state)
    with _ONE_AT_A_TIME, _seeded(int(rng.integers(2**32))):
        reply = app(message, context)
    if kept := sorted(set(context.state) - given):
        raise _UnusableError(f"the client keeps {kept[0]!r} in context.state, which begins anew in each round: make that a personal layer")
    if not isinstance(reply, Message):
        raise _UnusableError(f"the client answers with a {type(reply).__name__}, not with a Message")
    if not reply.has_content():
        raise _UnusableError(f"the client answers with an error: {reply.error.reason}")
    return reply.content


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """The generators of torch, numpy and Python with a seed; as they were before afterwards."""
    numpys, pythons = np.random.get_state(), random.getstate()  # noqa: NPY002 - clients use it
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            random.seed(seed)
            yield
    finally:
        np.random.set_state(numpys)  # noqa: NPY002
        random.setstate(pythons)


def _take(reply: RecordDict, model: Mapping[str, NDArray[Any]]) -> None:
    """Write the reply's arrays into the model's: by name where all names are the model's, else in their order."""
    status = reply.config_records.get("fitres.status", {"code": 0})
    if status["code"]:
        raise _UnusableError(f"the client answers with status {status['code']}: {status['message']}")
    if len(reply.array_records) != 1:
        raise _UnusableError(f"the client's reply has {len(reply.array_records)} ArrayRecords; it must have one, the trained model")
    (record,) = reply.array_records.values()
    arrays = {name: array.numpy() for name, array in record.items() if array.data}
    if len(arrays) != len(model):
        raise _UnusableError(f"the client gives {len(arrays)} arrays; the model has {len(model)}: {', '.join(model)}")
    named = arrays.keys() == model.keys()
    for position, (name, tensor) in enumerate(model.items()):
        array = arrays[name] if named else list(arrays.values())[position]
        if array.shape != tensor.shape or array.dtype.kind not in "fiub":
            raise _UnusableError(f"array {position} of the client's is {array.dtype} {array.shape}; {name} must have shape {tensor.shape}")
        with np.errstate(over="ignore"):  # beyond float32 it becomes infinite, and the update is refused
            tensor[...] = array


def _metrics(reply: RecordDict) -> dict[str, Any]:
    """All metrics, ``num_examples`` among them."""
    records = [*reply.metric_records.values(), *(record for name, record in reply.config_records.items() if name == "fitres.metrics")]
    return {name.replace("-", "_") if name.startswith("num") else name: value for record in records for name, value in record.items()}


def _examples(metrics: Mapping[str, Any]) -> int:
    count = metrics.get("num_examples")
    if not isinstance(count, int | float) or not count >= 0 or count % 1:  # NaN and infinity too
        told = "tells no num-examples" if count is None else f"tells num-examples = {count!r}"
        raise _UnusableError(f"the client {told}; an update counts for a number of samples, 0 or more")
    return int(count)


def _loss(metrics: Mapping[str, Any], name: str) -> float | None:
    loss = metrics.get(name)
    if not isinstance(loss, int | float | None):
        raise _UnusableError(f"the client's metric {name} is {loss!r}; the mean training loss must be a number")
    return loss
