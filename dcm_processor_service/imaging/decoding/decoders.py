"""The libraries that decode each transfer syntax, in a fixed order of preference.

The first library of a row that is installed decodes all frames; the second one decodes a sample of frames again, as a
check. If the first one fails, no other is tried, because a decoder that tolerates damage may return another image than
the one that was acquired. GDCM and Pillow are not in the row of 12-bit JPEG, because they cannot decode it.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache

from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

__all__ = ["DECODERS", "LOSSY", "NEEDS_CODECS", "decoders_of", "is_decodable"]

NEEDS_CODECS = 'pip install "dcm-processor-service[codecs]"'

_IMAGECODECS = "imagecodecs"
_J2K = ("pylibjpeg", _IMAGECODECS, "gdcm", "pillow")
# imagecodecs comes first: both it and pyjpegls use CharLS, but pydicom with pyjpegls takes a third longer
_JPEG_LS = (_IMAGECODECS, "pyjpegls", "gdcm")
_LOSSLESS_JPEG = (_IMAGECODECS, "gdcm", "pylibjpeg")

DECODERS: dict[UID, tuple[str, ...]] = {
    JPEGBaseline8Bit: ("pillow", "gdcm"),
    JPEGExtended12Bit: (_IMAGECODECS, "pylibjpeg"),
    JPEGLossless: _LOSSLESS_JPEG,
    JPEGLosslessSV1: _LOSSLESS_JPEG,
    JPEGLSLossless: _JPEG_LS,
    JPEGLSNearLossless: _JPEG_LS,
    JPEG2000Lossless: _J2K,
    JPEG2000: _J2K,
    HTJ2KLossless: ("pylibjpeg", _IMAGECODECS),
    HTJ2KLosslessRPCL: ("pylibjpeg", _IMAGECODECS),
    HTJ2K: ("pylibjpeg", _IMAGECODECS),
    RLELossless: ("pylibjpeg", "pydicom"),
}

LOSSY = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit, JPEG2000, HTJ2K})
"""Transfer syntaxes for which two correct decoders may differ slightly; JPEG-LS defines the result of its lossy mode
exactly."""


@lru_cache(maxsize=64)
def decoders_of(transfer_syntax_uid: str) -> tuple[str, ...]:
    """Returns the installed libraries that decode a transfer syntax, the preferred one first."""
    chosen = DECODERS.get(UID(transfer_syntax_uid), ())
    if not chosen:
        return ()
    installed = {*get_decoder(UID(transfer_syntax_uid)).available_plugins}
    if importlib.util.find_spec(_IMAGECODECS):
        installed.add(_IMAGECODECS)
    return tuple(name for name in chosen if name in installed)


def is_decodable(transfer_syntax_uid: str) -> bool:
    """Returns whether compressed pixels of a transfer syntax can be decoded here.

    Example:
        >>> is_decodable("1.2.840.10008.1.2.5"), is_decodable("1.2.840.10008.1.2.4.100")
        (True, False)
    """
    return bool(decoders_of(transfer_syntax_uid))
