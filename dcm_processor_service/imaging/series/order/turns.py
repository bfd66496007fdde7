"""Whether values take turns along a stack, as those of volumes that interleave do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["FEWEST_TURNS", "may_take_turns", "take_turns"]

FEWEST_TURNS = 3
"""How often each value has to come."""


def take_turns(ascending: Sequence[Any]) -> bool:
    """Returns whether a few values repeat along a stack, always in the same order.

    Example:
        >>> take_turns(["a", "b"] * 3), take_turns(["a", "a", "a", "b", "b", "b"])
        (True, False)
    """
    period = len(set(ascending))
    if not 1 < period <= len(ascending) // FEWEST_TURNS:
        return False
    return list(ascending[period:]) == list(ascending[:-period])


def may_take_turns(begun: Sequence[Any], most: int) -> bool:
    """Returns whether the values at the beginning of a stack may take turns: all differ until the first comes again.

    Args:
        begun: The values of the first few slices.
        most: The most values that may take turns.

    Example:
        >>> may_take_turns("abca", 4), may_take_turns("abb", 4), may_take_turns("abcde", 4)
        (True, False, False)
    """
    period = next((index for index, value in enumerate(begun) if index and value == begun[0]), len(begun))
    return period == len(set(begun[:period])) <= most and begun[period:] == begun[: len(begun) - period]
