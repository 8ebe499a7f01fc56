"""Runs to figures, tables and one HTML page. It knows no simulator."""
