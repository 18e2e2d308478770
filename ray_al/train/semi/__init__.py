"""Kinds of losses on unlabelled pixels, one file per kind."""
