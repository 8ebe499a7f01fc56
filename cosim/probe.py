"""Parts of a scenario by themselves: a link over time (``cosim channel``), and who has which data (``cosim data``)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from cosim.errors import CosimError
from cosim.rng import Streams
from cosim.start import start_world
from cosim.units import THERMAL_NOISE_DBM_HZ, to_db

if TYPE_CHECKING:
    import pandas as pd

    from cosim.scenario import Scenario

TABLES: Final = (".csv", ".parquet")
FIGURES: Final = (".png", ".pdf", ".svg")
_ROWS_MAX: Final = 10_000_000


def check_target(out: Path) -> None:
    """Raises CosimError unless the file's name says table or figure, and its folder is there."""
    if out.suffix not in (*TABLES, *FIGURES):
        raise CosimError(f"--out {out}: must end in one of {', '.join((*TABLES, *FIGURES))}")
    if not out.parent.is_dir():
        raise CosimError(f"--out {out}: no such folder: {out.parent}")


def sample(scenario: Scenario, device: int, *, duration_s: float, step_s: float) -> pd.DataFrame:
    """The uplink of one device at times 0, step, 2 step, ... < duration, a row each.

    Columns: ``t_s, x_m, y_m, speed_m_s, gain_db`` (with small-scale fading, averaged over the band), ``mean_gain_db`` (without),
    ``snr_db`` (all power over the whole uplink band, gap included), ``los``; of several sites also ``site``, which serves it.

    Raises:
        CosimError: there is no such device, or there would be too many rows.
    """
    import pandas as pd

    if not 0 <= device < scenario.devices.count:
        raise CosimError(f"--device {device}: the scenario has devices 0 to {scenario.devices.count - 1}")
    rows = int(np.ceil(duration_s / step_s - 1e-9))
    if not 1 <= rows <= _ROWS_MAX:
        raise CosimError(f"--duration {duration_s:g} s in steps of {step_s:g} s is {rows} rows; must be 1 to {_ROWS_MAX}")
    world, times, ids = start_world(scenario), np.asarray(np.arange(rows) * step_s), np.array([device])
    where, gain_db = world.large_scale(times, ids), to_db(world.gain(times, ids)[:, 0])
    site = world.serving(times, ids)[:, 0]
    noise_figure_db = np.array([each.noise_figure_db for each in scenario.sites])[site]
    noise_dbm = THERMAL_NOISE_DBM_HZ + noise_figure_db + to_db(scenario.uplink.bandwidth_hz)
    return pd.DataFrame(
        {
            "t_s": times,
            "x_m": where.x_m[:, 0],
            "y_m": where.y_m[:, 0],
            "speed_m_s": where.speed_m_s[:, 0],
            "gain_db": gain_db,
            "mean_gain_db": to_db(world.mean_gain(times, ids)[:, 0]),
            "snr_db": gain_db + scenario.devices.transmit_power_dbm - noise_dbm - to_db(scenario.uplink.gap),
            "los": where.los[:, 0],
            **({"site": site} if len(scenario.sites) > 1 else {}),
        }
    )


def partition_table(scenario: Scenario) -> pd.DataFrame:
    """Who has how much of what, a row for each device; nothing is simulated or trained.

    Columns: ``device, samples, test_samples``, and ``class_0, class_1, ...``: training images of each class.

    Raises:
        CosimError: the scenario trains nothing, or its data cannot be had or dealt.
    """
    import pandas as pd

    from cosim.learn.federated import Federated

    learning = scenario.learning
    if not isinstance(learning, Federated):
        raise CosimError("learning: the scenario has no data: only learning.kind federated deals data to devices")
    data, shares = learning.deal(scenario.devices.count, Streams(scenario.seed))
    counts = np.array([np.bincount(data.train_labels[share], minlength=learning.dataset.classes) for share in shares.train])
    table = pd.DataFrame(counts, columns=[f"class_{label}" for label in range(counts.shape[1])])
    table.insert(0, "device", np.arange(len(table)))
    table.insert(1, "samples", counts.sum(axis=1))
    table.insert(2, "test_samples", [len(share) for share in shares.test])
    return table


def write_partition(table: pd.DataFrame, out: Path) -> None:
    """Write the table as the file's name says: a table, or a figure of classes stacked over devices."""
    if out.suffix in TABLES:
        save = table.to_csv if out.suffix == ".csv" else table.to_parquet
        save(out, index=False)
        return
    from matplotlib.figure import Figure

    from cosim.plot.partition import partition

    figure = Figure(figsize=(min(12.0, max(3.5, 0.12 * len(table))), 2.6), layout="constrained")
    partition(table, figure.subplots())
    figure.savefig(out, dpi=150)


def write(samples: pd.DataFrame, out: Path, title: str) -> None:
    """Write samples as the file's name says: a table, or a figure of gain, SNR and speed over time."""
    if out.suffix == ".csv":
        samples.to_csv(out, index=False)
    elif out.suffix == ".parquet":
        samples.to_parquet(out, index=False)
    else:
        _draw(samples, out, title)


def _draw(samples: pd.DataFrame, out: Path, title: str) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 6.0), layout="constrained")
    gain, snr, speed = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 2))
    time = samples["t_s"].to_numpy()
    gain.plot(time, samples["gain_db"].to_numpy(), linewidth=0.6, color="0.6", label="with fading")
    gain.plot(time, samples["mean_gain_db"].to_numpy(), color="tab:blue", label="mean")
    snr.plot(time, samples["snr_db"].to_numpy(), linewidth=0.6, color="tab:blue")
    speed.plot(time, samples["speed_m_s"].to_numpy(), color="tab:blue")
    for axes, name in ((gain, "gain [dB]"), (snr, "SNR over the band [dB]"), (speed, "speed [m/s]")):
        low, high = axes.get_ylim()
        axes.fill_between(time, low, high, where=samples["los"].to_numpy(), step="post", color="tab:green", alpha=0.12, linewidth=0)
        axes.set_ylim(low, high)
        axes.set_ylabel(name)
        axes.grid(visible=True, linewidth=0.4, alpha=0.5)
    gain.set_title(f"{title}; shaded: line of sight")
    gain.legend(loc="upper right")
    speed.set_xlabel("time [s]")
    figure.savefig(out, dpi=130)
