"""Rates: how many bits per second a bandwidth carries at a given SNR. Used by the uplink and by the allocators.

A rate is a function R(B, s) of the bandwidth B [Hz] and of s = p g / (N0 Gamma) [Hz], the SNR in 1 Hz, so that
the SNR over the bandwidth is s / B. All rates here are increasing and concave in B with R(0) = 0.

Shannon's rate, its truncated form and their means over Rayleigh fading are homogeneous: R = c s phi(B / s), where phi rises from 0
to 1. So one table of phi per rate is all that an inverse needs to start from.
"""

from cosim.rate.base import LN2, Rate, Side
from cosim.rate.blocks import Blocks
from cosim.rate.ergodic import Ergodic, ErgodicRayleigh, ErgodicTruncated, ergodic_rayleigh
from cosim.rate.local import expansion, reached_bps, sides, tangent
from cosim.rate.shannon import Shannon, shannon_bandwidth_hz
from cosim.rate.truncated import Scaled, TruncatedShannon

__all__ = [
    "LN2",
    "Blocks",
    "Ergodic",
    "ErgodicRayleigh",
    "ErgodicTruncated",
    "Rate",
    "Scaled",
    "Shannon",
    "Side",
    "TruncatedShannon",
    "ergodic_rayleigh",
    "expansion",
    "reached_bps",
    "shannon_bandwidth_hz",
    "sides",
    "tangent",
]
