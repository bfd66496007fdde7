"""Ids of parametrised tests that are the same in every process, as running on several cores needs."""

from __future__ import annotations

import re

ID_CHARACTERS = 40


def shown(value: object) -> str:
    """Gives a value's start, without the address that a repr may hold."""
    return re.sub(r"0[xX][0-9a-fA-F]+", "0x", repr(value))[:ID_CHARACTERS]
