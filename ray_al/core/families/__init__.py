"""Families of variants that are large enough for a module of their own."""
