"""What a run writes down besides its two main tables."""

from __future__ import annotations

from typing import final

from cosim.component import Component, quantity


@final
class TraceSettings(Component):
    """The optional tables of a run directory."""

    events: bool = quantity(default=False, unit="", meaning="write events.parquet: what happened when")
    radio_interval_s: float | None = quantity(None, "s", "sampling period of radio.parquet; null: no such table", gt=0)
