"""Settings that are methods of the literature (docs/learning.md): what makes each of them what it is."""

import re
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from cosim.learn.aggregator import KeptAverage
from cosim.learn.federated import Federated
from cosim.learn.learner import FederatedLearner
from cosim.learn.models import CNN1D, MLP, ResNet
from cosim.learn.pruner import Random
from cosim.learn.server_optimizer import FedAdam, FedAvgM
from cosim.learn.split import Split
from cosim.learn.trainer import SGD, Epochs

MODEL = MLP(hidden=(12, 8))
PERSONAL = {
    "fedper": (Split(personal_layers=1), SGD(schedule="simultaneous", batch_size=8, personal_steps=4, global_steps=4)),
    "fedrep": (Split(personal_layers=1), SGD(batch_size=8, personal_steps=Epochs(epochs=2), global_steps=Epochs(epochs=1))),
    "fedalt": (Split(personal_layers=0, adapters=3), SGD(batch_size=8, personal_steps=3, global_steps=3)),
    "fedsim": (Split(personal_layers=["fc2"]), SGD(schedule="simultaneous", batch_size=8, personal_steps=3, global_steps=3)),
    "lg_fedavg": (
        Split(personal_layers=0, personal_first_layers=2),
        SGD(schedule="simultaneous", batch_size=8, personal_steps=3, global_steps=3),
    ),
    "ditto": (Split(personal_layers="copy"), SGD(batch_size=8, personal_steps=3, global_steps=3, personal_proximal=0.1)),
    "local_only": (Split(personal_layers="copy"), SGD(batch_size=8, personal_steps=4, global_steps=0)),
}


def start(play, split, trainer, **fields):
    return play.learner(**{"model": MODEL, "trainer": trainer, **fields, "split": split})


@pytest.mark.parametrize("name", PERSONAL)
def test_personal_parts_never_leave_the_device(play, name, monkeypatch):
    """What the server gets holds shared parameters only, as many bits as announced; its model does not depend on how devices end."""
    split, trainer = PERSONAL[name]
    seen = []
    updates = FederatedLearner._updates

    def spy(self, *args):
        for update in updates(self, *args):
            seen.append(update)
            yield update

    monkeypatch.setattr(FederatedLearner, "_updates", spy)
    learner = start(play, split, trainer)
    for index in range(2):
        submodels, _, _ = play.round(learner, index, 0.3)
    parts = learner._parts
    assert (submodels.payload_bits <= 128 + 32 * (parts.prunable + parts.unprunable)).all()
    personal = learner.state()["personal"]
    assert len(np.unique(personal, axis=0)) == 5
    for update in seen:
        assert len(update.shared) == parts.prunable + parts.unprunable
    moved = np.abs(personal[0] - parts.initial(play.streams)[1]) > 0
    assert moved.any()
    if name != "local_only":
        found = np.isin(personal[:, moved], np.concatenate([update.shared for update in seen]))
        assert found.mean() < 0.01  # among so many float32 a few are equal by chance; a part that leaked would be there as a whole


@pytest.mark.parametrize("name", ["fedper", "fedrep", "ditto"])
def test_the_server_does_not_see_what_a_late_device_learnt_for_itself(play, name):
    """The same arrivals and masks, other personal parts on devices whose updates never arrive: the same server, bit for bit."""
    split, trainer = PERSONAL[name]
    one, other = (start(play, split, trainer) for _ in range(2))
    state = dict(other.state())
    state["personal"] = state["personal"].copy()
    state["personal"][3:] += 0.1
    other.restore(state)
    for index in range(3):
        for learner in (one, other):
            play.round(learner, index, 0.3, arrived=[0, 1, 2])
    np.testing.assert_array_equal(one.state()["shared"], other.state()["shared"])
    np.testing.assert_array_equal(one.state()["personal"][:3], other.state()["personal"][:3])
    assert (one.state()["personal"][3:] != other.state()["personal"][3:]).any()


def test_ditto_trains_the_global_model_as_fedavg_does(play):
    """Also from the same mini-batches where a step takes all data: the personal models change nothing."""
    trainer = {"batch_size": 1000, "global_steps": 2}
    ditto = start(play, Split(personal_layers="copy"), SGD(**trainer, personal_steps=3, personal_proximal=0.5))
    fedavg = start(play, Split(personal_layers=0), SGD(**trainer))
    for index in range(3):
        one, other = play.round(ditto, index)[2], play.round(fedavg, index)[2]
        assert one.global_accuracy == pytest.approx(other.global_accuracy)
    np.testing.assert_allclose(ditto.state()["shared"], fedavg.state()["shared"], rtol=1e-4, atol=1e-6)


def test_a_pull_keeps_dittos_personal_models_near_the_global_one(play):
    settings = {"learning_rate": 0.05, "batch_size": 8, "personal_steps": 20}
    far = []
    for pull in (0.0, 19.0):
        learner = start(play, Split(personal_layers="copy"), SGD(**settings, personal_proximal=pull))
        before = learner.state()["shared"]
        play.round(learner, 0)
        far.append(np.linalg.norm(learner.state()["personal"] - before, axis=1))
    assert (far[1] < 0.3 * far[0]).all()


def test_local_only_leaves_the_global_model_alone_and_learns(play):
    learner = start(play, *PERSONAL["local_only"])
    before = learner.state()["shared"]
    for index in range(10):
        evaluation = play.round(learner, index)[2]
    np.testing.assert_allclose(learner.state()["shared"], before, rtol=1e-5)
    assert evaluation.accuracy.mean() > 0.8
    assert evaluation.global_accuracy < 0.6


def test_fedprox_without_a_pull_is_fedavg_and_with_one_strays_less(play):
    split, settings = Split(personal_layers=0), {"batch_size": 8, "global_steps": 8}
    learners = [start(play, split, SGD(**settings, **more)) for more in ({}, {"proximal": 0.0}, {"proximal": 5.0})]
    before = learners[0].state()["shared"]
    for learner in learners:
        play.round(learner, 0, 0.2)
    play.same(learners[0], learners[1])
    fedavg, _, fedprox = (np.linalg.norm(learner.state()["shared"] - before) for learner in learners)
    assert fedprox < 0.7 * fedavg


@pytest.mark.parametrize("ratio", [0.0, 0.6])
def test_fedavgm_without_momentum_is_fedavg(play, ratio):
    one, other = play.learner(), play.learner(server_optimizer=FedAvgM(momentum=0.0))
    for index in range(4):
        play.round(one, index, ratio)
        play.round(other, index, ratio)
    np.testing.assert_allclose(one.state()["shared"], other.state()["shared"], rtol=1e-6)


@pytest.mark.parametrize("optimizer", [FedAvgM(), FedAdam()], ids=repr)
def test_server_optimisers_learn_and_survive_a_checkpoint(play, optimizer):
    through, stopped, resumed = (play.learner(server_optimizer=optimizer, pruner=Random()) for _ in range(3))
    for index in range(8):
        play.round(through, index, 0.2)
        if index < 3:
            play.round(stopped, index, 0.2)
    resumed.restore(stopped.state())
    for index in range(3, 8):
        evaluation = play.round(resumed, index, 0.2)[2]
    play.same(through, resumed)
    assert evaluation.accuracy.mean() > 0.8


@pytest.mark.parametrize("name", PERSONAL)
@pytest.mark.parametrize("pruner", ["magnitude", "taylor"])
def test_the_number_of_threads_changes_no_bit(play, name, pruner):
    split, trainer = PERSONAL[name]
    one, other = (start(play, split, trainer, workers=workers, pruner=play.made("pruner", pruner)) for workers in (1, 3))
    for index in range(2):
        first, second = play.round(one, index, 0.4), play.round(other, index, 0.4)
        np.testing.assert_array_equal(first[1].train_loss, second[1].train_loss)
        np.testing.assert_array_equal(first[2].accuracy, second[2].accuracy)
    play.same(one, other)


@pytest.mark.parametrize("name", PERSONAL)
def test_lazy_is_eager(play, name):
    """Two rounds' tickets of a late device, trained together in the end, against those of a twin that finishes each at once."""
    split, trainer = PERSONAL[name]
    lazy, eager = (start(play, split, trainer, pruner=Random()) for _ in range(2))
    for learner in (lazy, eager):
        for index in range(2):
            ids = np.arange(5)
            learner.assign(index, ids, np.full(5, 0.4))
            for k in ids.tolist():
                learner.start(index, k)
                learner.finish(k)
                if learner is eager and k == 4:
                    learner.aggregate(index, np.arange(0))  # trains what is finished; nobody's update arrives
    lazy.aggregate(1, np.arange(0))
    np.testing.assert_array_equal(lazy.state()["personal"], eager.state()["personal"])
    np.testing.assert_array_equal(lazy.state()["shared"], eager.state()["shared"])


@pytest.mark.parametrize("model", [CNN1D(filters=(6, 8), kernel=3, pool=1), ResNet(width=4, groups=2)], ids=repr)
@pytest.mark.parametrize("split", [Split(personal_layers=0), Split(personal_layers=["conv*"]), Split(adapters=2)], ids=repr)
def test_every_model_learns_with_every_split(play, model, split):
    learner = start(play, split, SGD(learning_rate=0.1, batch_size=8, personal_steps=3, global_steps=5), model=model, workers=2)
    losses = [play.round(learner, index, 0.1)[1].train_loss.mean() for index in range(8)]
    assert losses[-1] < 0.8 * losses[0]


def documented():
    """(method, settings) of the rows in docs/learning.md."""
    text = (Path(__file__).parents[3] / "docs" / "learning.md").read_text(encoding="utf-8")
    return re.findall(r"^\| ([\w -]+) \| `(split: .*?)` \|", text, re.MULTILINE)


@pytest.mark.parametrize(("method", "settings"), documented(), ids=lambda value: value if ":" not in value else "")
def test_the_settings_in_the_documents_are_right(method, settings):
    learning = Federated.model_validate(YAML(typ="safe").load("{" + settings + "}"))
    trainer, parts = learning.trainer, learning.parts()
    assert (trainer.proximal > 0) == (method == "FedProx")
    assert (trainer.personal_proximal > 0) == (method == "Ditto")
    assert parts.copy == (method in {"Ditto", "local only"})
    assert (trainer.schedule == "simultaneous") == (method in {"FedPer", "FedSim", "LG-FedAvg"})
    assert bool(parts.personal) == (method not in {"FedAvg", "FedProx", "FedAvgM", "FedAdam"})


def test_the_documents_name_all_methods():
    assert [method for method, _ in documented()] == [
        *("FedAvg", "FedProx", "FedPer", "FedRep", "FedAlt", "FedSim", "LG-FedAvg", "Ditto", "local only", "FedAvgM", "FedAdam")
    ]


def test_equal_weights_are_those_of_devices_with_data():
    np.testing.assert_allclose(KeptAverage(weighting="uniform").weights(np.array([3, 0, 1])), [0.5, 0, 0.5])
