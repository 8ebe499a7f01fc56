import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cosim.learn.codec import HEADER_BITS, bitmap_bits, decode, encode, encoded_bits

VALUES = st.integers(0, 2**32 - 1)
"""Every bit pattern of a float32: NaNs, infinities and negative zeros too."""


@st.composite
def uploads(draw):
    mask = np.array(draw(st.lists(st.booleans(), min_size=1, max_size=300)), bool)
    if draw(st.booleans()):  # few exceptions: the forms that list positions
        mask[:] = draw(st.booleans())
        mask[draw(st.lists(st.integers(0, len(mask) - 1), max_size=4))] ^= True
    unprunable = draw(st.integers(0, 5))
    bits = np.array(draw(st.lists(VALUES, min_size=len(mask) + unprunable, max_size=len(mask) + unprunable)), np.uint32)
    return bits.view(np.float32), mask


@given(uploads(), st.booleans())
def test_what_is_decoded_is_what_was_encoded_bit_for_bit(upload, mask_known):
    shared, mask = upload
    got, got_mask = decode(encode(shared, mask, mask_known=mask_known), mask if mask_known else None)
    expected = shared.copy()
    expected[: len(mask)][~mask] = 0
    np.testing.assert_array_equal(got.view(np.uint32), expected.view(np.uint32))
    np.testing.assert_array_equal(got_mask, mask)


@given(uploads(), st.booleans())
def test_the_length_is_known_before_training(upload, mask_known):
    shared, mask = upload
    unprunable = len(shared) - len(mask)
    bits = int(encoded_bits(len(mask), unprunable, int(mask.sum()), mask_known=mask_known))
    assert bits == 8 * len(encode(shared, mask, mask_known=mask_known))


@given(uploads())
def test_a_mask_costs_at_most_the_bitmap_and_nothing_when_it_keeps_all_or_none(upload):
    shared, mask = upload
    unprunable, kept = len(shared) - len(mask), int(mask.sum())
    free = int(encoded_bits(len(mask), unprunable, kept, mask_known=True))
    paid = int(encoded_bits(len(mask), unprunable, kept, mask_known=False))
    assert free == HEADER_BITS + 32 * (unprunable + kept)
    assert free <= paid <= free + bitmap_bits(len(mask))
    if kept in {0, len(mask)}:
        assert paid == free


@given(uploads())
def test_the_dense_form_is_never_shorter(upload):
    shared, mask = upload
    dense = HEADER_BITS + 32 * len(shared)
    assert int(encoded_bits(len(mask), len(shared) - len(mask), int(mask.sum()), mask_known=False)) <= dense + 7
