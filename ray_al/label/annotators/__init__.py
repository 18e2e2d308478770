"""Annotators, one file each."""
