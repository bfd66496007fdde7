"""Numbers with their nouns, for messages."""

__all__ = ["counted"]


def counted(number: int, one: str, many: str | None = None) -> str:
    """Returns a number with its noun, such as ``2 studies``.

    Example:
        >>> counted(1, "slice"), counted(2, "slice"), counted(0, "study", "studies")
        ('1 slice', '2 slices', '0 studies')
    """
    return f"{number} {one if number == 1 else many or one + 's'}"
