"""Tells whether values take turns along a stack, as the values of volumes that interleave do.

Values take turns if they repeat, always in the same order, such as a, b, a, b, a, b.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

__all__ = ["FEWEST_TURNS", "TurnsAlongStack", "take_turns"]

FEWEST_TURNS = 3
"""How often each value has to occur."""


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


class TurnsAlongStack:
    """Checks values along a stack, one after the other, until it is clear that they do not take turns.

    Args:
        most: The largest number of different values that may take turns.

    Example:
        >>> turns = TurnsAlongStack(most=2)
        >>> [turns.goes_on(value) for value in "abab"], turns.are_taken, turns.goes_on("b")
        ([True, True, True, True], True, False)
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._round: dict[Hashable, None] = {}
        self._order: list[Hashable] = []
        self._next = 0
        self._is_repeated = False

    def goes_on(self, value: Hashable) -> bool:
        """Takes the next value, and returns whether the values may still take turns.

        It must not be called again after it has returned False.
        """
        if not self._is_repeated and value not in self._round:
            self._round[value] = None
            self._order.append(value)
            return len(self._order) <= self._most
        self._is_repeated = True
        is_next = value == self._order[self._next]
        self._next = (self._next + 1) % len(self._order)
        return is_next

    @property
    def are_taken(self) -> bool:
        """Whether several different values have repeated in the same order, as far as they were checked."""
        return self._is_repeated and len(self._order) > 1
