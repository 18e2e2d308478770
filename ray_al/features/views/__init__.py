"""Kinds of views whose features are stored, one file per kind."""
