"""Quote the errors of other packages in messages."""

MAX_CHARACTERS = 300


def shortened(error: Exception) -> str:
    """Return the text of an error in one line of at most 300 characters."""
    return " ".join(str(error).split())[:MAX_CHARACTERS]
