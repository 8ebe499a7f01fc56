import numpy as np
import pytest

from cosim.learn.models import CNN, MLP
from cosim.learn.pruner import Magnitude, Random, Taylor, keep_mask
from cosim.learn.split import Parts, Split
from cosim.learn.trainer import SGD
from cosim.learn.values import Float16, Float32, Int8
from cosim.learn.work import Work, upload_format, workload

CHAIN = CNN().network((1, 28, 28), 10)
PARTS = Parts.of(CHAIN, Split())
BATCH = np.array([32, 20])
HALF = np.array([0.5, 0.5])
BOTH = np.arange(2)


def work_of(trainer, parts=PARTS, batch=BATCH, *, dense_gradient=False):
    steps = trainer.steps(np.full(len(batch), 200), personal=bool(parts.personal))
    return Work.of(parts, steps, batch, dense_gradient=dense_gradient)


def submodel_flops(parts, work, device_ids, kept):
    return work.submodels(device_ids, kept, parts.prunable_sizes)


def kept_of(mask):
    return np.add.reduceat(mask, np.cumsum((0, *PARTS.prunable_sizes[:-1])), dtype=np.int64)


def test_work_of_an_unpruned_round_counted_by_hand():
    work = work_of(SGD(personal_steps=5, global_steps=10))
    f_u, f_v = 2 * (200 * 576 + 3200 * 64 + 73_728), 2 * 2880
    personal_steps = 5 * (f_u + 3 * f_v)
    global_steps = 10 * (3 * f_u + 2 * f_v)
    flops = submodel_flops(PARTS, work, BOTH, np.array([PARTS.prunable_sizes] * 2))
    np.testing.assert_allclose(flops, BATCH * (personal_steps + global_steps))


def test_work_with_personal_layers_in_front_and_in_the_middle():
    """A frozen layer costs its forward pass; behind one that is trained also the gradient of its input."""
    trainer, conv1, conv2, fc1, fc2 = SGD(personal_steps=5, global_steps=10), *(layer.forward_flops for layer in CHAIN.layers)
    front = Parts.of(CHAIN, Split(personal_layers=0, personal_first_layers=2))
    work = work_of(trainer, front)
    np.testing.assert_allclose(work.fixed, BATCH * (5 * 3 + 10 * 1) * (conv1 + conv2))
    np.testing.assert_allclose(work.sparse, np.outer(BATCH, (5 * 2 + 10 * 3) * np.array([fc1, fc2])))
    middle = Parts.of(CHAIN, Split(personal_layers=["fc1"]))
    work = work_of(trainer, middle)
    np.testing.assert_allclose(work.fixed, BATCH * (5 * 3 + 10 * 2) * fc1)
    np.testing.assert_allclose(work.sparse, np.outer(BATCH, [35 * conv1, 35 * conv2, (5 * 2 + 10 * 3) * fc2]))


def test_a_whole_model_of_its_own_is_trained_apart():
    work = work_of(SGD(personal_steps=5, global_steps=10), Parts.of(CHAIN, Split(personal_layers="copy")))
    flops = np.array([layer.forward_flops for layer in CHAIN.layers])
    np.testing.assert_allclose(work.fixed, BATCH * 15 * flops.sum())
    np.testing.assert_allclose(work.sparse, np.outer(BATCH, 30 * flops))


def test_without_a_personal_part_there_are_no_personal_steps():
    parts = Parts.of(CHAIN, Split(personal_layers=0))
    work = work_of(SGD(), parts)
    np.testing.assert_array_equal(work.fixed, [0, 0])
    np.testing.assert_allclose(work.sparse, np.outer(BATCH, 30 * parts.shared_flops))


def test_gradients_of_pruned_weights_are_charged():
    trainer = SGD(personal_steps=5, global_steps=10)
    plain, dense = (work_of(trainer, dense_gradient=wanted) for wanted in (False, True))
    sizes = np.array([PARTS.prunable_sizes])
    half, first = sizes // 2, BOTH[:1]
    assert submodel_flops(PARTS, dense, first, sizes) == submodel_flops(PARTS, plain, first, sizes)
    extra = submodel_flops(PARTS, dense, first, half) - submodel_flops(PARTS, plain, first, half)
    assert extra == pytest.approx(BATCH[0] * 10 * PARTS.shared_flops.sum() / 2)


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("dense", [False, True])
def test_plans_bound_the_real_work_and_payload_from_above(scope, dense):
    pruner = Random(scope=scope)
    work = work_of(SGD(), dense_gradient=dense)
    plan = workload(PARTS, work, pruner, Float32(), weight=HALF)
    rng = np.random.default_rng(1)
    cost = np.repeat(PARTS.shared_flops / PARTS.prunable_sizes, PARTS.prunable_sizes)
    groups = PARTS.prunable_sizes if scope == "layer" else (PARTS.prunable,)
    for ratio in (0.0, 1e-5, 0.33, 0.5, 0.9, 1.0):
        for importance in (rng.random(PARTS.prunable), cost, -cost):  # -cost: the dear ones go first; cost: the cheap ones
            kept = kept_of(keep_mask(importance, groups, ratio))
            flops = submodel_flops(PARTS, work, BOTH, np.array([kept, kept]))
            bound = plan.fixed_flops + (1 - ratio) * plan.prunable_flops
            assert (flops <= bound * (1 + 1e-12)).all()
            if scope == "layer":
                one_weight_each = (work.sparse / np.array(PARTS.prunable_sizes)).sum(axis=1)
                assert (bound <= flops + one_weight_each * (1 + 1e-9)).all()
            payload = 128 + 32 * (PARTS.unprunable + kept.sum())
            assert payload <= plan.fixed_bits[0] + (1 - ratio) * plan.prunable_bits[0] <= payload + 32 * 4


def test_global_plans_are_tight_when_the_cheapest_weights_go_first():
    plan = workload(PARTS, work_of(SGD()), Magnitude(scope="global"), Float32(), weight=HALF)
    cost = np.repeat(PARTS.shared_flops / PARTS.prunable_sizes, PARTS.prunable_sizes)
    kept = kept_of(keep_mask(cost, (PARTS.prunable,), 0.5))
    flops = submodel_flops(PARTS, work_of(SGD()), BOTH, np.array([kept, kept]))
    np.testing.assert_allclose(plan.fixed_flops + 0.5 * plan.prunable_flops, flops, rtol=1e-4)


def test_who_decides_the_mask_shows_in_the_bits():
    def bits(pruner):
        plan = workload(PARTS, work_of(SGD()), pruner, Float32(), weight=HALF)
        return plan.fixed_bits[0], plan.download_bits[0]

    server, bitmap = bits(Magnitude()), 8 * -(-PARTS.prunable // 8)
    assert server == (128 + 32 * (PARTS.unprunable + 3), 128 + 32 * (PARTS.unprunable + PARTS.prunable))
    assert bits(Magnitude(side="device")) == (server[0] + bitmap, server[1])
    assert bits(Taylor(side="device")) == (server[0] + bitmap, server[1])
    assert bits(Taylor(side="server")) == (server[0], server[1] + bitmap)
    assert bits(Random()) == server


def test_mlp_work():
    parts = Parts.of(MLP(hidden=(4,)).network((1, 2, 2), 3), Split(personal_layers=0))
    plan = workload(parts, work_of(SGD(global_steps=1), parts, np.array([2])), Magnitude(), Float32(), weight=np.ones(1))
    assert plan.prunable_flops[0] == 2 * 3 * 2 * (16 + 12)
    assert plan.fixed_flops[0] == 2 * 3 * (2 + 2)
    assert plan.prunable_parameters == 28


@pytest.mark.parametrize("side", ["server", "device"])
@pytest.mark.parametrize("codec", [Float32(), Float16(), Int8()])
def test_plans_know_the_codec(codec, side):
    pruner = Magnitude(side=side)
    plan = workload(PARTS, work_of(SGD()), pruner, codec, weight=HALF)
    upload, rng = upload_format(PARTS, pruner, codec), np.random.default_rng(2)
    u = rng.normal(size=PARTS.prunable + PARTS.unprunable).astype(np.float32)
    for ratio in (0.0, 0.33, 0.9):
        mask = keep_mask(rng.random(PARTS.prunable), PARTS.prunable_sizes, ratio)
        sent = 8 * len(upload.encode(u, mask, rng))
        planned = plan.fixed_bits[0] + (1 - ratio) * plan.prunable_bits[0]
        slack = codec.value_bits * len(PARTS.prunable_sizes) + (8 * -(-PARTS.prunable // 8) if side == "device" else 0)
        assert sent == upload.bits(int(mask.sum()))
        assert sent <= planned <= sent + slack
    assert plan.prunable_bits[0] == codec.value_bits * PARTS.prunable
    assert plan.download_bits[0] == 128 + 32 * (PARTS.prunable + PARTS.unprunable)  # the download stays float32
