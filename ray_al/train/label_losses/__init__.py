"""Kinds of losses of labelled pixels, one file per kind."""
