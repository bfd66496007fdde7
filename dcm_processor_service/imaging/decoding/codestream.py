"""Reads the image size that a compressed frame declares, to find a wrong size before a decoder allocates memory."""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import NamedTuple

__all__ = ["Codestream", "codestream_of", "rle_fault", "without_adobe_marker"]

# the markers of JPEG (ITU-T T.81, table B.1), JPEG-LS (T.87, annex C) and JPEG 2000 (T.800, annex A)
_JPEG_START, _J2K_START = b"\xff\xd8", b"\xff\x4f\xff\x51"
_JP2_SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"
_FRAME_HEADERS = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_SCAN = 0xDA
_FILL = 0xFF
_JFIF, _ADOBE = 0xE0, 0xEE  # the application segments in which JFIF and Adobe say how colours are coded
_ADOBE_TRANSFORM = 11
_RLE_HEADER = struct.Struct("<16I")
_MOST_RLE_SEGMENTS = 15
_RLE_NOTHING = 128
_RLE_PADDING = 2  # a segment may decode to this many bytes too many, as the zeros that pad it are decoded too


class Codestream(NamedTuple):
    """The image that a JPEG, JPEG-LS or JPEG 2000 stream declares."""

    rows: int
    """Number of rows; 0 if the stream does not state it before its end."""

    columns: int
    samples: int
    bits: int
    """Bits of one sample; if samples differ, the largest number of bits."""

    is_signed: bool = False


def codestream_of(frame: bytes) -> Codestream | None:
    """Returns size and depth of the image that an encoded frame declares.

    The result is None if the frame does not begin like a JPEG, JPEG-LS or JPEG 2000 image.

    Example:
        >>> codestream_of(bytes.fromhex("ffd8ffc3000b0c0200010001011100"))
        Codestream(rows=512, columns=256, samples=1, bits=12, is_signed=False)
    """
    try:
        if frame.startswith(_JPEG_START):
            return _jpeg(frame)
        # a frame may be a whole JP2 file, in which other data come before the stream
        start = frame.find(_J2K_START) if frame.startswith(_JP2_SIGNATURE) else 0
        return _j2k(frame, start + 4) if frame.startswith(_J2K_START, start) else None
    except (struct.error, IndexError, ValueError):
        return None


def _jpeg(frame: bytes) -> Codestream | None:
    """Reads the markers of a JPEG or JPEG-LS image up to the frame header, which states its size."""
    position = 2
    while position + 4 <= len(frame):
        if frame[position] != 0xFF:  # noqa: PLR2004 each marker begins with it
            return None
        code = frame[position + 1]
        if code == 0xFF or code in _ALONE:  # noqa: PLR2004 fill bytes
            position += 1 if code == 0xFF else 2  # noqa: PLR2004
            continue
        if code == _SCAN:
            return None
        if code in _FRAME_HEADERS:
            bits, rows, columns, samples = struct.unpack_from(">BHHB", frame, position + 4)
            return Codestream(rows, columns, samples, bits)
        position += 2 + int(struct.unpack_from(">H", frame, position + 2)[0])
    return None


def without_adobe_marker(frame: bytes, *, is_ybr: bool) -> bytes:
    """Returns a colour JPEG frame without Adobe's marker, if JFIF or the header already says how colours are coded.

    With the marker, Pillow converts YCbCr to RGB, and pydicom converts the result once more. Without it, Pillow returns
    the colours as they were coded.

    Args:
        frame: One encoded frame.
        is_ybr: Whether the DICOM header says YCbCr. A JFIF marker always means YCbCr, whatever Adobe's marker says.
    """
    position, says_jfif = 2, False
    while position + 4 <= len(frame) and frame[position] == _FILL and frame[position + 1] != _SCAN:
        code = frame[position + 1]
        if code == _FILL or code in _ALONE:
            position += 1 if code == _FILL else 2
            continue
        end = position + 2 + int.from_bytes(frame[position + 2 : position + 4], "big")
        content = frame[position + 4 : end]
        says_jfif = says_jfif or (code == _JFIF and content.startswith(b"JFIF\0"))
        if code == _ADOBE and content.startswith(b"Adobe") and len(content) > _ADOBE_TRANSFORM:
            transforms = is_ybr and content[_ADOBE_TRANSFORM] == 1
            if says_jfif or transforms:
                frame, end = frame[:position] + frame[end:], position
        position = end
    return frame


def _j2k(frame: bytes, position: int) -> Codestream:
    x1, y1, x0, y0 = struct.unpack_from(">4I", frame, position + 4)
    (samples,) = struct.unpack_from(">H", frame, position + 36)
    depths = [frame[position + 38 + 3 * index] for index in range(samples)]
    return Codestream(y1 - y0, x1 - x0, samples, max((one & 0x7F) + 1 for one in depths), bool(depths[0] & 0x80))


def rle_fault(frame: bytes, segments: int, segment_bytes: int) -> str:
    """Describes what is wrong with an RLE frame (PS3.5, annex G); empty if nothing is.

    Decoders take the bytes that they need from a segment and ignore the rest, so they would accept a frame of another
    size than the header declares.

    Args:
        frame: One encoded frame.
        segments: Number of segments that it should have: one for each byte of each sample.
        segment_bytes: Number of bytes that each segment should decode to: one for each pixel.
    """
    if len(frame) < _RLE_HEADER.size:
        return "it is shorter than its head"
    count, *offsets = _RLE_HEADER.unpack_from(frame)
    if count != segments or count > _MOST_RLE_SEGMENTS:
        return "it does not have one segment for each byte of a pixel"
    used = offsets[:count]
    if used[0] != _RLE_HEADER.size or used != sorted(set(used)) or used[-1] >= len(frame):
        return "its segments do not lie one after the other"
    for start, end in pairwise([*used, len(frame)]):
        length = _unpacked_length(frame[start:end])
        if not segment_bytes <= length <= segment_bytes + _RLE_PADDING:
            return f"a segment holds {length} bytes, and {segment_bytes} pixels are declared"
    return ""


def _unpacked_length(segment: bytes) -> int:
    """Returns the number of bytes that an RLE segment decodes to."""
    position = length = 0
    while position < len(segment):
        head = segment[position]
        if head > _RLE_NOTHING:
            length += 257 - head
            position += 2
        elif head < _RLE_NOTHING:
            length += head + 1
            position += head + 2
        else:
            position += 1
    return length - max(0, position - len(segment))
