"""Provide the steps of a run, one a file: when it is due, what it does, the record it gives."""
