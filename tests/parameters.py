"""Makes ids of parametrised tests that are the same in every process, which a parallel run needs."""

from __future__ import annotations

import re

ID_CHARACTERS = 40


def shown(value: object) -> str:
    """Returns a value's start, without the address that a repr may hold and the order that a set has by chance."""
    if isinstance(value, (set, frozenset)):
        return f"{type(value).__name__} of {sorted(map(repr, value))}"[:ID_CHARACTERS]
    return re.sub(r"0[xX][0-9a-fA-F]+", "0x", repr(value))[:ID_CHARACTERS]
