"""Start rules, which choose a start set: one file per rule; see `core/families/start.py`."""
