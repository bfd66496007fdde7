"""Checks texts of callers before they become values of DICOM (PS3.5, sections 6.1.3 and 6.2)."""

from __future__ import annotations

import re

from dcm_processor_service.errors import DerivedObjectError

__all__ = ["is_keyword", "require_keyword", "require_line", "require_lines"]

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters, and lone surrogates, which no encoding of text can hold."""
_KEYWORD = re.compile(r"[A-Z0-9_](?:[A-Z0-9_ ]{0,14}[A-Z0-9_])?")


def require_line(what: str, words: object, most: int | None = None) -> str:
    """Returns the text if it is one line.

    Args:
        what: Name of the text in the error message, which does not repeat the text itself.
        words: The text.
        most: Largest number of characters; None for no limit.

    Raises:
        DerivedObjectError: The text is empty or too long, or holds a backslash, which DICOM takes as a separator of
            values, a line break or another control character.

    Example:
        >>> require_line("the name", "left kidney")
        'left kidney'
    """
    is_line = isinstance(words, str) and words.strip() and "\\" not in words and words.isprintable()
    if not isinstance(words, str) or not is_line or len(words) > (most or len(words)):
        limit = "" if most is None else f" of at most {most} characters"
        raise DerivedObjectError(
            f"{what} is not a line of text{limit} without backslash and control characters: change it"
        )
    return words


def require_lines(what: str, words: object, most: int | None = None) -> str:
    r"""Returns the text, which may have line breaks; tabs become spaces, as not all readers know tabs.

    Raises:
        DerivedObjectError: ``words`` is not text, or too long, or holds control characters other than tabs and line
            breaks.

    Example:
        >>> require_lines("the report", "size:\t6 mm")
        'size:   6 mm'
    """
    if not isinstance(words, str) or _CONTROL.search(words) or len(words) > (most or len(words)):
        limit = "" if most is None else f" of at most {most} characters"
        raise DerivedObjectError(f"{what} is not text{limit} without control characters: take them out, or shorten it")
    return words.expandtabs()


def is_keyword(words: str) -> bool:
    """Returns whether a text is a DICOM code string (CS)."""
    return _KEYWORD.fullmatch(words) is not None


def require_keyword(what: str, words: object) -> str:
    """Returns the text if it is a DICOM code string (CS).

    Raises:
        DerivedObjectError: The text is not a code string.

    Example:
        >>> require_keyword("content_label", "LIVER_V2")
        'LIVER_V2'
    """
    if not isinstance(words, str) or not is_keyword(words):
        raise DerivedObjectError(
            f"{what} holds upper-case letters, digits and underscores, at most 16 (PS3.5, section 6.2): change it"
        )
    return words
