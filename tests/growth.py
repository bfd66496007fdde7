"""How work grows with its size: an exponent of counts, which do not depend on the machine as times do."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["LINEAR", "exponent"]

LINEAR = 1.2
"""The largest exponent of work that is meant to be linear."""


def exponent(sizes: Sequence[float], counts: Sequence[float]) -> float:
    """Returns the slope of counts over sizes, both as logarithms, by least squares: 1 is linear, 2 is quadratic.

    Example:
        >>> round(exponent([1, 2, 4], [3, 6, 12]), 6), round(exponent([1, 2, 4], [1, 4, 16]), 6)
        (1.0, 2.0)
    """
    rows = [(math.log(size), math.log(max(count, 1e-12))) for size, count in zip(sizes, counts, strict=True)]
    middle_x = sum(x for x, _y in rows) / len(rows)
    middle_y = sum(y for _x, y in rows) / len(rows)
    return sum((x - middle_x) * (y - middle_y) for x, y in rows) / sum((x - middle_x) ** 2 for x, _y in rows)
