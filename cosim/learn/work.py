"""What a round costs: work of a sub-model as it is, and bounds linear in the kept fraction y for planning.

Per sample a layer's forward pass takes F_l FLOP, its backward pass 2 F_l: F_l for the gradient of its weights, F_l for that of
its input. A step that trains some of the layers passes forward through all, and backward through those it trains and all behind the
first of them. So in a step layer l is worth 3 F_l if it is trained, 2 F_l if it is frozen and lies behind one that is trained, else
F_l. A device's round takes b times the sum over its steps and layers, with b samples in a mini-batch. With the last layers personal
and tau_v personal and tau_u global steps, one after the other:

    personal part:  b (3 tau_v + 2 tau_u) F_v          global part:  b (tau_v + 3 tau_u) sum_l y_l F_l

A pruned weight costs nothing (sparse kernels at full efficiency), so layer l with kept fraction y_l costs y_l F_l. A pruner
that needs the gradients of pruned weights is charged b tau_u sum_l (1 - y_l) F_l for them. A device with a whole model of its own
trains it apart from the global one: 3 F_l for every layer and step of either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from cosim.interfaces import FloatArray, IntArray, Workload
from cosim.learn.codec import UploadFormat, bitmap_bits
from cosim.learn.roles import Codec, Pruner, Steps
from cosim.learn.split import Parts
from cosim.learn.values import Float32


@final
@dataclass(frozen=True, slots=True)
class Work:
    """A round's work of each device [FLOP]: ``fixed`` (n,), and ``sparse`` (n, layers), which shrinks with each of ``prunable_layers``."""

    fixed: FloatArray
    sparse: FloatArray

    @classmethod
    def of(cls, parts: Parts, steps: Steps, batch: IntArray, *, dense_gradient: bool) -> Work:
        """Count it for devices with mini-batches of ``batch`` (n,) samples."""
        flops = np.array([layer.forward_flops for layer in parts.network.layers], np.float64)
        own = np.array(parts.is_personal)
        shared_steps = steps.shared + steps.joint
        if parts.copy:
            personal, shared = (3.0 * np.outer(times, flops) for times in (steps.personal + steps.joint, shared_steps))
        else:
            each = ((steps.personal, own), (steps.shared, ~own), (steps.joint, np.ones_like(own)))
            passes = sum((np.outer(times, _passes(trained)) for times, trained in each), np.zeros((len(batch), len(flops))))
            personal, shared = (passes * flops)[:, own], (passes * flops)[:, ~own]
        sparse = shared[:, [layer.weights > 0 for layer in parts.shared]]
        dense = np.outer(shared_steps, parts.shared_flops) if dense_gradient else np.zeros_like(sparse)
        return cls(batch * (personal.sum(axis=1) + dense.sum(axis=1)), batch[:, None] * (sparse - dense))


def _passes(trained: NDArray[np.bool_]) -> FloatArray:
    """What each layer is worth in a step, in forward passes."""
    behind = np.cumsum(trained) > trained
    passes: FloatArray = np.where(trained, 3.0, np.where(behind, 2.0, 1.0))
    return passes


def submodel_flops(parts: Parts, work: Work, device_ids: IntArray, kept: NDArray[np.integer]) -> FloatArray:
    """Work (n,) [FLOP] of sub-models that keep ``kept`` (n, layers) weights."""
    per_weight = work.sparse[device_ids] / np.array(parts.prunable_sizes)
    flops: FloatArray = work.fixed[device_ids] + (kept * per_weight).sum(axis=1)
    return flops


def upload_format(parts: Parts, pruner: Pruner, codec: Codec) -> UploadFormat:
    """How updates of these parts are sent: the mask goes along where the device decides it."""
    return UploadFormat(parts.prunable_sizes, parts.unprunable, codec, mask_known=pruner.side == "server")


def workload(parts: Parts, work: Work, pruner: Pruner, codec: Codec, *, weight: FloatArray) -> Workload:
    """Bounds for planning, valid for every mask of the pruner.

    A ratio rho prunes floor(rho n) > rho n - 1 of a group of n weights, so a group may keep one weight more than (1 - rho) n:
    the fixed parts contain that one. Bits: header, M values, what the codec adds, rounding, and the bitmap, if the device sends its
    mask. The download is float32, whatever the codec: all devices hear the same broadcast, and train from exactly this u.
    Work, scope ``layer``: with c_l = F_l / N_l the work per weight, sum_l kept_l c_l <= y sum_l F_l + sum_l c_l. Scope
    ``global``: masks may prune the cheapest weights first, but each pruned weight saves at least c = min_l c_l, so
    sum_l kept_l c_l <= F - c (N - kept) <= F - c N + c + y c N.
    """
    total, per_weight = work.sparse.sum(axis=1), work.sparse / np.array(parts.prunable_sizes)
    if pruner.scope == "layer":
        slope, rest, groups = total, per_weight.sum(axis=1), len(parts.prunable_sizes)
    else:
        cheapest = per_weight.min(axis=1)
        slope, rest, groups = cheapest * parts.prunable, total - cheapest * (parts.prunable - 1), 1
    upload = upload_format(parts, pruner, codec)
    download = UploadFormat(upload.sizes, upload.unprunable, Float32(), mask_known=True).bits(parts.prunable)
    download += bitmap_bits(parts.prunable) if pruner.side == "server" and pruner.gradient_memory is not None else 0
    devices = len(weight)
    return Workload(
        weight=weight,
        fixed_flops=work.fixed + rest,
        prunable_flops=slope,
        fixed_bits=np.full(devices, float(upload.fixed_bits + codec.value_bits * groups)),
        prunable_bits=np.full(devices, float(codec.value_bits * parts.prunable)),
        download_bits=np.full(devices, float(download)),
        prunable_parameters=parts.prunable,
    )
