"""How good the models are on test data: each device's own on its own, the global one on all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from typing import Final

import numpy as np

from cosim.interfaces import Evaluation, FloatArray, IntArray
from cosim.learn.layers import Vector, views
from cosim.learn.network import outputs
from cosim.learn.packed import PackedMask
from cosim.learn.roles import ImageData, Images
from cosim.learn.split import Parts

_CHUNK: Final = 250
"""Test images that one job takes: fixed, so that results do not depend on the number of threads."""


def evaluate(
    parts: Parts,
    data: ImageData,
    tests: tuple[IntArray, ...],
    *,
    shared: Vector,
    personal: Vector,
    masks: Mapping[int, PackedMask],
    pool: Executor,
    own: Sequence[Vector] | None = None,
) -> Evaluation:
    """Accuracies of u (N + M,) with the personal parts (devices, P), on ``tests``, each device's indices in the test data.

    What lies before the first personal layer is the same for all, if unpruned: it runs once over all test images, and each device's
    other layers take from its output what they need. A device in ``masks`` also runs its own pruned global part. Devices with
    a whole model of their own use that. A device without test data has accuracy NaN. ``own``: each device's u, where that is not
    ``shared``.
    """
    network, common = parts.network, parts.prefix
    u = views(shared, parts.shared)
    average = u if parts.copy else parts.joined(u, views(personal.mean(axis=0, dtype=np.float64).astype(np.float32), parts.personal))

    def piece(start: int) -> tuple[Images, FloatArray]:
        rows = slice(start, start + _CHUNK)
        features = outputs(network, average, data.test_images[rows], stop=common) if common else data.test_images[rows]
        return features, _correct(outputs(network, average, features, start=common), data.test_labels[rows])

    pieces = list(pool.map(piece, range(0, len(data.test_labels), _CHUNK)))
    features = np.concatenate([part for part, _ in pieces]) if common else data.test_images

    def device(k: int) -> tuple[float, float]:
        if len(tests[k]) == 0:
            return np.nan, np.nan
        labels, v = data.test_labels[tests[k]], views(personal[k], parts.personal)
        if own is None:
            logits = outputs(network, parts.joined(u, v), features[tests[k]], start=common)
        else:
            logits = outputs(network, parts.joined(views(own[k], parts.shared), v), data.test_images[tests[k]])
        full = float(_correct(logits, labels).mean())
        if parts.copy or k not in masks or (mask := masks[k].mask()).all():
            return full, full
        pruned = (shared if own is None else own[k]).copy()
        pruned[: len(mask)] *= mask
        logits = outputs(network, parts.joined(views(pruned, parts.shared), v), data.test_images[tests[k]])
        return float(_correct(logits, labels).mean()), full

    accuracy = np.array(list(pool.map(device, range(len(tests)))))
    return Evaluation(
        accuracy=accuracy[:, 0],
        accuracy_full=accuracy[:, 1],
        global_accuracy=float(np.concatenate([right for _, right in pieces]).mean()),
    )


def _correct(logits: Images, labels: IntArray) -> FloatArray:
    """1 where the most likely class is the right one, else 0."""
    right: FloatArray = (logits.argmax(axis=1) == labels).astype(np.float64)
    return right
