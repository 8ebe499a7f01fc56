"""Protocols and frozen records that cross packages: the page to read first.

The flow: a *scenario* describes components; ``build`` joins them into a world (motion, gains, straggler
factors, availability: functions of (seed, device, t)), a learner (models and data) and an allocator; the
*simulation* moves time and asks them; the *trace* keeps what happened.

Arrays over devices have shape (n,) in the order of ``device_ids``; arrays over times and devices have
shape (T, n). Everything is linear SI (s, m, Hz, W, bit, J); dB only where a name says so. Records are
frozen, and nobody writes to their arrays.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cosim.errors import AllocationError
from cosim.rate import Rate, Shannon

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cosim.rng import Streams

FloatArray: TypeAlias = NDArray[np.float64]
BoolArray: TypeAlias = NDArray[np.bool_]
IntArray: TypeAlias = NDArray[np.int64]

# --- the world: motion ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Motion:
    """Where devices are and how fast they go; arrays (T, n).

    ``travelled_m`` is the length of the path since t = 0: it drives the Doppler of the fading.
    """

    x_m: FloatArray
    y_m: FloatArray
    speed_m_s: FloatArray
    travelled_m: FloatArray


class Trajectories(Protocol):
    """The motion of all devices: every question at any time has one answer, whatever was asked before."""

    def at(self, times_s: FloatArray, device_ids: IntArray) -> Motion:
        """Motion at times (T,) of devices (n,); times >= 0 in any order."""
        ...


@runtime_checkable
class Visits(Trajectories, Protocol):
    """Trajectories of devices that come and go. Outside its presence a device keeps its nearest position, at rest."""

    def presence_s(self, device_ids: IntArray) -> tuple[FloatArray, FloatArray]:
        """(first, last): a device is there at first <= t < last; arrays (n,), last may be inf."""
        ...


class Mobility(Protocol):
    """Role ``mobility``."""

    def start(self, extent_m: tuple[float, float], devices: int, streams: Streams) -> Trajectories:
        """Trajectories of devices 0 .. devices-1 in the rectangle [0, width] x [0, height]."""
        ...


# --- the world: radio -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Band:
    """The band of an uplink, cut into equal sub-bands in which the channel is taken as flat.

    ``bandwidth_hz`` > 0 [Hz]; ``subbands`` F >= 1. Sub-band 0 is the lowest.
    """

    bandwidth_hz: float
    subbands: int

    @property
    def edges_hz(self) -> FloatArray:
        """Edges of the sub-bands (F+1,) from the band's lower edge [Hz]."""
        return np.asarray(np.arange(self.subbands + 1) * (self.bandwidth_hz / self.subbands))

    @property
    def offsets_hz(self) -> FloatArray:
        """Centres of the sub-bands (F,) from the middle of the band, where the carrier is [Hz]."""
        return np.asarray((np.arange(self.subbands) + 0.5 - self.subbands / 2) * (self.bandwidth_hz / self.subbands))


class PathLoss(Protocol):
    """Role ``pathloss``: the average loss of a link, and the statistics that belong to the same environment."""

    @property
    def carrier_hz(self) -> float: ...
    @property
    def distance_range_m(self) -> tuple[float, float]:
        """Least and greatest 2D distance for which ``loss_db`` is defined [m]."""
        ...

    @property
    def los_correlation_m(self) -> float:
        """Distance over which the line-of-sight state stays correlated [m]."""
        ...

    @property
    def rician_k_db(self) -> tuple[float, float] | None:
        """Mean and standard deviation over links of the K factor in line of sight [dB]; None where the model has none."""
        ...

    def loss_db(
        self,
        distance_2d_m: ArrayLike,
        los: ArrayLike,
        height_site_m: float = 25.0,
        height_device_m: float = 1.5,
        chance: ArrayLike = 0.0,
    ) -> FloatArray:
        """Path loss [dB]; raises ValueError outside the model's range.

        ``chance``: a number in [0, 1), uniform over links, that decides what the model leaves to chance.
        """
        ...

    def los_probability(self, distance_2d_m: ArrayLike, height_device_m: float = 1.5) -> FloatArray: ...
    def shadowing_sigma_db(
        self, distance_2d_m: ArrayLike, los: ArrayLike, height_site_m: float = 25.0, height_device_m: float = 1.5
    ) -> FloatArray:
        """Standard deviation of the shadowing [dB]."""
        ...

    def shadowing_correlation_m(self, *, los: bool) -> float:
        """Correlation distance of the shadowing [m]."""
        ...


class ShadowingField(Protocol):
    """The shadowing around one site as a function of position."""

    def loss_db(self, x_m: FloatArray, y_m: FloatArray, los: BoolArray, sigma_db: FloatArray) -> FloatArray:
        """Additional loss [dB], zero-mean normal with standard deviation ``sigma_db``; arrays of one shape."""
        ...


class Shadowing(Protocol):
    """Role ``shadowing``."""

    def start(self, pathloss: PathLoss, site: int, streams: Streams) -> ShadowingField: ...
    def drift_db(self, pathloss: PathLoss, los: BoolArray, sigma_db: FloatArray, lag_m: FloatArray, window_m: FloatArray) -> FloatArray:
        """Standard deviation [dB] of how much the shadowing, averaged over a way, differs from its known value; arrays (n,).

        The way begins ``lag_m`` from where the value is known and is ``window_m`` long.
        """
        ...


class FadingProcess(Protocol):
    """The small-scale fading of the links between one site and all devices."""

    def power(self, times_s: FloatArray, travelled_m: FloatArray, device_ids: IntArray, sight: FloatArray | None = None) -> FloatArray:
        """|h|^2 (T, n), mean 1, averaged over the band, at times (T,) of devices (n,).

        ``travelled_m`` (T, n): the way they have gone by then. ``sight`` (T, n): share of line of sight in [0, 1], only
        for a fading that follows it.
        """
        ...


class SelectiveProcess(FadingProcess, Protocol):
    """A fading process that differs over the band."""

    def subband_power(self, times_s: FloatArray, travelled_m: FloatArray, device_ids: IntArray) -> FloatArray:
        """|h|^2 (T, n, F) in each sub-band, mean 1."""
        ...


class Fading(Protocol):
    """Role ``fading``."""

    @property
    def selective(self) -> bool:
        """Whether ``start`` gives a SelectiveProcess."""
        ...

    @property
    def follows_sight(self) -> bool:
        """Whether its process must be told of the line of sight."""
        ...

    def start(self, pathloss: PathLoss, band: Band, site: int, devices: int, streams: Streams) -> FadingProcess: ...
    def ergodic(self, rate: Rate) -> Rate:
        """The mean of ``rate`` over this fading, as a rate in terms of the mean gain's SNR."""
        ...

    def average_variance(self, window_s: float, doppler_hz: FloatArray) -> FloatArray:
        """Variance (n,) of the mean of |h|^2 over a window of ``window_s`` > 0, or an upper bound of it.

        ``doppler_hz`` (n,): greatest Doppler shift by the devices' own motion.
        """
        ...


@dataclass(frozen=True, slots=True)
class Spread:
    """How far a device's gain, averaged over a time window, strays from its mean gain at an instant; arrays (n,).

    ``fading_variance``: of the mean of |h|^2, in [0, 1]. ``drift_db``: standard deviation of the mean change of shadowing [dB].
    """

    fading_variance: FloatArray
    drift_db: FloatArray


class GainSource(Protocol):
    """What channel-state information is made from: the true channel of the serving site."""

    def mean_gain(self, times_s: FloatArray, device_ids: IntArray) -> FloatArray:
        """Linear power gain without small-scale fading, antenna gains included; (T, n)."""
        ...

    def gain(self, times_s: FloatArray, device_ids: IntArray) -> FloatArray:
        """Linear power gain with small-scale fading; (T, n)."""
        ...

    def spread(self, time_s: float, lag_s: float, window_s: float, device_ids: IntArray) -> Spread:
        """What is to be expected of the gain's average over [t + lag, t + lag + window] from the statistics at t; nothing of the future."""
        ...


class SubbandGains(Protocol):
    """A channel that differs over the band."""

    @property
    def band(self) -> Band: ...
    def gain(self, times_s: FloatArray, device_ids: IntArray) -> FloatArray:
        """Linear power gain (T, n, F) in each sub-band; its mean over F is GainSource's."""
        ...


class CSI(Protocol):
    """Role ``csi``: what the planner knows of the channel, and in which sense it means its rates."""

    def observe(self, channel: GainSource, time_s: float, device_ids: IntArray, streams: Streams) -> FloatArray:
        """Gain (n,) that the planner believes at ``time_s``."""
        ...

    def planning_rate(self, rate: Rate, fading: Fading) -> Rate:
        """The rate function to plan with on such gains."""
        ...


class Uplink(Protocol):
    """Role ``uplink``: how the shares that an allocator decides become bandwidth in each slot.

    Shares are reserved (``ReservedUplink``), or the uplink is ``coupled``: ``cosim.net.uplink_schedulers.Scheduler``.
    """

    @property
    def bandwidth_hz(self) -> float: ...
    @property
    def usable_bandwidth_hz(self) -> float:
        """What an allocator may hand out [Hz]."""
        ...

    @property
    def block_hz(self) -> float:
        """Least bandwidth that a device can hold in a slot [Hz]; NaN where any real number will do."""
        ...

    @property
    def slot_s(self) -> float: ...
    @property
    def rate(self) -> Rate: ...
    @property
    def link_rate(self) -> Rate:
        """The rate to plan with, before overheads and blocks."""
        ...

    @property
    def gap(self) -> float:
        """SNR gap to capacity, linear, >= 1."""
        ...

    @property
    def uplink_share(self) -> float:
        """Share of the time that is uplink, in (0, 1]."""
        ...

    @property
    def useful(self) -> float:
        """Payload per bit of the plain rate, in (0, 1]."""
        ...

    @property
    def grant_delay_s(self) -> float:
        """From a device's wish to send to its first grant [s]."""
        ...

    @property
    def coupled(self) -> bool:
        """Whether what a device may send depends on who else sends."""
        ...

    def planning_rate(self, rate: Rate) -> Rate:
        """Long-run mean rate of a device under this scheduler, for a given constant bandwidth share."""
        ...

    def quotas(self, bandwidth_hz: FloatArray) -> FloatArray:
        """Shares (n,) as this uplink can realise them, in its own unit; sums stay within the band."""
        ...


class ReservedUplink(Uplink, Protocol):
    """An uplink on which nobody depends on anybody else. Slot i begins at i * slot_s."""

    def bandwidth_in_slots(self, quotas: FloatArray, slots: IntArray) -> FloatArray:
        """Bandwidth [Hz] (T, n) that each device holds in slots (T,)."""
        ...

    def edges_in_slots(self, quotas: FloatArray, slots: IntArray) -> tuple[FloatArray, FloatArray]:
        """Lower and upper edge (T, n) of the contiguous piece that each device holds, from the band's lower edge [Hz].

        The upper less the lower is ``bandwidth_in_slots``.
        """
        ...


# --- the world: devices -----------------------------------------------------------------------------


class Compute(Protocol):
    """Role ``compute``: how fast devices compute, and how far a round strays from it."""

    @property
    def mean_factor(self) -> float:
        """Mean of ``factor``: what a plan uses."""
        ...

    @property
    def capacitance(self) -> float:
        """Effective switched capacitance kappa: energy = kappa * cycles * f^2 [J s^2 / cycle^3]."""
        ...

    @property
    def flops_per_cycle(self) -> float: ...
    def frequency_hz(self, devices: int, streams: Streams) -> FloatArray:
        """Clock frequency of devices 0 .. devices-1."""
        ...

    def factor(self, round_index: int, devices: int, streams: Streams) -> FloatArray:
        """Straggler factor of devices 0 .. devices-1 in a round: compute time = nominal time x factor."""
        ...


class Pace(Protocol):
    """How fast devices compute at any time, as a share of their nominal speed."""

    def elapsed_s(self, start_s: FloatArray, nominal_s: FloatArray, device_ids: IntArray) -> FloatArray:
        """How long work (n,) takes that begins at ``start_s`` and would take ``nominal_s`` at full speed [s]."""
        ...


@runtime_checkable
class TimedCompute(Compute, Protocol):
    """A compute role whose speed changes in time; its ``factor`` is not asked for."""

    def start(self, devices: int, streams: Streams) -> Pace: ...


class AvailabilityProcess(Protocol):
    """When devices are there."""

    def online(self, time_s: float, device_ids: IntArray) -> BoolArray: ...
    def next_change_s(self, time_s: float, device_ids: IntArray) -> FloatArray:
        """First time > ``time_s`` at which the state changes; inf if never."""
        ...


class Availability(Protocol):
    """Role ``availability``."""

    def start(self, devices: int, streams: Streams) -> AvailabilityProcess: ...


# --- allocation -------------------------------------------------------------------------------------


# upper bound of each per-device field; a device that cannot be reached may have an infinite fixed time
_PROBLEM_ARRAYS = {
    "weight": 1e100,
    "fixed_time_s": np.inf,
    "prunable_time_s": 1e100,
    "fixed_bits": 1e100,
    "prunable_bits": 1e100,
    "snr_hz": 1e100,
    "prune_max": 1.0,
}
_ENERGY_ARRAYS = {
    "budget_j": np.inf,
    "fixed_compute_s": 1e100,
    "compute_power_w": 1e100,
    "frequency_hz": 1e100,
    "frequency_min_hz": 1e100,
    "power_w": 1e100,
    "power_min_w": 1e100,
}


def _per_device(name: str, value: ArrayLike, ids: IntArray, upper: float) -> FloatArray:
    """A field as a float64 array (n,) with 0 <= value <= upper, or AllocationError."""
    array = np.asarray(value, np.float64)
    if array.ndim == 0 and name in {"weight", "prune_max"}:
        array = np.full(ids.shape, float(array))
    if array.shape != ids.shape or ids.ndim != 1:
        raise AllocationError(f"{name} has shape {array.shape}, but there are {ids.size} device_ids: it must be {(ids.size,)}")
    _refuse_device(name, array, ids, ~((array >= 0) & (array <= upper)), f"must be in [0, {upper:g}]")
    return array


def _refuse_device(name: str, array: FloatArray, ids: IntArray, wrong: BoolArray, rule: str) -> None:
    if wrong.any():
        first = int(np.argmax(wrong))
        raise AllocationError(f"{name} of device {ids[first]} is {array[first]}, {rule}")


def _same(one: object, other: object, names: Iterable[str]) -> bool:
    """Whether two records hold equal arrays."""
    return type(one) is type(other) and all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


@dataclass(frozen=True, slots=True, eq=False)
class EnergyLimit:
    """What a device may spend on one round, and the transmit power p and clock f that it may turn down for it; arrays (n,).

    With y = 1 - rho and tau = fixed_compute + y prunable_time, the computing time at the full clock, and D the bits to send,

        time    fixed_time - fixed_compute + tau f_0 / f + D / R(B; s p / p_0)
        energy  compute_power (f / f_0)^2 tau + uplink_share p / efficiency D / R(B; s p / p_0) <= budget

    ``budget_j`` > 0, may be inf. ``fixed_compute_s``: the part of the problem's fixed_time_s that is computing. ``frequency_hz`` f_0 and
    ``power_w`` p_0: the clock and the radiated power to which the problem's times and snr_hz belong, and the largest ones; the
    least are ``frequency_min_hz`` and ``power_min_w``, > 0. ``compute_power_w``: energy per planned second of computing at f_0, kappa
    f_0^3 over the mean straggler factor (which lengthens computing, but is not charged). ``efficiency``: of the amplifier, in (0, 1].
    ``uplink_share``: share of an upload's time in which it sends (TDD), which R has taken in, in (0, 1].
    """

    budget_j: FloatArray
    fixed_compute_s: FloatArray
    compute_power_w: FloatArray
    frequency_hz: FloatArray
    frequency_min_hz: FloatArray
    power_w: FloatArray
    power_min_w: FloatArray
    efficiency: float
    uplink_share: float = 1.0

    def __eq__(self, other: object) -> bool:
        """The same numbers, bit for bit."""
        return _same(self, other, (*_ENERGY_ARRAYS, "efficiency", "uplink_share"))

    __hash__ = None  # type: ignore[assignment]

    def subset(self, chosen: BoolArray) -> EnergyLimit:
        """The limits of some of the devices: ``chosen`` is a mask (n,)."""
        return replace(self, **{name: getattr(self, name)[chosen] for name in _ENERGY_ARRAYS})

    def check(self, ids: IntArray) -> EnergyLimit:
        """The same with float64 arrays. Raises AllocationError naming field, device and value."""
        arrays = {name: _per_device(f"energy.{name}", getattr(self, name), ids, upper) for name, upper in _ENERGY_ARRAYS.items()}
        for name in ("budget_j", "frequency_hz", "frequency_min_hz", "power_w", "power_min_w"):
            _refuse_device(f"energy.{name}", arrays[name], ids, arrays[name] <= 0, "must be above 0")
        for least, most in (("frequency_min_hz", "frequency_hz"), ("power_min_w", "power_w")):
            _refuse_device(f"energy.{least}", arrays[least], ids, arrays[least] > arrays[most], f"must not be above energy.{most}")
        for name, value in (("efficiency", self.efficiency), ("uplink_share", self.uplink_share)):
            if not 0 < value <= 1:
                raise AllocationError(f"energy.{name} is {value!r}, must be in (0, 1]")
        return EnergyLimit(**arrays, efficiency=float(self.efficiency), uplink_share=float(self.uplink_share))


@dataclass(frozen=True, slots=True, eq=False)
class PruningCost:
    """What a pruning ratio costs: phi(rho), convex and increasing from phi(0) = 0, straight between knots.

    ``ratio`` (m,): knots, rising from 0 to 1, m >= 2; ``cost`` (m,): phi there. The pruning error of a mask, relative to
    ||u||^2, is such a curve: phi(1) = 1. The linear phi = rho gives the objective of (P).
    """

    ratio: FloatArray
    cost: FloatArray

    def __post_init__(self) -> None:
        """Arrays to float64. Raises AllocationError where the curve is not as it must be."""
        ratio, cost = (np.asarray(value, np.float64) for value in (self.ratio, self.cost))
        object.__setattr__(self, "ratio", ratio)
        object.__setattr__(self, "cost", cost)
        if ratio.ndim != 1 or ratio.shape != cost.shape or ratio.size < 2:
            raise AllocationError(f"pruning_cost: ratio has shape {ratio.shape} and cost {cost.shape}: both must be (m,), m >= 2")
        if not (np.isfinite(cost).all() and ratio[0] == 0 and ratio[-1] == 1 and (np.diff(ratio) > 0).all()):
            raise AllocationError("pruning_cost: ratio must rise from 0 to 1, and cost be finite")
        slope = np.diff(cost) / np.diff(ratio)
        if cost[0] != 0 or slope[0] < 0 or (np.diff(slope) < -1e-9 * slope[-1]).any():
            raise AllocationError(f"pruning_cost: cost must be 0 at 0, increasing and convex; its slopes are {slope}")

    def __eq__(self, other: object) -> bool:
        """The same numbers, bit for bit."""
        return _same(self, other, ("ratio", "cost"))

    __hash__ = None  # type: ignore[assignment]

    @property
    def slope(self) -> FloatArray:
        """Slopes phi' between the knots (m - 1,), rising (rounding may not let it fall)."""
        return np.asarray(np.maximum.accumulate(np.diff(self.cost) / np.diff(self.ratio)))

    def value(self, prune_ratio: ArrayLike) -> FloatArray:
        """phi(rho) of ratios in [0, 1]."""
        return np.asarray(np.interp(np.asarray(prune_ratio, np.float64), self.ratio, self.cost))


@dataclass(frozen=True, slots=True)
class AllocationProblem:
    """Problem (P): choose pruning ratios rho and bandwidths B of the devices of one round.

        minimise    sum_k w_k rho_k
        subject to  fixed_time + (1 - rho) prunable_time + (fixed_bits + (1 - rho) prunable_bits) / R(B) <= T
                    sum_k B_k <= bandwidth,  0 <= rho_k <= prune_max_k,  B_k >= 0

    Arrays (n,). ``snr_hz`` is s = p g / (N0 Gamma): the SNR in 1 Hz [Hz]. Times in s, sizes in bit. Two optional fields widen it:
    ``energy`` (budgets per device, transmit power and clock as further variables; for ``kkt_energy``), ``pruning_cost`` (phi(rho) in
    place of rho in the sum; for ``pruning_aware``). Allocators that do not know them solve (P) as it stands above.
    Source: Liu et al., IEEE TSP 2024 (arXiv 2309.01816), generalised by weights and fixed parts.
    """

    round: int
    device_ids: IntArray
    weight: FloatArray
    fixed_time_s: FloatArray
    prunable_time_s: FloatArray
    fixed_bits: FloatArray
    prunable_bits: FloatArray
    snr_hz: FloatArray
    prune_max: FloatArray
    bandwidth_hz: float
    latency_threshold_s: float
    rate: Rate = field(default_factory=Shannon)
    energy: EnergyLimit | None = None
    pruning_cost: PruningCost | None = None

    def __post_init__(self) -> None:
        """Arrays to float64 (``weight`` and ``prune_max`` may be scalars). Raises AllocationError naming field, device and value."""
        ids = np.atleast_1d(np.asarray(self.device_ids, np.int64))
        object.__setattr__(self, "device_ids", ids)
        for name, upper in _PROBLEM_ARRAYS.items():
            object.__setattr__(self, name, _per_device(name, getattr(self, name), ids, upper))
        if not 0 < self.bandwidth_hz < np.inf:
            raise AllocationError(f"bandwidth_hz is {self.bandwidth_hz!r} Hz, must be positive and finite")
        if not 0 <= self.latency_threshold_s < np.inf:
            raise AllocationError(f"latency_threshold_s is {self.latency_threshold_s!r} s, must be >= 0 and finite")
        if self.energy is not None:
            object.__setattr__(self, "energy", self.energy.check(ids))


@dataclass(frozen=True, slots=True)
class Certificate:
    """How far a solution is from optimal: relative residuals of the Karush-Kuhn-Tucker conditions, all >= 0."""

    primal: float
    dual: float
    complementarity: float
    stationarity: float
    gap: float

    @property
    def worst(self) -> float:
        """The largest of the residuals."""
        return max(self.primal, self.dual, self.complementarity, self.stationarity, self.gap)


@dataclass(frozen=True, slots=True)
class Allocation:
    """An allocator's answer; arrays (n,) in the order of the problem.

    A device that is not selected has bandwidth 0 and pruning ratio 1, and latency inf.
    ``latency_s``: planned time of each device's round. ``objective``: sum of w_k rho_k, a device that is
    not selected counting w_k. ``multiplier``: lambda of the bandwidth constraint [1/Hz], NaN where the
    allocator has none. ``feasible``: every device of the problem could be served within the threshold.
    ``certificate``: only from allocators that claim optimality. ``transmit_power_w``, ``frequency_hz``: radiated power [W] and clock [Hz]
    that an allocator chose under the problem's ``energy``, NaN for a device that is not selected; None leaves both as they are.
    """

    selected: BoolArray
    prune_ratio: FloatArray
    bandwidth_hz: FloatArray
    latency_s: FloatArray
    objective: float
    multiplier: float
    feasible: bool
    certificate: Certificate | None = None
    transmit_power_w: FloatArray | None = None
    frequency_hz: FloatArray | None = None


@runtime_checkable
class Allocator(Protocol):
    """Role ``allocator``: a pure function from a problem (and a random stream) to an allocation."""

    def allocate(self, problem: AllocationProblem, rng: np.random.Generator) -> Allocation: ...


class Selection(Protocol):
    """Role ``selection``: which of the devices that are there take part in a round's problem."""

    def select(self, problem: AllocationProblem, rng: np.random.Generator) -> BoolArray: ...


# --- learning ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Workload:
    """What a round costs each device, for planning: bounds linear in the kept fraction y; arrays (devices,).

    Work = fixed_flops + y prunable_flops; upload = fixed_bits + y prunable_bits; download_bits as sent.
    ``weight``: w_k, the device's weight in the objective, summing to 1. ``prunable_parameters``: N.
    """

    weight: FloatArray
    fixed_flops: FloatArray
    prunable_flops: FloatArray
    fixed_bits: FloatArray
    prunable_bits: FloatArray
    download_bits: FloatArray
    prunable_parameters: int


@dataclass(frozen=True, slots=True)
class Submodels:
    """The sub-models handed out in a round; arrays (n,). All of it is known before anything is trained.

    ``prune_ratio``: realised, floor(rho N) / N; a little more where whole units go. ``payload_bits``: the exact length of
    the encoded upload. ``flops``: work counted on the real sub-model. ``pruning_error`` = sum_k w_k ||u - u m_k||^2 and
    ``pruning_bound`` = ||u||^2 sum_k w_k rho_k over the prunable part of these devices, at the ratios that were asked for.
    """

    device_ids: IntArray
    prune_ratio: FloatArray
    payload_bits: FloatArray
    flops: FloatArray
    pruning_error: float
    pruning_bound: float


@dataclass(frozen=True, slots=True)
class Update:
    """What an aggregation did. ``train_loss`` (devices,): NaN where no training of a device ended since the last one.

    ``rejected``: ids of arrived devices whose update was refused (not finite).
    ``coverage_min``: least number of aggregated devices that kept a prunable parameter;
    ``uncovered_fraction``: share of prunable parameters that nobody kept.
    """

    train_loss: FloatArray
    rejected: IntArray
    coverage_min: float
    uncovered_fraction: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Accuracies in [0, 1]; arrays (devices,), NaN where not evaluated.

    ``accuracy``: of the pruned model that the device would use, (u * m_k, v_k), with its mask of this round, or that of the work it is
    still at; a device with neither uses (u, v_k). ``accuracy_full``: of (u, v_k). Both on the device's local test data.
    ``global_accuracy``: of the global model (personal parts averaged) on all test data.
    """

    accuracy: FloatArray
    accuracy_full: FloatArray
    global_accuracy: float


@dataclass(frozen=True, slots=True)
class Mixing:
    """How updates enter the model u of this moment, one per arrived device: before averaging, u_k is replaced by

        u'_k = u + scale_k (u_k - r_k)        on the parameters that the device kept

    with r_k = u (``reference`` "current": u_k is mixed in with weight scale_k) or the model with which the device began ("own": its
    change is applied to the newest model). ``scale`` (m,), > 0.
    """

    scale: FloatArray
    reference: Literal["current", "own"]


class Learner(Protocol):
    """Models, data and training of all devices. It knows rounds, no clock and no radio.

    A round: ``assign`` fixes masks (so payloads and work are known); ``start`` hands in a ticket when a device
    begins its local work with the model of that moment; ``finish`` says that the work is done, ``cancel`` that
    it never will be; ``aggregate`` runs all finished tickets as one batch, keeps every personal part, and merges
    the updates of those that arrived. A ticket still unfinished stays pending: nobody sees its result yet.

    Several servers have a model each, and merge the updates of those who began with it; ``join_servers`` makes one model of theirs.
    """

    def workload(self) -> Workload: ...
    def pruning_cost(self, server: int = 0) -> PruningCost | None:
        """The pruning error as a function of the ratio, by a server's weights of this moment; None without weights."""
        ...

    def assign(self, round_index: int, device_ids: IntArray, prune_ratio: FloatArray, server: IntArray | None = None) -> Submodels:
        """``server`` (devices,): whose model each of all devices is given; None: that of the only one."""
        ...

    def start(self, round_index: int, device_id: int) -> None: ...
    def finish(self, device_id: int) -> None: ...
    def cancel(self, device_id: int) -> None: ...
    def aggregate(self, round_index: int, arrived: IntArray, mixing: Mixing | None = None) -> Update:
        """``mixing``: in the order of ``arrived``; None: updates enter as they are."""
        ...

    def join_servers(self) -> None:
        """All servers get the average of their models, each parameter weighted by the devices that kept it since the last time."""
        ...

    def evaluate(self, round_index: int, *, final: bool = False) -> Evaluation:
        """Accuracies after a round; ``final``: it is the run's last, so that rules such as "every third" do not apply."""
        ...

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """Everything needed to go on, as named arrays; tickets not yet run are saved as tickets."""
        ...

    def restore(self, state: Mapping[str, NDArray[np.generic]]) -> None: ...


class Learning(Protocol):
    """Role ``learning``."""

    def start(self, devices: int, streams: Streams, *, workers: int, servers: int = 1) -> Learner:
        """``workers``: training threads; any number gives the same bits. ``servers``: how many aggregate, each for itself."""
        ...
