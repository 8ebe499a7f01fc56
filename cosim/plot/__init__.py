"""Figures for papers, on matplotlib: ``run.plot`` and ``study.plot``. They know frames, not where these come from."""
