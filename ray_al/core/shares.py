"""Shares as exact decimal fractions, and as text."""

import math
from fractions import Fraction


def exact(share: float | int) -> Fraction:
    """Return the decimal fraction that the shortest text of `share` means: 0.1 is one tenth.

    In binary, 0.3 / 0.1 is a little less than 3, so a share of a count may come out one too small.
    """
    return Fraction(str(share))


def percent(share: float) -> str:
    """Return a share in %, without the unit: two decimals, below .1 % the first two digits.

    >>> percent(0.12345), percent(0.0002345), percent(0.0)
    ('12.35', '0.023', '0.00')
    """
    value = 100 * share
    decimals = 2 if value == 0 else max(2, 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{decimals}f}"
