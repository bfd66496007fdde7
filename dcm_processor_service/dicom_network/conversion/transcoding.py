"""Converts an instance to another transfer syntax, without any change of its image.

Uncompressed syntaxes are converted to each other, compressed pixels are decoded, and pixels are compressed without loss
by pydicom's encoders. If pixels were compressed with loss before, decoding them does not lose anything more.
"""

from __future__ import annotations

from contextlib import contextmanager
from copy import deepcopy
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.encoders.base import get_encoder
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from dcm_processor_service.errors import DicomError, UnsupportedTransferSyntaxError
from dcm_processor_service.imaging.decoding.decoders import NEEDS_CODECS, decoders_of, is_decodable
from dcm_processor_service.imaging.decoding.frame_decoder import EncodedImage
from dcm_processor_service.imaging.decoding.native import drop_offset_tables, put_frames

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydicom.dataelem import DataElement

__all__ = [
    "PLAIN",
    "UNCOMPRESSED",
    "UnreadableInstanceError",
    "convert",
    "copy_of",
    "lossless_encoders",
    "part10",
    "refusal",
]

UNCOMPRESSED = frozenset(map(str, (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)))

PLAIN = UNCOMPRESSED | {str(DeflatedExplicitVRLittleEndian)}
# transfer syntaxes that are always lossy, with the defined terms of PS3.3, section C.7.6.1.1.5.1; JPEG 2000 may be
# lossless, so it is not listed
_LOSSY_METHODS = {
    str(JPEGBaseline8Bit): "ISO_10918_1",
    str(JPEGExtended12Bit): "ISO_10918_1",
    str(JPEGLSNearLossless): "ISO_14495_1",
}
_BY_PILLOW = frozenset({str(JPEGBaseline8Bit), str(JPEGExtended12Bit)})
_BYTE_BITS, _WORD_BITS = 8, 16
_WORD_BYTES = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}


class UnreadableInstanceError(DicomError):
    """Says that an instance cannot be read any more since the sending began, or cannot be encoded."""


def lossless_encoders() -> tuple[str, ...]:
    """Returns the lossless transfer syntaxes that this installation can write.

    Example:
        >>> "1.2.840.10008.1.2.5" in lossless_encoders()
        True
    """
    candidates = (RLELossless, JPEGLSLossless, JPEG2000Lossless)
    return tuple(str(uid) for uid in candidates if get_encoder(uid).is_available)


def copy_of(dataset: Dataset, transfer_syntax_uid: str) -> Dataset:
    """Returns a copy of a dataset that may be changed; its file meta information states the transfer syntax.

    The copy shares the bulk data with the original. Elements that were never accessed stay raw, so that pydicom neither
    changes them nor warns about them.
    """
    own = Dataset()
    # in descending order, so that private elements stay raw: pydicom decodes one if its creator, which has a lower tag,
    # is in the dataset already
    for tag in sorted(dataset.keys(), reverse=True):
        element = dataset.get_item(tag)
        own[tag] = element if isinstance(element, tuple) else deepcopy(element)
    implicit, little = dataset.original_encoding
    own.set_original_encoding(implicit, little, dataset.original_character_set)
    own.file_meta = FileMetaDataset()
    own.file_meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    return own


def convert(dataset: Dataset, own_uid: str, wanted_uid: str) -> Dataset:
    """Converts a dataset, in place, from its own transfer syntax to the wanted one, and returns it.

    Raises:
        UnsupportedTransferSyntaxError: No codec for the conversion is installed, the pixel data is faulty, or the
            instance is not a still image.
    """
    if own_uid == wanted_uid:
        return dataset
    _refuse_encodings_that_readers_misread(dataset, own_uid, wanted_uid)
    try:
        if own_uid not in PLAIN and "PixelData" in dataset:  # only pixels are compressed (PS3.5, A.4)
            _decompress(dataset, own_uid)
        elif own_uid == ExplicitVRBigEndian:
            _swap_bytes(dataset)
        if wanted_uid not in PLAIN:
            dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            _interleave_samples(dataset)
            with _whole_words(dataset, wanted_uid):
                dataset.compress(UID(wanted_uid), encoding_plugin=_encoder_of(wanted_uid), generate_instance_uid=False)
        elif wanted_uid == ExplicitVRBigEndian:
            _swap_bytes(dataset)
    except Exception as error:  # codecs raise exceptions of any class
        raise refusal(own_uid, wanted_uid) from error
    dataset.file_meta.TransferSyntaxUID = UID(wanted_uid)
    return dataset


def _refuse_encodings_that_readers_misread(dataset: Dataset, own_uid: str, wanted_uid: str) -> None:
    """Refuses conversions that follow the standard, but whose result some programs read wrongly or not at all.

    Raises:
        UnsupportedTransferSyntaxError: The result would be big endian with samples of 32 bits, in which some programs
            swap only the bytes of 16-bit words; or JPEG-LS with 8 bits stored in 16, which DCMTK cannot read.
    """
    allocated, stored = int(dataset.get("BitsAllocated") or 0), int(dataset.get("BitsStored") or 0)
    is_long = wanted_uid == ExplicitVRBigEndian and allocated > _WORD_BITS and "PixelData" in dataset
    is_short = wanted_uid == JPEGLSLossless and allocated == _WORD_BITS and stored <= _BYTE_BITS
    if is_long or is_short:
        raise UnsupportedTransferSyntaxError(
            f"{UID(own_uid).name} cannot be converted to {UID(wanted_uid).name} here; some programs would misread its "
            f"samples, which have {stored} bits stored in {allocated}: choose another transfer syntax"
        )


def refusal(own_uid: str, wanted_uid: str) -> UnsupportedTransferSyntaxError:
    """Makes the error that says why an instance cannot be converted, and what to do."""
    return UnsupportedTransferSyntaxError(
        f"{UID(own_uid).name} cannot be converted to {UID(wanted_uid).name} here; {_remedy(own_uid)}"
    )


def part10(dataset: Dataset) -> bytes:
    """Encodes a dataset as a DICOM file, in the transfer syntax that its file meta information states.

    Raises:
        UnreadableInstanceError: The dataset cannot be encoded, because a value does not fit its VR or a UID is missing.
    """
    buffer = BytesIO()
    try:
        dcmwrite(buffer, dataset, enforce_file_format=True)
    except Exception as error:  # may be of any class; its text is not repeated, because it may quote a value
        raise UnreadableInstanceError(f"the dataset cannot be encoded ({type(error).__name__}); validate it") from error
    return buffer.getvalue()


def _decompress(dataset: Dataset, own_uid: str) -> None:
    """Decodes the pixel data, and updates the attributes that describe it (PS3.3, section C.7.6.3.1.2)."""
    encoded = dataset.get_item("PixelData").value
    decoders = decoders_of(own_uid)
    if decoders[:1] == ("imagecodecs",) and dataset.get("SamplesPerPixel", 1) == 1:
        _decompress_by_imagecodecs(dataset, own_uid)
    else:
        if own_uid in _BY_PILLOW and dataset.get("SamplesPerPixel", 1) != 1:
            _encapsulate_without_colour_markers(dataset, own_uid)
        # colours stay as they were coded, because a conversion from YBR to RGB would round values
        dataset.decompress(as_rgb=False, generate_instance_uid=False)
        drop_offset_tables(dataset)
    if dataset.PhotometricInterpretation == "YBR_FULL_422":
        dataset.PhotometricInterpretation = "YBR_FULL"  # after decoding, each pixel has its own chrominance
    if own_uid in _LOSSY_METHODS and not dataset.get("LossyImageCompression"):
        _mark_as_lossy(dataset, own_uid, len(encoded))


def _decompress_by_imagecodecs(dataset: Dataset, own_uid: str) -> None:
    """Decodes grey frames with imagecodecs, which pydicom cannot call as one of its plugins."""
    image = EncodedImage(dataset, own_uid)
    numbers = range(1, len(image.frames) + 1)
    put_frames(dataset, (image.decode(number, "imagecodecs", for_display=False) for number in numbers))


def _encapsulate_without_colour_markers(dataset: Dataset, own_uid: str) -> None:
    """Encapsulates colour frames again, without the markers that make Pillow return RGB though the header says YBR."""
    dataset.PixelData = encapsulate(
        EncodedImage(dataset, own_uid).frames, has_bot=False
    )  # without an offset table, whose offsets are limited to 4 GB
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    drop_offset_tables(dataset)


def _interleave_samples(dataset: Dataset) -> None:
    """Puts the samples of each pixel side by side, as pydicom's encoders expect them (PS3.3, section C.7.6.3.1.3)."""
    subsampled = dataset.get("PhotometricInterpretation") == "YBR_FULL_422"
    if dataset.get("SamplesPerPixel", 1) == 1 or not (subsampled or dataset.get("PlanarConfiguration")):
        return
    decoder = get_decoder(ExplicitVRLittleEndian)
    # all frames are decoded at once, because for single subsampled frames pydicom computes wrong offsets
    content = decoder.as_array(dataset, raw=True)[0].tobytes()
    dataset.PixelData = content + b"\0" * (len(content) % 2)
    dataset.PlanarConfiguration = 0
    if subsampled:
        dataset.PhotometricInterpretation = "YBR_FULL"


def _mark_as_lossy(dataset: Dataset, own_uid: str, encoded_bytes: int) -> None:
    """Records in attributes that the pixels were compressed with loss (PS3.3, section C.7.6.1.1.5).

    Before, only the transfer syntax said so.
    """
    dataset.LossyImageCompression = "01"
    dataset.LossyImageCompressionRatio = round(len(dataset.PixelData) / max(encoded_bytes, 1), 2)
    dataset.LossyImageCompressionMethod = _LOSSY_METHODS[own_uid]


@contextmanager
def _whole_words(dataset: Dataset, wanted_uid: str) -> Iterator[None]:
    """Makes pydicom's RLE encoder write both bytes of a 16-bit word; it would write one if up to 8 bits are stored."""
    stored, high = dataset.BitsStored, dataset.HighBit
    if wanted_uid == RLELossless and dataset.BitsAllocated == _WORD_BITS:
        dataset.BitsStored, dataset.HighBit = _WORD_BITS, _WORD_BITS - 1
    try:
        yield
    finally:
        dataset.BitsStored, dataset.HighBit = stored, high


def _encoder_of(uid: str) -> str:
    """Returns the plugin with which pydicom must encode a transfer syntax; empty if pydicom may choose.

    RLE must not be encoded by GDCM, because its encoder ends the process if the size is odd.
    """
    if uid != RLELossless:
        return ""
    available = get_encoder(RLELossless).available_plugins
    return "pylibjpeg" if "pylibjpeg" in available else "pydicom"


def _remedy(uid: str) -> str:
    if uid in PLAIN:
        return "only images can be compressed, and not all of them"
    try:
        get_decoder(UID(uid))
    except NotImplementedError:
        return "it is not a still image that could be decoded"
    return "its pixel data is faulty" if is_decodable(uid) else f"install decoders: {NEEDS_CODECS}"


def _swap_bytes(dataset: Dataset) -> None:
    """Converts bulk values to or from big endian (PS3.5, section 7.3); pydicom converts all other values."""
    for element in list(dataset):
        if element.VR == "SQ":
            for item in element.value:
                _swap_bytes(item)
        else:
            _swap_element(dataset, element)


def _swap_element(dataset: Dataset, element: DataElement) -> None:
    word_bytes = _WORD_BYTES.get(element.VR, 1)
    if element.keyword == "PixelData" and word_bytes > 1:
        # all bytes of a 32-bit sample are reversed, as most programs expect; of 8-bit samples, each two change places
        # (PS3.5, section 8.1.2)
        word_bytes = max(int(dataset.get("BitsAllocated", 16)) // 8, word_bytes)
    if word_bytes > 1 and isinstance(element.value, bytes):
        element.value = np.frombuffer(element.value, dtype=f">u{word_bytes}").astype(f"<u{word_bytes}").tobytes()
