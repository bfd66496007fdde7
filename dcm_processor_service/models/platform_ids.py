"""Ids in the platform's form: 24 hexadecimal digits."""

from __future__ import annotations

import hashlib
import re

__all__ = ["NO_ID", "is_platform_id", "platform_id"]

NO_ID = "0" * 24
"""An id that stands for nothing, where a process has no session or job."""

_ID_DIGITS = 24
_FORM = re.compile(rf"[0-9a-fA-F]{{{_ID_DIGITS}}}")


def is_platform_id(text: str) -> bool:
    """Returns whether a text has the form of an id."""
    return _FORM.fullmatch(text) is not None


def platform_id(*parts: str) -> str:
    """Returns an id that is the same for the same parts.

    Example:
        >>> platform_id("series", "1.2.3") == platform_id("series", "1.2.3")
        True
    """
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()[:_ID_DIGITS]
