"""Runs to figures, tables and one HTML page. It knows no simulator."""

from __future__ import annotations

from cosim.report.page import write_report as write_report
