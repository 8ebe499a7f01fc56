"""What the server aggregates is what it decodes."""

import numpy as np
import pytest

from cosim.learn.aggregator import KeptAverage
from cosim.learn.pruner import Magnitude
from cosim.learn.roles import LocalTask
from cosim.learn.trainer import SGD
from cosim.learn.values import Float16, Float32, Int8
from cosim.rng import Streams

CODECS = [Float32(), Float16(), Int8(), Int8(rounding="stochastic")]
EVERYONE = np.arange(5)


def trained(learner, index, device):
    """The update of a device as it leaves the trainer."""
    task = LocalTask(
        parts=learner._parts,
        images=learner._data.train_images,
        labels=learner._data.train_labels,
        samples=learner._shares.train[device],
        shared=learner._servers[0].shared,
        mask=learner._masks[device].mask(),
        personal=learner._personal[device],
    )
    return learner._parameters.trainer.train([task], [Streams(3).generator("train", device, index)])[0].shared


@pytest.mark.parametrize("codec", CODECS, ids=repr)
def test_the_server_averages_decoded_values(play, codec):
    learner = play.learner(codec=codec, pruner=Magnitude(side="device"), aggregator=KeptAverage(weighting="uniform"))
    learner.assign(0, EVERYONE, np.full(5, 0.0))
    updates = [trained(learner, 0, k) for k in EVERYONE]
    play.round(learner, 0, 0.0)
    sizes, count = learner._parts.prunable_sizes, learner._parts.prunable
    expected = []
    for k, update in zip(EVERYONE, updates, strict=True):
        values = update.astype(float)
        if isinstance(codec, Float16):
            values = values.astype(np.float16).astype(float)
        elif isinstance(codec, Int8):
            chance = Streams(3).generator("codec", int(k), 0).random(len(values))
            chance = np.concatenate([chance[len(values) - count :], chance[: len(values) - count]])  # what is never pruned comes first
            groups = np.split(np.arange(len(values)), np.cumsum(sizes))
            for group in groups:
                scale = np.float64(np.float32(np.abs(values[group]).max() / 127))
                steps = values[group] / scale
                steps = np.rint(steps) if codec.rounding == "nearest" else np.floor(steps + chance[group])
                values[group] = np.clip(steps, -127, 127) * scale
        expected.append(values)
    got = learner.state()["shared"]
    np.testing.assert_allclose(got, np.mean(expected, axis=0), rtol=2e-6, atol=1e-7)
    if not isinstance(codec, Float32):
        assert not np.allclose(got, np.mean(updates, axis=0), rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("codec", CODECS[1:], ids=repr)
def test_training_goes_on_with_short_values(play, codec):
    """Of 100 test images each, at most five are decided otherwise."""
    learners = [play.learner(codec=choice, personal_layers=0) for choice in (Float32(), codec)]
    for index in range(6):
        (_, _, exact), (submodels, _, short) = (play.round(learner, index, 0.1) for learner in learners)
    assert exact.accuracy.mean() > 0.85
    assert short.accuracy.mean() == pytest.approx(exact.accuracy.mean(), abs=0.05)
    values = learners[1]._parts.unprunable + int(learners[1]._masks[0].mask().sum())
    assert submodels.payload_bits[0] == 128 + codec.group_bits * 3 + codec.value_bits * values


def test_any_number_of_workers_gives_the_same_bits_and_so_does_a_checkpoint(play):
    one, many = (play.learner(codec=Int8(rounding="stochastic"), workers=count) for count in (1, 3))
    for index in range(2):
        play.round(one, index, 0.4)
        play.round(many, index, 0.4)
    play.same(one, many)
    again = play.learner(codec=Int8(rounding="stochastic"))
    again.restore(one.state())
    play.round(one, 2, 0.4)
    play.round(again, 2, 0.4)
    play.same(one, again)


def test_an_update_beyond_the_codecs_range_is_rejected(play):
    learner = play.learner(codec=Float16(), trainer=SGD(learning_rate=3e5, batch_size=8, personal_steps=0, global_steps=1))
    before = learner.state()["shared"]
    _, update, _ = play.round(learner, 0)
    assert np.isfinite(update.train_loss).all()  # finite, but too large for float16
    assert len(update.rejected) > 0
    if len(update.rejected) == 5:
        np.testing.assert_array_equal(learner.state()["shared"], before)
    wide = play.learner(codec=Float32(), trainer=SGD(learning_rate=3e5, batch_size=8, personal_steps=0, global_steps=1))
    assert len(play.round(wide, 0)[1].rejected) == 0
