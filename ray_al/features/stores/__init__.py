"""Kinds of feature stores, one file per kind."""
