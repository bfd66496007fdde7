"""The names that there are, for the sentence about one that there is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["listed_names"]

_MOST_LISTED = 20


def listed_names(names: Sequence[str]) -> str:
    """Returns the names in quotation marks, the first 20 of them; "none" if there are none.

    Example:
        >>> listed_names(["a.txt", "b.txt"])
        "'a.txt', 'b.txt'"
    """
    more = f" and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else ""
    return ", ".join(map(repr, names[:_MOST_LISTED])) + more or "none"
