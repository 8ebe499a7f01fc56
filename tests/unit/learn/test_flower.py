"""Clients written for Flower as trainers, against the real package."""

import random
import sys
import types

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from cosim.errors import SimulationError
from cosim.learn.aggregator import KeptAverage
from cosim.learn.federated import Federated
from cosim.learn.flower import Flower
from cosim.learn.models import MLP, ResNet, TorchModule
from cosim.learn.pruner import Magnitude
from cosim.learn.split import Split
from cosim.learn.trainer import SGD, Epochs, minibatches
from cosim.rng import Streams

pytest.importorskip("flwr")

from flwr.app import Array, ArrayRecord, Error, Message, MetricRecord, RecordDict
from flwr.client import Client, NumPyClient
from flwr.clientapp import ClientApp

pytestmark = pytest.mark.flower
RATE = 0.1
SEED = 3  # of conftest's streams


def local_data(context):
    data = context.state["data"]
    return torch.from_numpy(data["images"].numpy()), torch.from_numpy(data["labels"].numpy())


def sgd(context, server_round, tensors, forward, masks):
    """Plain SGD in place, on the mini-batches that cosim's trainer would take; masked entries stay zero. Gives the mean loss."""
    images, labels = local_data(context)
    steps = -(-len(labels) // context.run_config["batch-size"]) * context.run_config["local-epochs"]
    rng = Streams(SEED).generator("train", context.node_config["partition-id"], server_round - 1)
    losses = []
    for rows in minibatches(len(labels), context.run_config["batch-size"], steps, rng):
        loss = cross_entropy(forward(images[rows]), labels[rows])
        for tensor, gradient, mask in zip(tensors, torch.autograd.grad(loss, tensors), masks, strict=True):
            tensor.data.sub_(context.run_config["rate"] * gradient * mask)
        losses.append(loss.item())
    return float(np.mean(losses))


class Perceptron(NumPyClient):
    """For ``mlp``: fc1.weight, fc1.bias, fc2.weight, fc2.bias."""

    def __init__(self, context):
        self.context = context

    def fit(self, parameters, config):
        tensors = [torch.from_numpy(array).requires_grad_() for array in parameters]
        masks = [torch.from_numpy(array.numpy()) for array in self.context.state["masks"].values()]

        def forward(x):
            x = x.flatten(1)
            for i in range(0, len(tensors), 2):
                x = nn.functional.linear(x if i == 0 else x.relu(), *tensors[i : i + 2])
            return x

        loss = sgd(self.context, config["server-round"], tensors, forward, masks)
        return [tensor.detach().numpy() for tensor in tensors], len(self.context.state["data"]["labels"].numpy()), {"train_loss": loss}


def network(shape, classes):
    return nn.Sequential(nn.Conv2d(shape[0], 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), nn.Flatten(), nn.Linear(64, classes))


app = ClientApp()


@app.train()
def train(message, context):
    module = network((1, 6, 6), 4)
    module.load_state_dict(message.content["arrays"].to_torch_state_dict())
    masks = [torch.from_numpy(context.state["masks"][name].numpy()) for name, _ in module.named_parameters()]
    loss = sgd(context, message.content["config"]["server-round"], list(module.parameters()), module, masks)
    count = len(context.state["data"]["labels"].numpy())
    answer = {
        "arrays": ArrayRecord(module.state_dict()),
        "metrics": MetricRecord({"num-examples": count, "train_loss": loss}),
    }
    return Message(RecordDict(answer), reply_to=message)


class Answers(NumPyClient):
    """Gives whatever ``answer(context, parameters, config)`` gives."""

    def __init__(self, answer, context):
        self.answer, self.context = answer, context

    def fit(self, parameters, config):
        return self.answer(self.context, parameters, config)


@pytest.fixture
def client(monkeypatch):
    """A trainer whose client is named as a scenario would: an object, or a function from (context, parameters, config) to what fit gives."""
    module = types.ModuleType("my_clients")
    module.perceptron, module.app, module.network = lambda context: Perceptron(context).to_client(), app, network
    monkeypatch.setitem(sys.modules, "my_clients", module)

    def client(found, **fields):
        name = found
        if not isinstance(found, str):
            name = "other"
            module.other = (lambda context: Answers(found, context)) if type(found) is types.FunctionType else found
        return Flower(client=f"my_clients:{name}", **fields)

    return client


@pytest.mark.parametrize("personal_layers", [0, 1])
@pytest.mark.parametrize(("model", "name"), [(MLP(hidden=(12,)), "perceptron"), (TorchModule(factory="my_clients:network"), "app")])
def test_plain_sgd_in_a_client_is_cosims_own(client, play, model, name, personal_layers):
    """As NumPyClient and as ClientApp, with and without pruning and personal layers, to 1e-6."""
    own = SGD(learning_rate=RATE, batch_size=8, schedule="simultaneous", personal_steps=Epochs(epochs=2), global_steps=Epochs(epochs=2))
    theirs = client(name, config={"rate": RATE}, batch_size=8, global_steps=Epochs(epochs=2))
    learners = [play.learner(model=model, trainer=trainer, personal_layers=personal_layers) for trainer in (own, theirs)]
    one, other = (learner.workload() for learner in learners)
    np.testing.assert_array_equal(one.fixed_flops, other.fixed_flops)
    for index, ratio in enumerate((0.0, 0.4, 0.4)):
        one, other = (play.round(learner, index, ratio) for learner in learners)
        np.testing.assert_array_equal(one[0].flops, other[0].flops)
        np.testing.assert_allclose(one[1].train_loss, other[1].train_loss, rtol=1e-5)
        np.testing.assert_array_equal(one[2].accuracy, other[2].accuracy)
        for part in ("shared", "personal"):
            np.testing.assert_allclose(learners[0].state()[part], learners[1].state()[part], rtol=0, atol=1e-6)


def test_masks_are_applied_before_and_after(client, play):
    seen = []

    def ones(context, parameters, config):
        masks = [array.numpy() for array in context.state["masks"].values()]
        seen.append((parameters, masks))
        return [np.ones_like(array) for array in parameters], 20, {}

    learner = play.learner(model=MLP(hidden=(12,)), trainer=client(ones), personal_layers=0)
    before = learner.state()["shared"]
    play.round(learner, 0, 0.5)
    for parameters, masks in seen:
        assert [array.shape for array in parameters] == [(12, 36), (12,), (4, 12), (4,)]
        assert [round(1 - mask.mean(), 6) for mask in masks] == [0.5, 0.0, 0.5, 0.0]
        assert all((array[~mask] == 0).all() for array, mask in zip(parameters, masks, strict=True))
    kept = np.concatenate([mask.ravel() for mask in (seen[0][1][0], seen[0][1][2])])
    after = learner.state()["shared"]
    np.testing.assert_array_equal(after[: len(kept)], np.where(kept, 1.0, before[: len(kept)]))  # the server's masks are the same for all
    assert (after[len(kept) :] == 1).all()


def test_structured_masks_hand_out_smaller_arrays(client, play):
    shapes = []

    def same(context, parameters, config):
        shapes.append([array.shape for array in parameters])
        return parameters, 20, {}

    pruner = Magnitude(granularity="structured", multiple=1)
    play.round(play.learner(model=MLP(hidden=(12,)), trainer=client(same), pruner=pruner, personal_layers=0), 0, 0.5)
    assert set(map(tuple, shapes)) == {((6, 36), (6,), (4, 6), (4,))}


def numbered(context, parameters, config):
    device = context.node_config["partition-id"]
    return [np.full_like(array, device) for array in parameters], device, {}


def test_num_examples_are_the_weights(client, play):
    """Device k gives k everywhere: the mean is sum k^2 / sum k = 3, or 2.5 with equal weights; device 0 tells 0 and counts for nothing."""
    for weighting, mean in (("samples", 3.0), ("uniform", 2.5)):
        learner = play.learner(trainer=client(numbered), aggregator=KeptAverage(weighting=weighting), personal_layers=0)
        _, update, _ = play.round(learner, 0)
        np.testing.assert_allclose(learner.state()["shared"], mean)
        assert not update.rejected.size
        assert np.isnan(update.train_loss).all()  # it tells none
        assert update.coverage_min == 4


def test_what_a_client_is_told(client, play):
    told = []

    def same(context, parameters, config):
        told.append((dict(context.node_config), dict(context.run_config), dict(config), *map(torch.Tensor.numpy, local_data(context))))
        return parameters, 1, {}

    learner = play.learner(trainer=client(same, global_steps=7, batch_size=5, config={"rate": 0.5, "name": "x"}), personal_layers=0)
    play.round(learner, 0)
    play.round(learner, 1)
    settings = {"batch-size": 5, "local-steps": 7, "rate": 0.5, "name": "x"}
    for i, (node, run, config, images, labels) in enumerate(told):
        assert node == {"partition-id": i % 5, "num-partitions": 5}
        assert run == settings
        assert config == {**settings, "server-round": 1 + i // 5}
        rows = learner._shares.train[i % 5]
        np.testing.assert_array_equal(images, learner._data.train_images[rows])
        np.testing.assert_array_equal(labels, learner._data.train_labels[rows])


def drawing(context, parameters, config):
    noise = torch.rand(1).item() + np.random.rand() + random.random()  # noqa: NPY002
    return [array + np.float32(0.01 * noise) for array in parameters], 20, {"train_loss": noise}


def test_random_numbers_follow_the_seed_alone(client, play):
    """Global generators are seeded for each client and left as they were; threads and stops change nothing."""
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    learners = [play.learner(trainer=client(drawing), personal_layers=0, workers=workers) for workers in (1, 3, 2)]
    updates = [play.round(learner, 0)[1] for learner in learners]
    assert len(set(updates[0].train_loss)) == 5
    resumed = play.learner(trainer=client(drawing), personal_layers=0)
    resumed.restore(learners[2].state())
    for learner in (learners[0], learners[1], resumed):
        play.round(learner, 1)
    play.same(learners[0], learners[1])
    play.same(learners[0], resumed)
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002
    assert before[2] == random.getstate()


def test_a_personal_part_stays_on_its_device(client, play):
    learner = play.learner(model=MLP(hidden=(12,)), trainer=client(numbered), personal_layers=1)
    play.round(learner, 0)
    np.testing.assert_array_equal(learner.state()["personal"], np.repeat(np.arange(5.0), 12 * 4 + 4).reshape(5, -1))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_an_update_that_is_not_finite_is_refused(client, play, value):
    def broken(context, parameters, config):
        wrong = context.node_config["partition-id"] == 2
        return [np.full(array.shape, value if wrong else 1.0) for array in parameters], 20, {}

    learner = play.learner(trainer=client(broken), personal_layers=0)
    _, update, _ = play.round(learner, 0)
    assert update.rejected.tolist() == [2]
    np.testing.assert_array_equal(learner.state()["shared"], 1.0)


def test_a_loss_that_is_not_finite_is_refused(client, play):
    learner = play.learner(trainer=client(lambda context, parameters, config: (parameters, 20, {"cost": np.nan}), loss="cost"))
    assert play.round(learner, 0)[1].rejected.tolist() == [0, 1, 2, 3, 4]


def raising(context, parameters, config):
    raise KeyError("momentum")


def keeping(context, parameters, config):
    context.state["mine"] = ArrayRecord([np.zeros(3)])
    return parameters, 1, {}


def replying(**records):
    made = ClientApp()

    @made.train()
    def train(message, context):
        return Message(RecordDict({name: record(message) for name, record in records.items()}), reply_to=message)

    return made


def failing():
    made = ClientApp()
    made.train()(lambda message, context: Message(Error(7, "no battery"), reply_to=message))
    return made


class Idle(Client):
    pass


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (raising, "the client raised KeyError: 'momentum'"),
        (lambda c, p, f: (p[:-1], 1, {}), "the client gives 3 arrays; the model has 4: fc1.weight, fc1.bias, fc2.weight, fc2.bias"),
        (lambda c, p, f: ([], 1, {}), "the client gives 0 arrays; the model has 4"),
        (lambda c, p, f: (p[::-1], 1, {}), r"array 0 of the client's is float32 \(4,\); fc1.weight must have shape \(12, 36\)"),
        (lambda c, p, f: ([a.astype("U9") for a in p], 1, {}), "array 0 of the client's is <U9"),
        (lambda c, p, f: ([a.astype(object) for a in p], 1, {}), "the client raised"),
        (lambda c, p, f: p, "the client raised TypeError: NumPyClient.fit did not return a tuple with 3 elements"),
        (lambda c, p, f: (p, -1, {}), "the client tells num-examples = -1; an update counts for a number of samples, 0 or more"),
        (lambda c, p, f: (p, 1, {"train_loss": "low"}), "the client's metric train_loss is 'low'; the mean training loss must be a number"),
        (
            replying(arrays=lambda m: m.content["arrays"], metrics=lambda m: MetricRecord({"num-examples": np.nan})),
            "the client tells num-examples = nan",
        ),
        (keeping, "the client keeps 'mine' in context.state, which begins anew in each round"),
        (ClientApp(), "the client raised ValueError: No train function registered"),
        (failing(), "the client answers with an error: no battery"),
        (replying(arrays=lambda message: message.content["arrays"]), "the client tells no num-examples"),
        (replying(metrics=lambda message: MetricRecord({"num-examples": 3})), "the client's reply has 0 ArrayRecords"),
        (ClientApp(client_fn=lambda context: Idle()), "the client answers with status 3: Client does not implement `fit`"),
    ],
)  # fmt: skip
def test_what_is_no_update_ends_the_run_with_one_message(client, play, answer, message):
    learner = play.learner(model=MLP(hidden=(12,)), trainer=client(answer), personal_layers=0)
    with pytest.raises(SimulationError, match=rf"^round 0: device 0: trainer\.client = my_clients:other: {message}") as caught:
        play.round(learner, 0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("trainer", "message"),
    [
        (Flower(client="no_such_package:app"), "trainer.client = no_such_package:app: ModuleNotFoundError"),
        (Flower(client="my_clients:nothing"), "trainer.client = my_clients:nothing: AttributeError"),
        (Flower(client="my_clients:__name__"), "is a str; it must be a ClientApp, or a function of a Context"),
        (Flower(client="types:SimpleNamespace"), "is a class; it must be a ClientApp, or a function of a Context"),
    ],
)
def test_what_is_no_client_is_refused_before_any_data_are_loaded(client, play, trainer, message):
    with pytest.raises(ValueError, match=message):
        play.federated(trainer=trainer)


def test_names_are_those_of_a_state_dict():
    layers = ResNet().network((1, 8, 8), 4).layers
    assert layers[0].tensors == ("conv1.weight", "conv1.norm.weight", "conv1.norm.bias")
    assert layers[-1].tensors == ("fc.weight", "fc.bias")


def test_arrays_are_taken_by_name_where_all_names_are_the_models(client, play):
    def backwards(message):
        return ArrayRecord({name: Array(array.numpy() + 1) for name, array in reversed(message.content["arrays"].items())})

    trainer = client(replying(arrays=backwards, metrics=lambda message: MetricRecord({"num-examples": 3})))
    learner = play.learner(trainer=trainer, split=Split(personal_layers=0))
    before = learner.state()["shared"]
    play.round(learner, 0)
    np.testing.assert_allclose(learner.state()["shared"], before + 1, rtol=1e-6)


def test_a_document_makes_it_and_it_makes_a_document(client):
    document = {"kind": "flower", "client": "my_clients:app", "config": {"rate": 0.5, "deep": True}, "global_steps": {"epochs": 2}}
    made = Federated.model_validate({"trainer": document})
    assert made.trainer == Flower(client="my_clients:app", config={"rate": 0.5, "deep": True}, global_steps=Epochs(epochs=2))
    assert Federated.model_validate(made.model_dump(mode="json")) == made
