"""Comparing finished runs over seeds: statistics, tables, pictures. Reads runs and sweeps; runs none."""
