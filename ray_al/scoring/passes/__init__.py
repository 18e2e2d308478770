"""Passes, which make several predictions of one image: one file per kind; `PASSES` lists them."""
