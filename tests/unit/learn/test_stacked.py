"""Several devices' networks as one: each device gets what it would get alone on the processor, to rounding."""

import numpy as np
import pytest
import torch

from cosim.errors import CosimWarning, ScenarioError
from cosim.learn import placement
from cosim.learn.descent import descend
from cosim.learn.federated import Federated
from cosim.learn.models import CNN, CNN1D, MLP, ResNet
from cosim.learn.modules import ModuleNetwork
from cosim.learn.pruner import Random
from cosim.learn.roles import LocalTask
from cosim.learn.split import Parts, Split
from cosim.learn.stacked import forward
from cosim.learn.trainer import SGD, Epochs
from cosim.rng import Streams

STACKED = placement.Placement(torch.device("cpu"), stacked=True)
GPU = placement.Placement(torch.device("cuda"), stacked=True)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
SAMPLES = (10, 10, 3, 10, 17)


class Normalised(torch.nn.Module):
    """A module of a user's, with a normalisation and a buffer."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.last = torch.nn.Conv2d(1, 4, 3), torch.nn.GroupNorm(2, 4), torch.nn.Linear(4, 4)
        self.register_buffer("scale", torch.tensor(0.5))

    def forward(self, x):
        return self.last(torch.relu(self.norm(self.first(x)) * self.scale).mean(dim=(2, 3)))


class Stubborn(Normalised):
    """One that looks at its data, which a map over devices cannot."""

    def forward(self, x):
        return super().forward(x) if float(x.detach().abs().max()) >= 0 else x


def chain(model, shape=(1, 12, 12)):
    return model.network(shape, 4), shape


NETWORKS = {
    "cnn": chain(CNN(filters=(3, 4), kernel=3, hidden=6)),
    "resnet": chain(ResNet(width=4, groups=2), (2, 8, 8)),
    "series": chain(CNN1D(filters=(3, 5), kernel=3), (1, 1, 20)),
    "mlp": chain(MLP(hidden=(7,))),
    "module": (ModuleNetwork(Normalised, (1, 6, 6), 4), (1, 6, 6)),
}


def tasks(network, shape, split=None, masks=0.7, **fields):
    """Devices with different data, masks, personal parts and numbers of samples; one has a round of its own."""
    parts = Parts.of(network, Split(personal_layers=1) if split is None else split)
    rng = np.random.default_rng(3)
    images, labels = rng.normal(size=(60, *shape)).astype(np.float32), rng.integers(4, size=60)
    shared, own = parts.initial(Streams(1))
    for count in SAMPLES:
        k = len(own) and int(rng.integers(9))
        mask = rng.random(parts.prunable) < masks
        data = {"images": images, "labels": labels, "samples": rng.permutation(60)[:count]}
        personal = own + np.float32(0.01 * k)
        yield LocalTask(parts=parts, **data, shared=shared, mask=mask, personal=personal, round=int(count == 17), **fields)


@pytest.fixture(params=[STACKED, pytest.param(GPU, marks=needs_gpu)], ids=lambda place: place.device.type)
def place(request):
    """Where the devices train together."""
    return request.param


def check(settings, work, place):
    """Stacked = one by one on the processor, value by value."""
    together = descend(settings, work, [np.random.default_rng(k) for k in range(len(work))], place)
    for k, task in enumerate(work):
        alone = descend(settings, [task], [np.random.default_rng(k)], placement.CPU)[0]
        for name in ("shared", "personal", *(["gradient"] if task.dense_gradient else [])):
            np.testing.assert_allclose(getattr(together[k], name), getattr(alone, name), rtol=1e-5, atol=1e-5, err_msg=name)
        assert together[k].train_loss == pytest.approx(alone.train_loss, rel=1e-5)
        assert together[k].finite
        assert not together[k].shared[: task.parts.prunable][~task.mask].any()
        assert np.abs(together[k].shared - task.shared).max() > 1e-3


SETTINGS = {
    "alternating": SGD(batch_size=4, personal_steps=2, global_steps=3),
    "simultaneous": SGD(batch_size=4, schedule="simultaneous", personal_steps=1, global_steps=2, momentum=0.9, weight_decay=0.01),
    "proximal": SGD(batch_size=4, personal_steps=1, global_steps=2, proximal=0.1, personal_proximal=0.2),
    "epochs": SGD(batch_size=4, personal_steps=Epochs(epochs=1), global_steps=Epochs(epochs=1)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network(name, place):
    check(SETTINGS["alternating"], list(tasks(*NETWORKS[name])), place)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=list(SETTINGS))
@pytest.mark.parametrize("split", [Split(personal_layers=0), Split(personal_layers="copy"), Split(personal_layers=1, adapters=2)], ids=repr)
def test_every_schedule(settings, split, place):
    check(settings, list(tasks(*NETWORKS["cnn"], split)), place)


def test_what_the_pruner_wants_to_know_and_nothing_pruned(place):
    check(SETTINGS["alternating"], list(tasks(*NETWORKS["resnet"], dense_gradient=True)), place)
    check(SETTINGS["alternating"], list(tasks(*NETWORKS["cnn"], masks=1.0)), place)


@pytest.mark.parametrize("name", NETWORKS)
def test_logits_are_those_of_the_network(name):
    network, shape = NETWORKS[name]
    random = np.random.default_rng(0)
    tensors = [torch.from_numpy(random.normal(size=(3, *t.shape)).astype(np.float32)) for t in network.initial(Streams(0))]
    x = torch.from_numpy(random.normal(size=(3, 5, *shape)).astype(np.float32))
    together = forward(network, tensors, x)
    for k in range(3):
        alone = network.forward([t[k] for t in tensors], x[k])
        torch.testing.assert_close(together[k], alone, rtol=1e-4, atol=1e-4 * float(alone.abs().max()))


def test_a_module_that_cannot_be_mapped_is_trained_device_by_device(place):
    network = ModuleNetwork(Stubborn, (1, 6, 6), 4)
    work = list(tasks(network, (1, 6, 6)))[:2]
    with pytest.warns(CosimWarning, match="one after another"):
        check(SETTINGS["alternating"], work, place)


@pytest.mark.parametrize(
    ("name", "settings", "personal"),
    [*((name, "alternating", 1) for name in NETWORKS), *(("cnn", settings, "copy") for settings in ("simultaneous", "proximal"))],
)
def test_all_steps_stay_on_the_device(name, settings, personal):
    """On a device without data every operation must find all its tensors there, up to the one that fetches the results."""
    elsewhere = placement.Placement(torch.device("meta"), stacked=True)
    work = list(tasks(*NETWORKS[name], Split(personal_layers=personal), dense_gradient=True))
    with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor") as caught:
        descend(SETTINGS[settings], work, [np.random.default_rng(k) for k in range(len(work))], elsewhere)
    assert [entry.name for entry in caught.traceback if "cosim" in str(entry.path)][-1] == "_mean"


def test_networks_of_different_widths_keep_to_themselves(place):
    work = [*list(tasks(*NETWORKS["cnn"]))[:2], *list(tasks(*chain(CNN(filters=(2, 4), kernel=3, hidden=5))))[:2]]
    check(SETTINGS["alternating"], work, place)


def test_the_number_of_devices_at_once_is_bounded_by_memory():
    parts = [Parts.of(model.network((3, 32, 32), 10), Split()) for model in (CNN(), ResNet(), ResNet(depth=110, width=64))]
    counts = [STACKED.together(one, 32) for one in parts]
    assert counts[0] == 64
    assert counts[0] >= counts[1] > counts[2] >= 1
    assert STACKED.together(parts[2], 10_000) == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_told_at_the_start(play):
    with pytest.raises(ScenarioError, match=r"learning.trainer.device = cuda: .* finds no CUDA device here; allowed on this machine: cpu"):
        play.learner(trainer=SGD(device="cuda"))
    assert placement.placement("auto") == placement.CPU


@needs_gpu
@pytest.mark.parametrize("model", [CNN(), MLP(hidden=(20,)), ResNet()], ids=lambda model: type(model).__name__)
def test_a_round_on_a_gpu_gives_the_same_bits_again_and_with_more_threads(play, model):
    federated = Federated(model=model, trainer=SGD(device="cuda", personal_steps=1, global_steps=2), pruner=Random())
    learners = [federated.start(70, Streams(1), workers=workers) for workers in (1, 3, 1)]  # more than train together
    for learner in learners:
        for index in range(2):
            play.round(learner, index, ratio=0.5)
    for other in learners[1:]:
        play.same(learners[0], other)
