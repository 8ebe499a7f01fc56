"""Whole units removed: the smaller network computes and learns what the whole one with zeros in their place does."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from cosim.learn.layers import views
from cosim.learn.masking import masking
from cosim.learn.models import CNN, CNN1D, MLP, ResNet
from cosim.learn.pruner import Magnitude, Random, Taylor
from cosim.learn.pruner_order import Ordered, Rolling
from cosim.learn.roles import LocalTask
from cosim.learn.rotation import FIRST, NONE, Turn
from cosim.learn.split import Parts, Split
from cosim.learn.structured import Structured
from cosim.learn.submodel import Submodel, narrowed, submodel, widened
from cosim.learn.trainer import SGD
from cosim.learn.units import Units
from cosim.learn.values import Float16, Float32, Int8
from cosim.learn.work import Work, upload_format, workload
from cosim.rng import Streams

MODELS = {
    "mlp": (MLP(hidden=(20, 12)), (1, 6, 6)),
    "cnn": (CNN(filters=(6, 8), kernel=3, hidden=20), (1, 12, 12)),
    "resnet": (ResNet(depth=8, width=8, groups=4), (3, 8, 8)),
    "resnet20": (ResNet(depth=20, width=4, groups=2), (1, 8, 8)),
    "cnn1d": (CNN1D(filters=(6, 9), kernel=3), (2, 16)),
}
SPLITS = {"last": Split(), "none": Split(personal_layers=0), "first": Split(personal_layers=0, personal_first_layers=1)}
CLASSES = 4


def made(kind, split=SPLITS["last"]):
    """Parts, input shape, and (u, v) with no two values alike."""
    model, shape = MODELS[kind]
    parts = Parts.of(model.network(shape, CLASSES), split)
    rng = np.random.default_rng(5)
    u, v = (vector + 0.1 * rng.normal(size=len(vector)).astype(np.float32) for vector in parts.initial(Streams(1)))
    return parts, shape, u, v


def mask_of(parts, u, ratio=0.5, pruner=None, turn=FIRST):
    pruner = pruner or Magnitude(granularity="structured")
    weights = u[: parts.prunable]
    importance = pruner.importance(weights, np.full_like(weights, np.nan), np.random.default_rng(0))
    return masking(parts, pruner).mask(importance, ratio, pruner.turning, turn)


def task_of(kind, split, ratio, pruner=None):
    parts, shape, u, v = made(kind, split)
    rng = np.random.default_rng(3)
    images = rng.normal(size=(40, *shape)).astype(np.float32)
    mask = mask_of(parts, u, ratio, pruner)
    labels = rng.integers(0, CLASSES, 40)
    return LocalTask(parts, images, labels, np.arange(40), u, mask, v)


def trained(settings, task):
    return settings.train([task], [Streams(2).generator("train", 0, 0)])[0]


# --- the same network -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("ratio", [0.3, 0.7, 1.0])
def test_a_smaller_network_computes_what_the_masked_one_does(kind, split, ratio):
    task = task_of(kind, SPLITS[split], ratio)
    parts, small = task.parts, narrowed(task, submodel(task.mask, task.parts))
    assert len(small.shared) == task.mask.sum() < len(task.shared)
    x = torch.from_numpy(task.images)
    masked = task.shared * task.mask
    whole, part = (
        one.network.forward(one.joined(views(torch.from_numpy(u), one.shared), views(torch.from_numpy(v), one.personal)), x)
        for one, u, v in ((parts, masked, task.personal), (small.parts, small.shared, small.personal))
    )
    assert whole.std() > 0.01
    np.testing.assert_allclose(part.numpy(), whole.numpy(), atol=1e-5)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("schedule", ["alternating", "simultaneous"])
def test_it_learns_what_the_masked_one_learns(kind, split, schedule):
    settings = SGD(learning_rate=0.05, batch_size=8, personal_steps=3, global_steps=4, momentum=0.5, proximal=0.1, schedule=schedule)
    task = dataclasses.replace(task_of(kind, SPLITS[split], 0.5), dense_gradient=True)
    masked, small = (
        trained(settings, task),
        widened(task, submodel(task.mask, task.parts), trained(settings, narrowed(task, submodel(task.mask, task.parts)))),
    )
    assert np.abs(masked.shared - task.shared * task.mask).max() > 1e-3  # it did learn
    np.testing.assert_allclose(small.shared, masked.shared, atol=1e-5)
    np.testing.assert_allclose(small.personal, masked.personal, atol=1e-5)
    assert (small.shared[~task.mask] == 0).all()
    assert small.train_loss == pytest.approx(masked.train_loss, abs=1e-5)
    weights = task.mask[: task.parts.prunable]
    np.testing.assert_allclose(small.gradient[weights], masked.gradient[weights], atol=1e-5)
    assert np.isnan(small.gradient[~weights]).all()


def test_a_device_with_a_whole_model_of_its_own_keeps_that_whole():
    task = task_of("cnn", Split(personal_layers="copy"), 0.5)
    result = widened(
        task,
        submodel(task.mask, task.parts),
        trained(SGD(batch_size=8, personal_steps=2, global_steps=2), narrowed(task, submodel(task.mask, task.parts))),
    )
    assert (result.shared[~task.mask] == 0).all()
    assert (result.personal != task.personal).mean() > 0.5


def test_nothing_removed_is_the_same_bits():
    task = task_of("cnn", SPLITS["last"], 0.0)
    assert task.mask.all()
    plain = dataclasses.replace(task, mask=np.ones(task.parts.prunable, bool))
    settings = SGD(batch_size=8, personal_steps=2, global_steps=2)
    one, other = (
        widened(task, submodel(task.mask, task.parts), trained(settings, narrowed(task, submodel(task.mask, task.parts)))),
        trained(settings, plain),
    )
    np.testing.assert_array_equal(one.shared, other.shared)
    np.testing.assert_array_equal(one.personal, other.personal)


# --- units ----------------------------------------------------------------------------------------------


def test_units_counted_by_hand():
    mlp = Units.of(made("mlp")[0])
    assert mlp.alike.tolist() == [20, 12]
    resnet = Units.of(made("resnet", SPLITS["none"])[0])  # 8, 16, 32 channels in 4 groups of 2, 4, 8
    inner = [4, 4, 4]
    # streams: 8 channels of stage 3 are two groups of stage 2 and four of stage 1, which has one such unit; then one, then two more
    assert sorted(resnet.alike.tolist()) == sorted([*inner, 1, 1, 2])
    assert resnet.channels.sum(axis=0).tolist() == [8, 8, 8, 16, 16, 32, 32, 0]


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("split", SPLITS)
def test_masks_are_whole_units_in_normalisation_groups_and_streams(kind, split):
    parts, _, u, _ = made(kind, SPLITS[split])
    units = Units.of(parts)
    mask = mask_of(parts, u, 0.6)
    kept = units.kept(mask)
    np.testing.assert_array_equal(units.mask(kept), mask)
    channels = units.kept_channels(kept)
    for layer, there, own in zip(parts.network.layers, channels, parts.is_personal, strict=True):
        assert there.any()
        assert there.all() or not own
        if layer.groups:
            by_group = there.reshape(layer.groups, -1)
            np.testing.assert_array_equal(by_group.any(axis=1), by_group.all(axis=1))
        if layer.residual is not None:
            source = channels[layer.residual]
            np.testing.assert_array_equal(there[: len(source)], source)
    assert channels[-1].all()
    assert kept.sum() < len(kept)


def test_axes_never_put_two_windows_on_the_same_weights():
    for kind in MODELS:
        units = Units.of(made(kind, SPLITS["none"])[0])
        axis = np.append(units.axis, -1)[np.append(units.kind, -1)]
        layers = [set(axis[of_channel].tolist()) - {-1} for of_channel in units.of_channel]
        for ins, outs in itertools.pairwise(layers):
            assert not ins & outs


def test_a_unit_is_as_important_as_its_weights_are_on_average():
    parts, _, u, _ = made("mlp")
    units = Units.of(parts)
    first, second = views(np.abs(u), parts.shared)[:2]
    expected = np.concatenate([first.mean(axis=1), second.mean(axis=1)])
    np.testing.assert_allclose(units.importance(np.abs(u[: parts.prunable])), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("model", "split"),
    [(MLP(hidden=()), Split(personal_layers=0)), (MLP(hidden=(8,)), Split(adapters=2)), (MLP(hidden=(1,)), Split())],
)
def test_models_without_units_are_refused(model, split):
    with pytest.raises(ValueError, match="no units that could go"):
        Units.of(Parts.of(model.network((1, 6, 6), 4), split))


# --- ratios, plans, payloads ----------------------------------------------------------------------------

RATIOS = [0.0, 1e-9, *np.linspace(0.03, 0.97, 20).tolist(), 0.999, 1.0]
STRUCTURED = [Magnitude(granularity="structured", scope=scope, side=side) for scope, side in (("layer", "server"), ("global", "device"))]


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("split", [*SPLITS.values(), Split(personal_layers="copy")])
@pytest.mark.parametrize("pruner", STRUCTURED, ids=repr)
def test_plans_bound_real_sizes_and_work_from_above(kind, split, pruner):
    parts, _, u, _ = made(kind, split)
    rule, batch, ids = masking(parts, pruner), np.array([8, 20]), np.arange(2)
    steps = SGD(personal_steps=2, global_steps=3).steps(np.array([40, 40]), personal=bool(parts.personal))
    work = Work.of(parts, steps, batch, dense_gradient=False)
    plan, upload = workload(parts, work, pruner, Int8(), weight=np.full(2, 0.5)), upload_format(parts, pruner, Int8())
    for ratio in RATIOS:
        mask = mask_of(parts, u, ratio, pruner)
        gone = int((~mask).sum())
        assert gone >= np.floor(ratio * rule.removable)
        flops = rule.flops(work, ids, np.stack([rule.counts(mask)] * 2))
        assert (flops <= (plan.fixed_flops + (1 - ratio) * plan.prunable_flops) * (1 + 1e-12)).all()
        if not parts.copy:
            small = Submodel.of(parts, mask)
            real = Work.of(small.parts, steps, batch, dense_gradient=False)
            np.testing.assert_allclose(flops, real.fixed + real.sparse.sum(axis=1))
        sent = upload.encode(u, mask, np.random.default_rng(0))
        assert 8 * len(sent) == upload.bits(int(mask.sum())) <= plan.fixed_bits[0] + (1 - ratio) * plan.prunable_bits[0]
    assert mask_of(parts, u, 0.0, pruner).all()
    assert gone == rule.removable


def test_convolutions_keep_a_multiple_of_filters_and_dense_layers_any_number():
    parts = Parts.of(CNN(filters=(20, 8), kernel=3, hidden=5).network((1, 12, 12), 4), Split())
    conv1, conv2, fc1 = (width.tolist() for width in Units.of(parts).widths(8))
    assert (conv1, conv2, fc1) == ([20, 16, 8, 4, 2, 1], [8, 4, 2, 1], [5, 4, 3, 2, 1])
    assert Units.of(parts).widths(1)[0].tolist() == list(range(20, 0, -1))
    grouped = Parts.of(ResNet(depth=8, width=8, groups=4).network((3, 8, 8), 4), Split())
    assert {tuple(width.tolist()) for width in Units.of(grouped).widths(8)} >= {(4, 2, 1), (4, 3, 2, 1)}
    u = np.random.default_rng(0).normal(size=parts.prunable + parts.unprunable).astype(np.float32)
    for scope in ("layer", "global"):
        pruner = Magnitude(granularity="structured", scope=scope)
        for ratio in RATIOS:
            filters = Units.of(parts).kept(mask_of(parts, u, ratio, pruner))[:20].sum()
            assert filters in conv1


def test_ratios_are_met_closely_where_hidden_units_can_make_up_for_large_steps():
    parts = Parts.of(CNN().network((1, 28, 28), 10), Split())
    u, _ = parts.initial(Streams(0))
    for scope in ("layer", "global"):
        pruner = Magnitude(granularity="structured", scope=scope)
        rule = masking(parts, pruner)
        for ratio in (0.1, 0.3, 0.5, 0.6):
            realised = (~mask_of(parts, u, ratio, pruner)).sum() / rule.removable
            assert ratio - 1 / rule.removable <= realised < ratio + 0.065


@pytest.mark.parametrize(("kind", "excess"), [("mlp", 0.05), ("cnn", 0.1), ("cnn1d", 0.06)])
def test_layer_plans_are_near_the_real_work(kind, excess):
    parts, _, u, _ = made(kind)
    pruner = Magnitude(granularity="structured", multiple=1)  # else there are steps, which no line can follow
    rule = masking(parts, pruner)
    steps = SGD().steps(np.array([40]), personal=True)
    work = Work.of(parts, steps, np.array([8]), dense_gradient=False)
    fixed, slope = rule.flops_bound(work)
    whole = work.fixed + work.sparse.sum(axis=1)
    for ratio in (0.0, 0.25, 0.5, 0.75):
        real = rule.flops(work, np.arange(1), rule.counts(mask_of(parts, u, ratio, pruner))[None])
        assert real <= fixed + (1 - ratio) * slope <= real + excess * whole
    assert rule.flops(work, np.arange(1), rule.counts(mask_of(parts, u, 0.5, pruner))[None]) < 0.75 * whole


@pytest.mark.parametrize("codec", [Float32(), Float16(), Int8()])
def test_a_mask_of_units_costs_a_bit_per_unit_or_nothing(codec):
    parts, _, u, _ = made("cnn")
    mask, rng = mask_of(parts, u), np.random.default_rng(0)
    known, told = (upload_format(parts, Magnitude(granularity="structured", side=side), codec) for side in ("server", "device"))
    units = 6 + 8 + 20
    assert told.bits(100) - known.bits(100) == 8 * -(-units // 8)
    sent, arrived_mask = told.decode(told.encode(u, mask, rng))
    np.testing.assert_array_equal(arrived_mask, mask)
    np.testing.assert_allclose(sent, u * mask, atol=np.abs(u).max() / 127)
    assert (sent[~mask] == 0).all()
    values = (8 * len(known.encode(u, mask, rng)) - 128 - codec.group_bits * 5) / codec.value_bits
    assert values == mask.sum()
    with pytest.raises(ValueError, match=r"a mask of units; must be codec \d, \d+ values, no mask"):
        known.decode(told.encode(u, mask, rng))


def test_the_pruning_cost_is_the_error_of_the_masks():
    parts, _, u, _ = made("mlp")
    pruner = STRUCTURED[0]
    curve = masking(parts, pruner).cost(u, np.abs(u[: parts.prunable]))
    squares = np.square(u, dtype=float)
    for ratio in (0.25, 0.5, 1.0):
        real = squares[~mask_of(parts, u, ratio, pruner)].sum() / squares.sum()
        assert curve.value(ratio) <= real * (1 + 1e-12)
        assert curve.value(ratio) > 0.7 * real


def test_random_units_are_equally_often_removed():
    parts, _, _, _ = made("mlp")
    units, pruner = Units.of(parts), Random(granularity="structured")
    rule, rng, u = masking(parts, pruner), np.random.default_rng(1), np.zeros(parts.prunable, np.float32)
    kept = sum(units.kept(rule.mask(pruner.importance(u, None, rng), 0.5, NONE, FIRST)) for _ in range(400))
    for members in units.members:  # binomial(400, p): standard deviation at most 10; 4.5 of them for the worst of 32
        assert np.abs(kept[members] - kept[members].mean()).max() < 45


# --- whose turn it is -----------------------------------------------------------------------------------


def covered(pruner, turns, ratio=0.5, kind="cnn"):
    parts, _, u, _ = made(kind)
    return np.mean(np.any([mask_of(parts, u, ratio, pruner, Turn(*turn)) for turn in turns], axis=0))


DEVICES = [(k, 3) for k in range(60)]


@pytest.mark.parametrize("granularity", ["unstructured", "structured"])
def test_rotation_covers_everything_and_equal_masks_do_not(granularity):
    assert covered(Magnitude(granularity=granularity), DEVICES) < 0.8
    assert covered(Ordered(granularity=granularity), DEVICES) < 0.8
    assert covered(Magnitude(granularity=granularity, rotation=0.5), DEVICES) == 1
    assert covered(Taylor(granularity=granularity, rotation=1.0), DEVICES) == 1
    assert covered(Rolling(granularity=granularity, devices="apart"), DEVICES) == 1


@pytest.mark.parametrize("kind", MODELS)
def test_rotation_covers_every_model_within_the_square_of_the_number_of_windows(kind):
    assert covered(Magnitude(granularity="structured", rotation=1.0), [(k, 0) for k in range(60)], kind=kind) == 1


def test_rolling_windows_move_by_one_unit_a_round_and_are_the_first_units_in_round_0():
    parts, _, u, _ = made("mlp")
    units = Units.of(parts)

    def kept(pruner, device, index):
        return units.kept(mask_of(parts, u, 0.5, pruner, Turn(device, index)))[units.members[0]]

    np.testing.assert_array_equal(kept(Rolling(), 0, 0), kept(Ordered(), 0, 7))
    np.testing.assert_array_equal(kept(Rolling(), 0, 4), np.roll(kept(Rolling(), 5, 0), 4))
    np.testing.assert_array_equal(kept(Rolling(step=3), 1, 9), np.roll(kept(Ordered(), 0, 0), 27))
    first = kept(Ordered(), 0, 0)
    assert first[: first.sum()].all()
    assert covered(Rolling(), [(0, s) for s in range(40)]) > covered(Rolling(), [(0, 0)]) + 0.3


def test_narrower_ordered_networks_lie_inside_wider_ones():
    parts, _, u, _ = made("resnet")
    masks = [mask_of(parts, u, ratio, Ordered()) for ratio in (0.2, 0.5, 0.8)]
    for wide, narrow in itertools.pairwise(masks):
        assert (wide | ~narrow).all()


def test_the_most_important_never_rotate_away():
    parts, _, u, _ = made("mlp")
    masks = np.array([mask_of(parts, u, 0.5, Magnitude(rotation=0.3), Turn(*turn)) for turn in DEVICES])
    always = masks.all(axis=0)
    plain = mask_of(parts, u, 0.5, Magnitude())
    assert (plain | ~always).all()
    assert always.sum() == pytest.approx(0.7 * plain.sum(), abs=2)
    assert len(set(masks.sum(axis=1))) == 1


def test_structured_global_takes_the_least_important_units_wherever_they_are():
    parts, _, u, _ = made("mlp")
    u = u.copy()
    u[: 20 * 36] *= 0.01
    rule = masking(parts, STRUCTURED[1])
    assert isinstance(rule, Structured)
    kept = rule.of.kept(mask_of(parts, u, 0.5, STRUCTURED[1]))
    assert kept[rule.of.members[1]].all()
    assert not kept[rule.of.members[0]].all()
