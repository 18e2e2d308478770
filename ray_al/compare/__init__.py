"""Comparing finished runs over seeds: statistics, tables and pictures. Nothing is run here."""
