"""Regions of images, the units that are queried and labelled.

A kind is one file with one class; `REGIONS` in core/families/regions.py lists them.
"""
