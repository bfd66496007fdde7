"""Decodes one encoded frame. This code runs in a separate process, where a library may crash without other harm."""

from __future__ import annotations

import struct
import warnings
from io import BytesIO
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom import dcmread
from pydicom.encaps import encapsulate, generate_fragments, generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import convert_color_space
from pydicom.uid import UID, JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSLossless, JPEGLSNearLossless, RLELossless

from dcm_processor_service.imaging.decoding.codestream import (
    Codestream,
    codestream_of,
    rle_fault,
    without_adobe_marker,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom import Dataset

__all__ = ["ContradictionError", "EncodedImage"]

_BYTE_BITS = 8
_COLOURS = 3
# every encoded frame begins as a JPEG image, a JPEG 2000 image, or a JP2 file with one in it
_BEGINNINGS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n")
_JPEG_BEGINNING, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_ITEM_HEAD_BYTES = 8
_JPEG = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit})
_JPEG_LS = frozenset({JPEGLSLossless, JPEGLSNearLossless})
_J2K_PREFIX = ("1.2.840.10008.1.2.4.9", "1.2.840.10008.1.2.4.20")
_KEYWORDS = {
    "BitsAllocated": "bits_allocated",
    "BitsStored": "bits_stored",
    "Columns": "columns",
    "NumberOfFrames": "number_of_frames",
    "PhotometricInterpretation": "photometric_interpretation",
    "PixelRepresentation": "pixel_representation",
    "PlanarConfiguration": "planar_configuration",
    "Rows": "rows",
    "SamplesPerPixel": "samples_per_pixel",
}
_TAGS: list[Any] = [*_KEYWORDS, "PixelData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths"]


class ContradictionError(ValueError):
    """The encoded frame is not the image that the header declares, so it is not decoded."""


class EncodedImage:
    """The encoded frames of one instance, with the attributes of its header that describe them.

    Raises:
        ContradictionError: The file holds more frames than its header declares, or in another order than its table of
            offsets.
    """

    def __init__(self, dataset: Dataset, transfer_syntax_uid: str) -> None:
        self.uid = UID(transfer_syntax_uid)
        self.options: dict[str, Any] = {
            option: dataset[keyword].value for keyword, option in _KEYWORDS.items() if keyword in dataset
        }
        self.options |= {"number_of_frames": 1, "pixel_keyword": "PixelData"}
        self.options.setdefault("samples_per_pixel", 1)
        self.options.setdefault("planar_configuration", 0)
        self.frames = _frames(dataset, is_rle=self.uid == RLELossless)
        if self.uid in _JPEG and self.options["samples_per_pixel"] != 1:
            is_ybr = str(self.options.get("photometric_interpretation", "")).upper().startswith("YBR")
            self.frames = [without_adobe_marker(frame, is_ybr=is_ybr) for frame in self.frames]

    @classmethod
    def read(cls, path: str, transfer_syntax_uid: str) -> EncodedImage:
        """Reads a file's pixels and the attributes that describe them."""
        return cls(dcmread(path, force=True, specific_tags=_TAGS), transfer_syntax_uid)

    def decode(self, number: int, decoder: str, *, for_display: bool) -> NDArray[Any]:
        """Decodes one frame.

        Args:
            number: Number of the frame, from 1.
            decoder: Name of the library.
            for_display: Whether to convert colours to RGB; otherwise they stay as they were coded.

        Raises:
            ContradictionError: There is no such frame, or it declares another size or sign than the header.
        """
        if not 0 < number <= len(self.frames):
            raise ContradictionError(f"it holds {len(self.frames)} encoded frames, and no frame {number}")
        frame = self.frames[number - 1]
        stream = self._checked(frame)
        if decoder == "imagecodecs" and stream is not None:
            values = self._by_imagecodecs(frame, stream)
            self._check_sign(values, stream)
            return self._as_rgb(values) if for_display and self.uid in _JPEG_LS else values
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            array, _ = get_decoder(self.uid).as_array(
                encapsulate([frame], has_bot=False),
                index=0,
                raw=not for_display,
                decoding_plugin=decoder,
                **self.options,
            )
        self._check_sign(array, stream)
        return array

    def _checked(self, frame: bytes) -> Codestream | None:
        """Compares the size that a frame declares with the header, before a decoder allocates memory for it.

        Returns the image that the frame declares; None for RLE, whose frames declare none.
        """
        rows, columns, samples, bits = (
            int(self.options.get(key) or 0) for key in ("rows", "columns", "samples_per_pixel", "bits_allocated")
        )
        if self.uid == RLELossless:
            fault = rle_fault(frame, samples * bits // _BYTE_BITS, rows * columns)
            if fault:
                raise ContradictionError(fault)
            return None
        stream = codestream_of(frame)
        if stream is None:
            raise ContradictionError("it does not begin as an image of its transfer syntax does")
        said = (stream.rows or rows, stream.columns, stream.samples)
        if said != (rows, columns, samples) or stream.bits > bits:
            raise ContradictionError(
                f"its encoded data are {said[0]} x {said[1]} x {said[2]} of {stream.bits} bits, "
                f"its header says {rows} x {columns} x {samples} of {bits}"
            )
        if stream.is_signed and self.options.get("pixel_representation") != 1:
            raise ContradictionError("its encoded data are signed, its header says they are not")
        if frame.startswith(_JPEG_BEGINNING) and _JPEG_END not in frame:
            raise ContradictionError("it is cut off: the marker that ends an image is missing")
        return stream

    def _check_sign(self, values: NDArray[Any], stream: Codestream | None) -> None:
        """Refuses values whose greatest bit may be a sign, or not.

        Encoders of signed values leave out bits that no value uses. If the header declares more bits than the encoded
        data have, the greatest of these is either the sign or a part of positive values.
        """
        if stream is None or stream.is_signed or self.options.get("pixel_representation") != 1:
            return
        declared = int(self.options.get("bits_stored") or 0)
        if stream.bits < declared and np.bitwise_and(values, 1 << (stream.bits - 1)).any():
            raise ContradictionError(
                f"its encoded data have {stream.bits} bits without a sign, its header says {declared} with a sign, so "
                "which values are negative is unknown"
            )

    def _by_imagecodecs(self, frame: bytes, stream: Codestream) -> NDArray[Any]:
        import imagecodecs

        if self.uid in _JPEG_LS:
            values = imagecodecs.jpegls_decode(frame)
        elif self.uid.startswith(_J2K_PREFIX):
            values = imagecodecs.jpeg2k_decode(frame)
        else:
            values = imagecodecs.jpeg_decode(frame)
        array: NDArray[Any] = np.asarray(values)
        is_signed = self.options.get("pixel_representation") == 1
        wanted = np.dtype(f"{'i' if is_signed else 'u'}{int(self.options['bits_allocated']) // _BYTE_BITS}")
        if array.dtype.kind == "u" and is_signed:
            # the decoder returned signed values as unsigned ones: two shifts copy the sign into the spare upper bits
            spare = wanted.itemsize * _BYTE_BITS - stream.bits
            array = array.astype(wanted)
            np.left_shift(array, spare, out=array)
            np.right_shift(array, spare, out=array)
            return array
        return array.astype(wanted, casting="safe")

    def _as_rgb(self, values: NDArray[Any]) -> NDArray[Any]:
        """Converts the colours of a JPEG-LS frame to RGB, as pydicom does; imagecodecs does not convert them."""
        colours = str(self.options.get("photometric_interpretation"))
        if colours not in {"YBR_FULL", "YBR_FULL_422"} or self.options["samples_per_pixel"] != _COLOURS:
            return values
        return convert_color_space(values, colours, "RGB")  # raises an error unless samples have 8 bits


def _frames(dataset: Dataset, *, is_rle: bool) -> list[bytes]:
    """Returns the encoded frames of an instance.

    If as many fragments begin an image as there are frames, these are the frames, whatever a table of offsets says;
    tables that are short, empty or shifted are common. Otherwise the table says which fragments make a frame.

    Raises:
        ContradictionError: The file holds more frames than its header declares, or its table of offsets has the frames
            in another order.
    """
    content = dataset.PixelData
    declared = int(dataset.get("NumberOfFrames") or 1)
    stream = BytesIO(content)
    stream.seek(_after_table(content))
    fragments = [*generate_fragments(stream)]
    begun = [
        index for index, fragment in enumerate(fragments) if (fragment if is_rle else fragment.startswith(_BEGINNINGS))
    ]
    table, lengths = _offsets(dataset, content)
    if len(begun) == declared:
        places = [0, *accumulate(_ITEM_HEAD_BYTES + len(fragment) for fragment in fragments)]
        starts = [places[index] for index in begun]
        if table != starts and sorted(table) == starts:
            raise ContradictionError("its frames lie in another order than its table of offsets says")
        frames = [b"".join(fragments[start:end]) for start, end in pairwise([*begun, len(fragments)])]
        known = lengths if table == starts and len(lengths) == declared else [len(frame) for frame in frames]
        # a frame of odd length has one byte of padding behind it
        return [
            frame[:length] if len(frame) - length == 1 else frame for frame, length in zip(frames, known, strict=True)
        ]
    # a huge count would make pydicom look for fragments that the file cannot hold
    count = max(1, min(declared, len(content) // _BYTE_BITS))
    offsets = (table, lengths) if lengths else None
    frames = list(generate_frames(content, number_of_frames=count, extended_offsets=offsets))
    found = max(0 if is_rle else len(begun), len(frames))
    if found > declared:
        raise ContradictionError(f"the file holds {found} encoded frames, its header says {declared}")
    return frames


def _offsets(dataset: Dataset, content: bytes) -> tuple[list[int], list[int]]:
    """Returns where each frame begins behind the basic table, and how long it is: empty if no table says so."""
    table, lengths = dataset.get("ExtendedOffsetTable"), dataset.get("ExtendedOffsetTableLengths")
    if table and lengths:
        return _integers(table, "Q"), _integers(lengths, "Q")
    return _integers(content[_ITEM_HEAD_BYTES : _after_table(content)], "I"), []


def _integers(content: bytes, form: str) -> list[int]:
    size = struct.calcsize(form)
    return [*struct.unpack(f"<{len(content) // size}{form}", content[: len(content) // size * size])]


def _after_table(content: bytes) -> int:
    """Returns the offset of the first fragment, which follows the Basic Offset Table (PS3.5, section A.4)."""
    return _ITEM_HEAD_BYTES + int.from_bytes(content[4:8], "little")
