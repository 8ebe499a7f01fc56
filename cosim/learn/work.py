"""What a round costs: work of a sub-model as it is, and bounds linear in the kept fraction y for planning.

Per sample a layer's forward pass takes F_l FLOP, its backward pass 2 F_l: F_l for the gradient of its weights, F_l for that of
its input. With b samples in a mini-batch a device's round of tau_v personal and tau_u global steps takes

    personal part:  b (3 tau_v + 2 tau_u) F_v                forward and backward; then forward and input gradient (v is frozen)
    global part:    b (tau_v + 3 tau_u) sum_l y_l F_l        forward only (u is frozen); then forward and backward

A pruned weight costs nothing (sparse kernels at full efficiency), so layer l with kept fraction y_l costs y_l F_l. A pruner
that needs the gradients of pruned weights is charged b tau_u sum_l (1 - y_l) F_l for them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cosim.interfaces import FloatArray, IntArray, Workload
from cosim.learn.codec import UploadFormat, bitmap_bits
from cosim.learn.roles import Codec, Pruner, Trainer
from cosim.learn.split import Parts
from cosim.learn.values import Float32


class Passes(NamedTuple):
    """How often a round passes through the layers: ``personal`` part, ``sparse`` and ``dense`` global part, in passes of b samples."""

    personal: int
    sparse: int
    dense: int

    @classmethod
    def of(cls, trainer: Trainer, parts: Parts, *, dense_gradient: bool) -> Passes:
        """Count the passes; without a personal part there are no personal steps."""
        personal_steps, global_steps = trainer.personal_steps if parts.personal else 0, trainer.global_steps
        dense = global_steps if dense_gradient else 0
        return cls(3 * personal_steps + 2 * global_steps, personal_steps + 3 * global_steps - dense, dense)


def submodel_flops(parts: Parts, passes: Passes, batch: IntArray, kept: NDArray[np.integer]) -> FloatArray:
    """Work (n,) [FLOP] of sub-models that keep ``kept`` (n, layers) weights, with mini-batches of ``batch`` (n,) samples."""
    sparse = kept @ (parts.shared_flops / np.array(parts.prunable_sizes))
    per_sample: FloatArray = passes.personal * parts.personal_flops + passes.sparse * sparse + passes.dense * parts.shared_flops.sum()
    flops: FloatArray = batch * per_sample
    return flops


def upload_format(parts: Parts, pruner: Pruner, codec: Codec) -> UploadFormat:
    """How updates of these parts are sent: the mask goes along where the device decides it."""
    return UploadFormat(parts.prunable_sizes, parts.unprunable, codec, mask_known=pruner.side == "server")


def workload(parts: Parts, passes: Passes, pruner: Pruner, codec: Codec, *, batch: IntArray, weight: FloatArray) -> Workload:
    """Bounds for planning, valid for every mask of the pruner.

    A ratio rho prunes floor(rho n) > rho n - 1 of a group of n weights, so a group may keep one weight more than (1 - rho) n:
    the fixed parts contain that one. Bits: header, M values, what the codec adds, rounding, and the bitmap, if the device sends its
    mask. The download is float32, whatever the codec: all devices hear the same broadcast, and train from exactly this u.
    Work, scope ``layer``: with c_l = F_l / N_l the work per weight, sum_l kept_l c_l <= y sum_l F_l + sum_l c_l. Scope
    ``global``: masks may prune the cheapest weights first, but each pruned weight saves at least c = min_l c_l, so
    sum_l kept_l c_l <= F - c (N - kept) <= F - c N + c + y c N.
    """
    flops, sizes = parts.shared_flops, np.array(parts.prunable_sizes)
    if pruner.scope == "layer":
        slope, rest, groups = flops.sum(), (flops / sizes).sum(), len(sizes)
    else:
        cheapest = (flops / sizes).min()
        slope, rest, groups = cheapest * parts.prunable, flops.sum() - cheapest * (parts.prunable - 1), 1
    fixed = passes.personal * parts.personal_flops + passes.sparse * rest + passes.dense * flops.sum()
    upload = upload_format(parts, pruner, codec)
    download = UploadFormat(upload.sizes, upload.unprunable, Float32(), mask_known=True).bits(parts.prunable)
    download += bitmap_bits(parts.prunable) if pruner.side == "server" and pruner.gradient_memory is not None else 0
    devices = len(batch)
    return Workload(
        weight=weight,
        fixed_flops=batch * fixed,
        prunable_flops=batch * (passes.sparse * slope),
        fixed_bits=np.full(devices, float(upload.fixed_bits + codec.value_bits * groups)),
        prunable_bits=np.full(devices, float(codec.value_bits * parts.prunable)),
        download_bits=np.full(devices, float(download)),
        prunable_parameters=parts.prunable,
    )
