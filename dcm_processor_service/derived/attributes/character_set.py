"""Decodes text beyond ASCII of a source that declares no character set (PS3.3, section C.12.1.1.2).

Text whose declared character set is unknown or wrong is treated in the same way. Such text is in the encoding of the
computer that wrote it, which the header does not name. Valid UTF-8 is taken as UTF-8, since bytes in other encodings
are hardly ever valid UTF-8. A single byte beyond ASCII between ASCII letters is taken as Latin-1, as in ``Müller``.
Several such bytes in a row, as in a Cyrillic name in Windows-1251, could be in several character sets. They are not
decoded, because a wrong guess would change the name. Names with a byte that Latin-1 reads as a sign (``Paw³owski``, a
Polish letter) or as an Icelandic letter (``Yýldýz``, Turkish letters) are not decoded either. The bytes cannot be
copied without a declaration, because the other text of the object is in UTF-8.
"""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING

from pydicom.charset import convert_encodings, default_encoding

from dcm_processor_service.imaging.headers.values import texts
from dcm_processor_service.models.subjects import NOT_DECODED

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["declares_characters", "undeclared_text"]

_AMBIGUOUS = re.compile(rb"[\x80-\x9f]|[\xa0-\xff]{2}|[A-Za-z][\xa1-\xbf\xd7\xf7][A-Za-z]")
_NO_LETTER_OF_A_NAME = re.compile(rb"[\xa0-\xbf\xd0\xd7\xdd\xde\xf0\xf7\xfd\xfe]")
_ESCAPE = b"\x1b"
"""The byte that begins a switch to another character set (ISO 2022); no such set was declared."""


def declares_characters(header: Dataset) -> bool:
    """Tells whether a header declares a known character set beyond ASCII, as the first one or as an extension.

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
    """Decodes text without a declared character set; returns None if several character sets are possible.

    Args:
        read: The bytes, or the string that pydicom decoded them to, as Latin-1 if no character set is declared.
        is_name: Whether it is a person's name, which has no signs such as ³.

    Example:
        >>> undeclared_text("MÃ¼ller"), undeclared_text("Müller"), undeclared_text("Èâàíîâ") is None
        ('Müller', 'Müller', True)
    """
    try:
        content = read if isinstance(read, bytes) else read.encode("latin-1")
    except UnicodeEncodeError:  # the text was not read from a file
        return str(read)
    if _ESCAPE in content or NOT_DECODED.encode() in content:
        return None
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        unknown = _AMBIGUOUS.search(content) or (is_name and _NO_LETTER_OF_A_NAME.search(content))
        return None if unknown else content.decode("latin-1")
