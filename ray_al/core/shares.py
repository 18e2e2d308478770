"""Shares as exact decimal fractions.

In binary, 0.3 / 0.1 is a little less than 3, so a share of a count may come out one too small.
"""

from fractions import Fraction


def exact(share: float | int) -> Fraction:
    """Return the decimal fraction that the shortest text of `share` means: 0.1 is one tenth."""
    return Fraction(str(share))
