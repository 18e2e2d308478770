"""Families of variants that are large enough for a module of their own: what each promises, and which there are."""
