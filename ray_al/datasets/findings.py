"""Words that findings about a data set share."""

from collections.abc import Iterable, Sequence

MAX_LISTED = 5
MAX_QUOTED = 2


def listed(names: Iterable[str], num: int | None = None) -> str:
    """Return the first few names and how many more there are.

    Args:
        names: all names, or the first of them.
        num: how many names there are in all; None: `names` are all.
    """
    names = list(names)
    num = len(names) if num is None else num
    more = num - len(names[:MAX_LISTED])
    return ", ".join(names[:MAX_LISTED]) + (f" and {more} more" if more > 0 else "")


def summarized(errors: Sequence[str], num: int, words: str) -> str:
    """Return one message for the errors of some of `num` files.

    A single error is its own message; `words` say of several what is wrong with these files.
    """
    if len(errors) == 1:
        return errors[0]
    first = "; ".join(errors[:MAX_QUOTED]) + ("; ..." if len(errors) > MAX_QUOTED else "")
    return f"{len(errors)} of {num} {words}: {first}"
