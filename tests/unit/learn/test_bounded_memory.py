"""What is in memory while many devices train: as many parameter vectors as jobs under way have, however many devices there are."""

import threading
import weakref
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import nullcontext
from typing import ClassVar, final

import numpy as np
import pytest
import torch

from cosim.component import Component
from cosim.learn.federated import Federated
from cosim.learn.models import MLP
from cosim.learn.packed import PackedMask, from_rows, to_rows
from cosim.learn.placement import resident
from cosim.learn.pruner import Magnitude, Random
from cosim.learn.remembered import Remembered
from cosim.learn.roles import LocalResult, Steps
from cosim.learn.split import Split
from cosim.learn.threads import in_order
from cosim.rng import Streams

TOGETHER = 4


class Alive:
    """How many of the arrays that it was told of are alive, and how many there were at most."""

    def __init__(self):
        self.now, self.most, self._lock = 0, 0, threading.Lock()

    def add(self, array):
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        weakref.finalize(array, self._gone)

    def _gone(self):
        self.now -= 1


@final
class Counting(Component):
    """A trainer that trains nothing and tells which vectors it made."""

    batch_size: ClassVar[int] = 8
    alive: ClassVar[Alive]

    def steps(self, samples, *, personal):
        ones = np.ones_like(samples)
        return Steps(ones * personal, ones, 0 * ones)

    def check(self, parts, pruner):
        pass

    def together(self, parts):
        return TOGETHER

    def train(self, tasks, rngs):
        results = [LocalResult(task.shared * task.shared.dtype.type(1), task.personal.copy(), 0.0, finite=True) for task in tasks]
        for result in results:
            self.alive.add(result.personal)
        return results


class AtOnce(Executor):
    """Does each job when it is handed in: the fastest threads there can be, so whatever may pile up does."""

    def submit(self, work, /, *args, **more):
        future = Future()
        future.set_result(work(*args, **more))
        return future


@pytest.mark.parametrize("workers", [1, 2])
def test_parameter_vectors_do_not_pile_up_with_the_number_of_devices(play, monkeypatch, workers):
    monkeypatch.setattr("cosim.learn.learner.training_threads", lambda _: nullcontext(AtOnce()))
    most = []
    for devices in (40, 120):
        Counting.alive = Alive()
        learner = play.learner(devices=devices, workers=workers, trainer=Counting())
        play.round(learner, 0, 0.5)
        most.append(Counting.alive.most)
        assert Counting.alive.now == 0
    assert most[0] == most[1] <= (2 * workers + 1) * TOGETHER  # under way or waiting, and the ones that are merged


def test_results_that_nobody_takes_hold_up_the_jobs():
    begun = []
    with ThreadPoolExecutor(2) as pool:
        results = in_order(pool, lambda job: begun.append(job) or job, range(50), ahead=4)
        assert [next(results) for _ in range(3)] == [0, 1, 2]
        pool.submit(int).result()
        assert len(begun) <= 3 + 4
        assert list(results) == list(range(3, 50))
    assert len(begun) == 50


def test_devices_that_must_have_the_same_mask_share_it():
    learner = Federated(model=MLP(hidden=(5,)), split=Split(personal_layers=0), pruner=Magnitude()).start(6, Streams(0), workers=1)
    learner.assign(0, np.arange(6), np.array([0.0, 0.0, 0.5, 0.5, 0.25, 0.0]))
    masks = learner._masks
    assert masks[0] is masks[1] is masks[5]
    assert masks[0].mask().all()
    assert masks[2] is masks[3] is not masks[4]
    assert len({id(mask) for mask in masks.values()}) == 3


def test_masks_are_held_as_bits_and_old_ones_go_before_new_ones_come(monkeypatch):
    learner = Federated(model=MLP(hidden=(5,)), split=Split(personal_layers=0), pruner=Random()).start(6, Streams(0), workers=1)
    learner.assign(0, np.arange(6), np.full(6, 0.5))
    prunable = learner.workload().prunable_parameters
    assert {mask.bits.nbytes for mask in learner._masks.values()} == {-(-prunable // 8)}
    old, alive = [weakref.ref(mask) for mask in learner._masks.values()], []
    importance = Random.importance
    monkeypatch.setattr(Random, "importance", lambda *given: alive.append([each() for each in old]) or importance(*given))
    learner.assign(1, np.arange(6), np.full(6, 0.5))
    assert alive == [[None] * 6] * 6


@pytest.mark.parametrize("length", [1, 8, 13])
def test_packed_masks_are_the_same_masks(length):
    masks = [np.random.default_rng(k).random(length) < 0.5 for k in range(3)]
    packed = [PackedMask.of(mask) for mask in masks]
    for held in (packed, from_rows(to_rows(packed), length)):
        np.testing.assert_array_equal([one.mask() for one in held], masks)
    assert from_rows(to_rows([]), length) == []


def test_what_was_made_of_an_array_is_forgotten_with_it():
    made = Remembered(lambda array, factor: array.sum() * factor)
    one, same = np.ones(3), np.ones(3)
    assert [made(one, 1), made(one, 1), made(one, 2), made(same, 1)] == [3, 3, 6, 3]
    assert len(made) == 3
    del one
    assert len(made) == 1


def test_a_data_set_is_moved_to_a_device_once():
    array = np.ones((3, 2), np.float32)
    tensor = resident(array, torch.device("cpu"))
    assert resident(array, torch.device("cpu")) is tensor
    torch.testing.assert_close(tensor, torch.ones(3, 2))
