"""Ids in the platform's form: 24 hexadecimal digits."""

from __future__ import annotations

import hashlib
import re

__all__ = ["NO_ID", "file_stem", "is_platform_id", "platform_id"]

NO_ID = "0" * 24
"""The id of no session and no job, for a process that has none."""

_ID_DIGITS = 24
_FORM = re.compile(rf"[0-9a-fA-F]{{{_ID_DIGITS}}}")
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_UID_CHARACTERS = 64


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


def file_stem(text: str) -> str:
    """Returns a file name for an id or a UID: the text itself if it is valid (PS3.5, section 9.1), or a digest of it.

    A header or a database may hold any text in its place, even a path that leads out of the folder.

    Example:
        >>> file_stem("1.2.840.1"), file_stem("../../x")
        ('1.2.840.1', '11b3697d6964fe05011e5907')
    """
    if is_platform_id(text) or (len(text) <= _UID_CHARACTERS and _UID.fullmatch(text)):
        return text
    return platform_id("file", text)
