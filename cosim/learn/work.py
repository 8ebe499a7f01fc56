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

Where whole units are removed, a layer's work is that of its real, smaller shape, personal layers' included; what is removed has no
gradient, and nothing is charged for it. Work then goes with about the square of a layer's width, as parameters do: how the plan
bounds it by a line in y is told in ``masking``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from cosim.interfaces import FloatArray, IntArray, Workload
from cosim.learn.codec import UploadFormat
from cosim.learn.masking import masking
from cosim.learn.roles import Codec, Pruner, Steps
from cosim.learn.split import Parts
from cosim.learn.values import Float32


@final
@dataclass(frozen=True, slots=True)
class Work:
    """A round's work of each device [FLOP]: ``fixed`` (n,), and ``sparse`` (n, layers), which shrinks with each of ``prunable_layers``.

    ``personal`` (n, personal layers): the part of ``fixed`` that shrinks with the weights that read removed units.
    """

    fixed: FloatArray
    sparse: FloatArray
    personal: FloatArray

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
        reading = np.zeros_like(personal) if parts.copy else batch[:, None] * personal
        return cls(batch * (personal.sum(axis=1) + dense.sum(axis=1)), batch[:, None] * (sparse - dense), reading)

    def submodels(
        self, device_ids: IntArray, kept: NDArray[np.integer], sizes: Sequence[int], reading: FloatArray | None = None
    ) -> FloatArray:
        """Work (n,) [FLOP] of sub-models that keep ``kept`` (n, layers) of the ``sizes`` weights.

        ``reading`` (n, personal layers): the share of their weights that personal layers use; None: all.
        """
        flops: FloatArray = self.fixed[device_ids] + (kept * (self.sparse[device_ids] / np.array(sizes))).sum(axis=1)
        return flops if reading is None else flops - (self.personal[device_ids] * (1.0 - reading)).sum(axis=1)


def _passes(trained: NDArray[np.bool_]) -> FloatArray:
    """What each layer is worth in a step, in forward passes."""
    behind = np.cumsum(trained) > trained
    passes: FloatArray = np.where(trained, 3.0, np.where(behind, 2.0, 1.0))
    return passes


def upload_format(parts: Parts, pruner: Pruner, codec: Codec) -> UploadFormat:
    """How updates of these parts are sent: the mask goes along where the device decides it."""
    rule = masking(parts, pruner)
    values = parts.prunable + parts.unprunable - sum(rule.sizes)
    return UploadFormat(rule.sizes, values, codec, mask_known=pruner.side == "server", units=rule.units)


def workload(parts: Parts, work: Work, pruner: Pruner, codec: Codec, *, weight: FloatArray) -> Workload:
    """Bounds for planning, valid for every mask of the pruner: see ``masking``.

    A ratio rho prunes floor(rho n) > rho n - 1 of a group of n weights, so a group may keep one weight more than (1 - rho) n:
    the fixed parts contain that one. Bits: header, M values, what the codec adds, rounding, and the bitmap, if the device sends its
    mask. The download is float32, whatever the codec: all devices hear the same broadcast, and train from exactly this u.
    """
    rule, upload = masking(parts, pruner), upload_format(parts, pruner, codec)
    fixed_flops, prunable_flops = rule.flops_bound(work)
    download = UploadFormat(upload.sizes, upload.unprunable, Float32(), mask_known=True).bits(rule.length)
    download += upload.bitmap_bits if pruner.side == "server" and pruner.gradient_memory is not None else 0
    devices = len(weight)
    return Workload(
        weight=weight,
        fixed_flops=fixed_flops,
        prunable_flops=prunable_flops,
        fixed_bits=np.full(devices, float(upload.fixed_bits + codec.value_bits * rule.least)),
        prunable_bits=np.full(devices, float(codec.value_bits * rule.removable)),
        download_bits=np.full(devices, float(download)),
        prunable_parameters=rule.removable,
    )
