import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosim.learn.codec import HEADER_BITS, UploadFormat, bitmap_bits
from cosim.learn.values import Float16, Float32, Int8

FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)
CODECS = {"float32": Float32(), "float16": Float16(), "int8": Int8(), "int8 stochastic": Int8(rounding="stochastic")}


@st.composite
def uploads(draw, largest=None):
    """(sizes of the layers, u, mask); ``largest``: magnitude of the values."""
    mask = np.array(draw(st.lists(st.booleans(), min_size=1, max_size=300)), bool)
    if draw(st.booleans()):  # few exceptions: the forms that list positions
        mask[:] = draw(st.booleans())
        mask[draw(st.lists(st.integers(0, len(mask) - 1), max_size=4))] ^= True
    count = len(mask) + draw(st.integers(0, 5))
    values = st.floats(-largest, largest, width=32) if largest else FINITE
    shared = np.array(draw(st.lists(values, min_size=count, max_size=count)), np.float32)
    cut = draw(st.integers(0, len(mask)))
    return (cut, len(mask) - cut), shared, mask


def sent(codec, upload, mask_known, seed=0):
    sizes, shared, mask = upload
    made = UploadFormat(sizes, len(shared) - len(mask), codec, mask_known)
    return made, made.encode(shared, mask, np.random.default_rng(seed))


def received(codec, upload, mask_known):
    """u as decoded, after checking its mask and that what is pruned is zero."""
    mask = upload[2]
    made, data = sent(codec, upload, mask_known)
    got, got_mask = made.decode(data, mask if mask_known else None)
    np.testing.assert_array_equal(got_mask, mask)
    assert (got[: len(mask)][~mask] == 0).all()
    return got


def groups(upload):
    """Indices into u of each group that has a scale: what is never pruned, then what is kept of each layer."""
    sizes, shared, mask = upload
    kept = np.flatnonzero(mask)
    return [np.arange(len(mask), len(shared)), kept[kept < sizes[0]], kept[kept >= sizes[0]]]


@given(uploads(), st.booleans())
def test_float32_is_decoded_bit_for_bit(upload, mask_known):
    _, shared, mask = upload
    expected = shared.copy()
    expected[: len(mask)][~mask] = 0
    np.testing.assert_array_equal(received(Float32(), upload, mask_known).view(np.uint32), expected.view(np.uint32))


@given(uploads(largest=65504.0), st.booleans())
def test_float16_errs_by_half_a_unit_in_the_last_place(upload, mask_known):
    got, shared = received(Float16(), upload, mask_known).astype(float), upload[1].astype(float)
    for group in groups(upload):
        assert (np.abs(got[group] - shared[group]) <= np.maximum(2.0**-11 * np.abs(shared[group]), 2.0**-25)).all()


@pytest.mark.parametrize(("rounding", "steps"), [("nearest", 0.5), ("stochastic", 1.0)])
@given(upload=uploads(largest=2.0**126), mask_known=st.booleans())
def test_int8_errs_by_its_scale(rounding, steps, upload, mask_known):
    got, shared = received(Int8(rounding=rounding), upload, mask_known).astype(float), upload[1].astype(float)
    for group in groups(upload):
        largest = np.abs(shared[group]).max(initial=0)
        scale = float(np.float32(largest / 127))
        # a scale rounds to float32: relatively by 2^-24, by half the least number among the smallest
        assert (np.abs(got[group] - shared[group]) <= steps * scale * (1 + 1e-6) + 2.0**-22 * largest + 127 * 2.0**-149).all()


@pytest.mark.parametrize("name", CODECS)
@given(upload=uploads(largest=60_000.0), mask_known=st.booleans())
def test_the_length_is_known_before_training(name, upload, mask_known):
    made, data = sent(CODECS[name], upload, mask_known)
    assert int(made.bits(int(upload[2].sum()))) == 8 * len(data)
    assert 8 * len(data) <= made.fixed_bits + CODECS[name].value_bits * int(upload[2].sum())


@pytest.mark.parametrize("name", CODECS)
@given(upload=uploads(largest=60_000.0), mask_known=st.booleans(), data=st.data())
def test_damage_to_the_length_is_refused(name, upload, mask_known, data):
    made, whole = sent(CODECS[name], upload, mask_known)
    cut = data.draw(st.integers(0, len(whole) - 1))
    for wrong in (whole[:cut], whole + b"0"):
        with pytest.raises(ValueError, match=r"shorter|cut short|too long"):
            made.decode(wrong, upload[2])


@pytest.mark.parametrize("name", CODECS)
@given(upload=uploads(largest=60_000.0), mask_known=st.booleans(), data=st.data())
def test_a_damaged_byte_gives_finite_values_or_a_message(name, upload, mask_known, data):
    made, whole = sent(CODECS[name], upload, mask_known)
    wrong = bytearray(whole)
    wrong[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        got, mask = made.decode(bytes(wrong), upload[2] if mask_known else None)
    except ValueError:  # and nothing else
        return
    assert np.isfinite(got).all()
    assert mask.sum() == upload[2].sum()


@given(uploads())
def test_a_mask_costs_at_most_the_bitmap_and_nothing_when_it_keeps_all_or_none(upload):
    sizes, shared, mask = upload
    unprunable, kept = len(shared) - len(mask), int(mask.sum())
    free, paid = (int(UploadFormat(sizes, unprunable, Float32(), known).bits(kept)) for known in (True, False))
    assert free == HEADER_BITS + 32 * (unprunable + kept)
    assert free <= paid <= free + bitmap_bits(len(mask))
    if kept in {0, len(mask)}:
        assert paid == free


@given(uploads())
def test_the_dense_form_is_never_shorter_in_float32(upload):
    sizes, shared, mask = upload
    made = UploadFormat(sizes, len(shared) - len(mask), Float32(), mask_known=False)
    assert int(made.bits(int(mask.sum()))) <= HEADER_BITS + 32 * len(shared) + 7
