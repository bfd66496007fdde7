"""Lists the names that exist, for the message about a name that does not exist."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["listed_names"]

_MOST_LISTED = 20


def listed_names(names: Sequence[str]) -> str:
    """Returns the first 20 names in quotation marks, and how many more there are; "none" if there are no names.

    Example:
        >>> listed_names(["a.txt", "b.txt"])
        "'a.txt', 'b.txt'"
    """
    more = f" and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else ""
    return ", ".join(map(repr, names[:_MOST_LISTED])) + more or "none"
