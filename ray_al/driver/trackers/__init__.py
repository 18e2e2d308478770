"""Trackers, one file each."""
