"""Families whose promises need more room than a section of `core/variants.py`: one module each."""
