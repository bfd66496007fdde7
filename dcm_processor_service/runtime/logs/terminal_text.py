"""Escapes the characters of a text that would control a terminal, in log lines, messages and output of commands."""

from __future__ import annotations

import json
import re

__all__ = ["UNPRINTABLE", "escape_of", "visible", "visible_json"]

UNPRINTABLE = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters except tab and line feed
    "\u061c\u200e\u200f\u2028-\u202e\u2060-\u206f"  # characters that change the direction or begin a line
    "\u00ad\u180e\u200b\ufeff\ufff9-\ufffb"  # characters without shape: soft hyphens, spaces without width, marks
    "\ud800-\udfff\U000e0000-\U000e007f"  # lone surrogates, tags
    "]"
)


def escape_of(match: re.Match[str]) -> str:
    """Returns the escape of a character, as Python writes it; needs no other name, so it works at the process's end."""
    return ascii(match[0])[1:-1]


def visible(text: str) -> str:
    r"""Returns a text with an escape in place of each character that would control a terminal or be invisible in it.

    Example:
        >>> visible("CT\x1b[2J\u202egnp.exe")
        'CT\\x1b[2J\\u202egnp.exe'
    """
    return UNPRINTABLE.sub(escape_of, text)


def visible_json(text: str) -> str:
    r"""Returns the same JSON with escapes for such characters; JSON has them only in strings.

    Example:
        >>> visible_json('{"modality": "CT\x9b2J"}')
        '{"modality": "CT\\u009b2J"}'
    """
    return UNPRINTABLE.sub(lambda match: json.dumps(match[0])[1:-1], text)
