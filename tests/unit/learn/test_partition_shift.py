import numpy as np
import pytest

from cosim.errors import ScenarioError
from cosim.learn.partition import IID, ClassesPerDevice
from cosim.learn.partition_shift import FeatureShift
from cosim.learn.roles import ImageData
from cosim.rng import Streams

RNG = np.random.default_rng(0)
DATA = ImageData(
    RNG.normal(size=(60, 2, 5, 5)).astype(np.float32),
    np.arange(60) % 3,
    RNG.normal(size=(30, 2, 5, 5)).astype(np.float32),
    np.arange(30) % 3,
)
OF = ClassesPerDevice(classes=2, samples_per_device=12, test_samples_per_device=8)


def domains(devices, count, seed=1):
    """The domain of each device, found by the brightness it sees."""
    shares = FeatureShift(of=OF, domains=count, rotation_deg=0.0, brightness=100.0).deal(DATA, devices, Streams(seed))
    return [round(float(shares.data.train_images[share].mean()) * (count - 1) / 100) for share in shares.train]


def test_quarter_turns_are_exact_and_labels_stay():
    shares, plain = FeatureShift(of=OF).deal(DATA, 9, Streams(1)), OF.deal(DATA, 9, Streams(1))
    for k, domain in enumerate(domains(9, 4)):
        for images, labels, mine, theirs, original, names in (
            (shares.data.train_images, shares.data.train_labels, shares.train, plain.train, DATA.train_images, DATA.train_labels),
            (shares.data.test_images, shares.data.test_labels, shares.test, plain.test, DATA.test_images, DATA.test_labels),
        ):
            np.testing.assert_array_equal(images[mine[k]], np.rot90(original[theirs[k]], domain, axes=(2, 3)))
            np.testing.assert_array_equal(labels[mine[k]], names[theirs[k]])


def test_domains_are_dealt_evenly_and_at_random():
    assert sorted(domains(8, 4)) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert len({tuple(domains(4, 4, seed)) for seed in range(10)}) > 3


@pytest.mark.parametrize("shift", [FeatureShift(of=OF), FeatureShift(of=OF, domains=3, rotation_deg=30.0, brightness=1.0, noise=0.5)])
def test_what_a_device_sees_does_not_depend_on_later_devices(shift):
    few, many = shift.deal(DATA, 3, Streams(5)), shift.deal(DATA, 11, Streams(5))
    for k in range(3):
        np.testing.assert_array_equal(few.data.train_images[few.train[k]], many.data.train_images[many.train[k]])
        np.testing.assert_array_equal(few.data.test_images[few.test[k]], many.data.test_images[many.test[k]])


def test_each_pair_of_domain_and_image_is_kept_once():
    dealt = FeatureShift(of=IID(samples_per_device=60, test_samples_per_device=30), domains=2).deal(DATA, 10, Streams(0))
    assert len(dealt.data.train_images) == 2 * 60
    assert len(dealt.data.test_images) == 2 * 30
    few = FeatureShift(of=OF, domains=50).deal(DATA, 3, Streams(0))
    assert len(few.data.train_images) == 3 * 12


def test_other_angles_turn_the_same_way_as_quarters():
    ramp = np.zeros((1, 1, 21, 21), np.float32) + np.arange(21, dtype=np.float32)  # brighter to the right
    data = ImageData(ramp, np.zeros(1, np.int64), ramp, np.zeros(1, np.int64))
    one = IID(samples_per_device=1, test_samples_per_device=1)
    for angle in (44.0, 90.0):
        shares = FeatureShift(of=one, domains=2, rotation_deg=angle).deal(data, 2, Streams(0))
        turned = next(image for image in shares.data.train_images if not np.array_equal(image, ramp[0]))[0]
        down, right = (np.gradient(turned[5:16, 5:16], axis=axis).mean() for axis in (0, 1))
        # counter-clockwise: what was brighter to the right is brighter at the top
        assert down == pytest.approx(-np.sin(np.radians(angle)), abs=1e-4)
        assert right == pytest.approx(np.cos(np.radians(angle)), abs=1e-4)


def test_noise_and_brightness_have_the_size_asked_for():
    still = ImageData(np.zeros((60, 1, 8, 8), np.float32), np.arange(60) % 3, np.zeros((30, 1, 8, 8), np.float32), np.arange(30) % 3)
    shift = FeatureShift(of=OF, domains=2, rotation_deg=0.0, brightness=-1.0, noise=2.0)
    shares = shift.deal(still, 4, Streams(3))
    noisy = [share for share in shares.train if shares.data.train_images[share].any()]
    assert len(noisy) == 2
    values = shares.data.train_images[np.concatenate(noisy)]
    # 24 images of 64 pixels, 1536 values: standard errors 2 / sqrt(1536) = 0.05 and 0.036; five of them
    assert values.mean() == pytest.approx(-1, abs=0.26)
    assert values.std() == pytest.approx(2, abs=0.18)
    assert len(np.unique(values)) > 1000


def test_impossible_shifts_are_refused():
    flat = ImageData(np.zeros((60, 1, 1, 8), np.float32), np.arange(60) % 3, np.zeros((30, 1, 1, 8), np.float32), np.arange(30) % 3)
    with pytest.raises(ScenarioError, match="samples without height cannot be turned"):
        FeatureShift(of=OF).deal(flat, 4, Streams(3))
    assert FeatureShift(of=OF, rotation_deg=0.0, noise=1.0).deal(flat, 4, Streams(3)).data is not None
    with pytest.raises(ValueError, match="the data have 1 classes"):
        FeatureShift(of=OF).check(1)


def test_devices_train_and_are_tested_on_what_they_see(play):
    """Turned patterns are other patterns: a shared model without personal layers must learn all of them."""
    learner = play.learner(partition=FeatureShift(of=IID(samples_per_device=60, test_samples_per_device=30)), devices=4, personal_layers=0)
    untrained = learner.evaluate(0)
    for index in range(15):
        _, _, evaluation = play.round(learner, index)
    assert untrained.global_accuracy < 0.5
    assert evaluation.global_accuracy > 0.75
    assert (evaluation.accuracy > 0.7).all()
