"""The tables hold what the contract promises, and the page about them is made from them."""

from pathlib import Path
from typing import get_args

import pytest

from cosim.trace.schema import STATUSES, TABLES, Status, markdown

PROMISED = {
    "rounds": """round t_start_s t_end_s latency_s planned_latency_s latency_threshold_s devices_selected devices_arrived
        devices_dropped prune_ratio_mean bandwidth_used_hz objective multiplier feasible uplink_bits energy_j
        train_loss accuracy_mean accuracy_p10 global_accuracy pruning_error pruning_bound coverage_min uncovered_fraction""",
    "devices": """round device selected status x_m y_m speed_m_s distance_m los
        pathloss_db shadowing_db gain_planned_db prune_ratio bandwidth_hz payload_bits t_download_s t_compute_s t_wait_s
        t_upload_s t_total_s t_planned_s straggler_factor kept_flops energy_compute_j energy_transmit_j train_loss accuracy accuracy_full""",
    "radio": "round t_s device x_m y_m speed_m_s gain_db snr_db blocks rate_bps",
    "events": "t_s kind round device detail",
}
UNIT_OF_SUFFIX = {
    "_s": "s",
    "_m": "m",
    "_m_s": "m/s",
    "_hz": "Hz",
    "_db": "dB",
    "_bits": "bit",
    "_bps": "bit/s",
    "_j": "J",
    "_flops": "FLOP",
    "_w": "W",
}


@pytest.mark.parametrize("name", PROMISED)
def test_promised_columns_exist(name):
    assert set(PROMISED[name].split()) <= set(TABLES[name].column_names)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_columns_are_unique_documented_and_named_with_their_unit(table):
    assert len(set(table.column_names)) == len(table.columns)
    for column in table.columns:
        assert column.meaning
        suffix = max((s for s in UNIT_OF_SUFFIX if column.name.endswith(s)), key=len, default=None)
        assert column.unit == UNIT_OF_SUFFIX[suffix] if suffix else column.unit in ("", "1/Hz")


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_arrow_fields_carry_unit_and_meaning(table):
    for column, field in zip(table.columns, table.arrow_schema(), strict=True):
        assert field.name == column.name
        assert field.metadata == {b"unit": column.unit.encode(), b"meaning": column.meaning.encode()}


def test_every_status_has_a_meaning():
    assert set(STATUSES) == set(get_args(Status))


def test_docs_page_is_up_to_date():
    page = Path(__file__).parents[3] / "docs" / "trace.md"
    assert page.read_text(encoding="utf-8") == markdown(), "run: python -m cosim.trace.schema > docs/trace.md"
