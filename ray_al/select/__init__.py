"""From scores to a query: one file is one batch rule (`ray_al/core/families/batch.py`)."""
