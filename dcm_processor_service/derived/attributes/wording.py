"""What callers say in words, before it becomes values of DICOM (PS3.5, sections 6.1.3 and 6.2)."""

from __future__ import annotations

import re

from dcm_processor_service.errors import DerivedObjectError

__all__ = ["require_keyword", "require_line", "require_lines"]

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]")
_KEYWORD = re.compile(r"[A-Z0-9_](?:[A-Z0-9_ ]{0,14}[A-Z0-9_])?")


def require_line(what: str, words: object, most: int | None = None) -> str:
    """Returns one line of text.

    Args:
        what: What it is, for the message, which does not repeat the text.
        words: The text.
        most: How many characters it may have; None where longer ones are cut, or do not matter.

    Raises:
        DerivedObjectError: It is empty or too long, or holds a backslash, which would make several values of it, or a
            line break or another control character.

    Example:
        >>> require_line("the name", "left kidney")
        'left kidney'
    """
    is_line = isinstance(words, str) and words.strip() and "\\" not in words and words.isprintable()
    if not isinstance(words, str) or not is_line or len(words) > (most or len(words)):
        limit = "" if most is None else f" of at most {most} characters"
        raise DerivedObjectError(
            f"{what} is no line of text{limit} without backslash and control characters: change it"
        )
    return words


def require_lines(what: str, words: object, most: int | None = None) -> str:
    r"""Returns text that may have line breaks, with spaces in place of tabs, which not all readers know.

    Raises:
        DerivedObjectError: It is no text, or too long, or holds control characters besides line breaks.

    Example:
        >>> require_lines("the report", "size:\t6 mm")
        'size:   6 mm'
    """
    if not isinstance(words, str) or _CONTROL.search(words) or len(words) > (most or len(words)):
        limit = "" if most is None else f" of at most {most} characters"
        raise DerivedObjectError(f"{what} is no text{limit} without control characters: take them out, or shorten it")
    return words.expandtabs()


def require_keyword(what: str, words: object) -> str:
    """Returns a value of the kind code string.

    Raises:
        DerivedObjectError: It is none.

    Example:
        >>> require_keyword("content_label", "LIVER_V2")
        'LIVER_V2'
    """
    if not isinstance(words, str) or not _KEYWORD.fullmatch(words):
        raise DerivedObjectError(
            f"{what} holds upper-case letters, digits and underscores, at most 16 (PS3.5, section 6.2): change it"
        )
    return words
