"""Decodes text by SpecificCharacterSet (0008,0005), with code extensions (PS3.3, section C.12.1.1.2; PS3.5, 6.1.2).

pydicom does the decoding. This module adds what it lacks: terms in lower case, Latin-9 (ISO_IR 203), and GB 2312 (ISO
2022 IR 58), whose escape sequences it leaves in the text.
"""

from __future__ import annotations

import re
from functools import lru_cache

from pydicom.charset import convert_encodings, decode_bytes, default_encoding
from pydicom.valuerep import TEXT_VR_DELIMS

from dcm_processor_service.imaging.headers.containment import contained
from dcm_processor_service.models.subjects import NOT_DECODED

__all__ = ["LOCAL_TEXTS", "decoded", "names_encoding", "without_designations"]

LOCAL_TEXTS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
"""The VRs that SpecificCharacterSet applies to."""

_ESCAPE = b"\x1b"
# the escape sequences that switch to another set of characters (ISO 2022); they are not text themselves
_DESIGNATION = re.compile("\x1b(?:\\$[()]?|[()\\-.])[@-~]")
_TO_ASCII = frozenset({"\x1b(B", "\x1b(J"})
_GB_2312, _IR_58 = b"\x1b$)A", b"ISO 2022 IR 58"
_LATIN_9 = dict.fromkeys(("ISO_IR 203", "ISO 2022 IR 203"), "iso8859_15")


def decoded(vr: str, content: bytes, character_set: bytes) -> str:
    """Decodes a value: a name or description by the character set of its header, any other value as Latin-1.

    Args:
        vr: The value's VR.
        content: The value's bytes.
        character_set: SpecificCharacterSet (0008,0005) of the header, as bytes of the file.

    Example:
        >>> decoded("LO", "schädel".encode(), b"ISO_IR 192")
        'schädel'
    """
    if vr not in LOCAL_TEXTS or (content.isascii() and _ESCAPE not in content):
        return content.decode("latin-1")
    if _GB_2312 in content and _IR_58 in character_set:
        return without_designations(content.replace(_GB_2312, b"").decode("gb2312", errors="replace"))
    with contained():
        return without_designations(decode_bytes(content, _encodings(character_set), TEXT_VR_DELIMS))


def without_designations(text: str) -> str:
    """Returns a text without the escape sequences that a decoder has left in it.

    If such a sequence switches to characters beyond ASCII, the text after it was not decoded. U+FFFD then takes the
    place of the sequence, to mark that.
    """
    return _DESIGNATION.sub(_left, text) if "\x1b" in text else text


def _left(designation: re.Match[str]) -> str:
    return "" if designation[0] in _TO_ASCII else NOT_DECODED


def names_encoding(character_set: str) -> bool:
    r"""Returns whether a SpecificCharacterSet names, in one of its terms, a known encoding other than ASCII.

    Example:
        >>> names_encoding("\\ISO 2022 IR 87"), names_encoding("ISO_IR 6"), names_encoding("NONSENSE")
        (True, False, False)
    """
    return any(encoding != default_encoding for encoding in _encodings(character_set.encode("latin-1", "replace")))


@lru_cache(maxsize=64)
def _encodings(character_set: bytes) -> tuple[str, ...]:
    """Returns Python's names of the encodings that a SpecificCharacterSet names."""
    terms = [term.strip(" \0").upper() for term in character_set.decode("latin-1").split("\\")]
    with contained():
        return tuple(convert_encodings([_LATIN_9.get(term, term) for term in terms]))
