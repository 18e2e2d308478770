"""Curves, pictures and the HTML report of a run, from its journal and the files it names."""
