"""A small synthetic data set and a way to play rounds, shared by the tests of learning."""

from typing import ClassVar, final

import numpy as np
import pytest
import torch

from cosim.catalog import make
from cosim.component import Component
from cosim.learn.federated import Federated
from cosim.learn.models import MLP
from cosim.learn.partition import ClassesPerDevice
from cosim.learn.roles import ImageData
from cosim.learn.split import Split
from cosim.learn.trainer import SGD
from cosim.rng import Streams


@pytest.fixture(autouse=True)
def one_core_an_operation():
    """As in the threads that train: torch sums in another order where several cores share a tensor."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@final
class Blobs(Component):
    """Four classes of 6 x 6 images: a fixed pattern each, plus noise."""

    image_shape: ClassVar[tuple[int, int, int]] = (1, 6, 6)
    classes: ClassVar[int] = 4
    scale: float = 1.0

    def load(self):
        rng = np.random.default_rng(7)
        patterns = rng.normal(size=(4, 1, 6, 6))

        def draw(count):
            labels = np.arange(count) % 4
            images = self.scale * (patterns[labels] + 0.8 * rng.normal(size=(count, 1, 6, 6)))
            return images.astype(np.float32), labels.astype(np.int64)

        return ImageData(*draw(240), *draw(120))


class Play:
    """Plays whole rounds on a learner: everyone gets ``ratios``, everyone finishes, ``arrived`` arrive."""

    streams = Streams(3)

    def made(self, role, kind):
        return make(role, kind)

    def federated(self, **fields):
        defaults = {
            "dataset": Blobs(),
            "partition": ClassesPerDevice(samples_per_device=20, test_samples_per_device=20),
            "model": MLP(hidden=(12,)),
            "trainer": SGD(learning_rate=0.1, batch_size=8, personal_steps=2, global_steps=3),
        }
        return Federated(**{**defaults, **fields})

    def learner(self, *, devices=5, workers=1, personal_layers=1, **fields):
        federated = self.federated(**{"split": Split(personal_layers=personal_layers), **fields})
        return federated.start(devices, self.streams, workers=workers)

    def round(self, learner, index, ratio=0.0, arrived=None, ids=None):
        ids = np.arange(len(learner.workload().weight)) if ids is None else np.asarray(ids, np.int64)
        submodels = learner.assign(index, ids, np.broadcast_to(np.asarray(ratio, float), ids.shape))
        for device in ids.tolist():
            learner.start(index, device)
        for device in ids.tolist():
            learner.finish(device)
        update = learner.aggregate(index, ids if arrived is None else np.asarray(arrived, np.int64))
        return submodels, update, learner.evaluate(index)

    def same(self, one, other):
        a, b = one.state(), other.state()
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)


@pytest.fixture(scope="session")
def play():
    return Play()
