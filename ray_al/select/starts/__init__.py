"""Start rules: one file is one rule (`ray_al/core/families/start.py`)."""
