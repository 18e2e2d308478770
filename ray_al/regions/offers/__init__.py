"""Offers, one file each.

An image of a sparse kind has a region at every pixel, and an offer picks the few that the image
offers to a query.
"""
