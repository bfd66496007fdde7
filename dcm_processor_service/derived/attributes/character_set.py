"""Text of a source that declares no character set and yet goes beyond ASCII (PS3.3, section C.12.1.1.2).

Text under a character set that is unknown, or that it is not in, is such as well. It is in whatever the maker's
computer used. What is UTF-8 is known to be, since other text hardly ever has its pattern. Single letters between ASCII
ones are Latin-1, as in ``Müller``. Runs of other bytes, as of a Cyrillic name in Windows-1251, could be of several
character sets, and to declare one of them would make them another name. So could a letter of a name that Latin-1 has a
sign for, as the Polish one of ``Paw³owski``, or an Icelandic letter, as the Turkish ones of ``Yýldýz``. It is no way
out to copy the bytes without a declaration: the other text of the object is in UTF-8.
"""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING

from pydicom.charset import convert_encodings, default_encoding

from dcm_processor_service.imaging.headers.values import texts

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["NOT_DECODED", "declares_characters", "undeclared_text"]

_AMBIGUOUS = re.compile(rb"[\x80-\x9f]|[\xa0-\xff]{2}|[A-Za-z][\xa1-\xbf\xd7\xf7][A-Za-z]")
_NO_LETTER_OF_A_NAME = re.compile(rb"[\xa0-\xbf\xd0\xd7\xdd\xde\xf0\xf7\xfd\xfe]")
NOT_DECODED = "\ufffd"
"""What pydicom reads where bytes are not in the declared character set."""
_ESCAPE = b"\x1b"
"""Begins another character set, which none was declared to be."""


def declares_characters(header: Dataset) -> bool:
    """Tells whether a header says what its text beyond ASCII is: a known character set, first or as an extension.

    Example:
        >>> from pydicom import Dataset
        >>> header = Dataset()
        >>> header.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
        >>> declares_characters(header)
        True
        >>> header.SpecificCharacterSet = "ISO_IR 6"
        >>> declares_characters(header)
        False
    """
    names = texts(header, "SpecificCharacterSet")
    if not any(names):
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return any(encoding != default_encoding for encoding in convert_encodings(list(names)))


def undeclared_text(read: str | bytes, *, is_name: bool = False) -> str | None:
    """Returns what undeclared text says; None where that cannot be known.

    Args:
        read: The bytes, or what pydicom read them as, which is Latin-1 if no character set is declared.
        is_name: Whether it is a person's name, which has letters alone.

    Example:
        >>> undeclared_text("MÃ¼ller"), undeclared_text("Müller"), undeclared_text("Èâàíîâ") is None
        ('Müller', 'Müller', True)
    """
    try:
        content = read if isinstance(read, bytes) else read.encode("latin-1")
    except UnicodeEncodeError:  # not read from a file
        return str(read)
    if _ESCAPE in content or NOT_DECODED.encode() in content:
        return None
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        unknown = _AMBIGUOUS.search(content) or (is_name and _NO_LETTER_OF_A_NAME.search(content))
        return None if unknown else content.decode("latin-1")
