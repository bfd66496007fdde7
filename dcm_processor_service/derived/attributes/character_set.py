"""Text of a source that declares no character set and yet goes beyond ASCII (PS3.3, section C.12.1.1.2).

Such text is in whatever the maker's computer used. What is UTF-8 is known to be, since other text hardly ever has its
pattern. Single letters between ASCII ones are Latin-1, as in ``Müller``. Runs of other bytes, as of a Cyrillic name in
Windows-1251, could be of several character sets, and to declare one of them would make them another name.
"""

from __future__ import annotations

import re

__all__ = ["undeclared_text"]

_AMBIGUOUS = re.compile(rb"[\x80-\x9f]|[\xa0-\xff]{2}")


def undeclared_text(read: str | bytes) -> str | None:
    """Returns what undeclared text says; None where that cannot be known.

    Args:
        read: The bytes, or what pydicom read them as, which is Latin-1 if no character set is declared.

    Example:
        >>> undeclared_text("MÃ¼ller"), undeclared_text("Müller"), undeclared_text("Èâàíîâ") is None
        ('Müller', 'Müller', True)
    """
    try:
        content = read if isinstance(read, bytes) else read.encode("latin-1")
    except UnicodeEncodeError:  # not read from a file
        return str(read)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return None if _AMBIGUOUS.search(content) else content.decode("latin-1")
