"""Shares as they are written: in binary, 0.3 / 0.1 is a little less than 3, and a share of a count falls a whole one short."""

from fractions import Fraction


def exact(share: float | int) -> Fraction:
    """`share` as the decimal fraction that its shortest text is: `exact(0.1)` is one tenth."""
    return Fraction(str(share))
