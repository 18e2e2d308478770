"""Batch rules, which turn scores into queries: one file per rule; see `core/families/batch.py`."""
