"""Another encoding of an instance, never another image.

Uncompressed syntaxes into each other, decompression, and lossless compression by pydicom's encoders. What was lossy
before is decoded as it is; nothing becomes lossy here.
"""

from __future__ import annotations

from copy import deepcopy
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
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
    JPEGLSLossless,
    RLELossless,
)

from dcm_processor_service.errors import DicomError, UnsupportedTransferSyntaxError

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement

__all__ = ["UNCOMPRESSED", "UnreadableInstanceError", "convert", "copy_of", "lossless_encoders", "part10"]

UNCOMPRESSED = frozenset(map(str, (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)))

_PLAIN = UNCOMPRESSED | {str(DeflatedExplicitVRLittleEndian)}
_WORD_BYTES = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}


class UnreadableInstanceError(DicomError):
    """An instance that was there when the sending began cannot be read any more, or cannot be encoded."""


def lossless_encoders() -> tuple[str, ...]:
    """The lossless compressions that this installation can write.

    Example:
        >>> "1.2.840.10008.1.2.5" in lossless_encoders()
        True
    """
    candidates = (RLELossless, JPEGLSLossless, JPEG2000Lossless)
    return tuple(str(uid) for uid in candidates if get_encoder(uid).is_available)


def copy_of(dataset: Dataset, transfer_syntax_uid: str) -> Dataset:
    """Gives a dataset that may be changed, sharing the bulk data, and saying how it is encoded.

    Elements that nobody looked at stay as they were read: nothing about them changes, and nothing warns of them.
    """
    own = Dataset()
    # from the end: a private element is decoded when its creator, which sorts before it, is there already
    for tag in sorted(dataset.keys(), reverse=True):
        element = dataset.get_item(tag)
        own[tag] = element if isinstance(element, tuple) else deepcopy(element)
    implicit, little = dataset.original_encoding
    own.set_original_encoding(implicit, little, dataset.original_character_set)
    own.file_meta = FileMetaDataset()
    own.file_meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    return own


def convert(dataset: Dataset, own_uid: str, wanted_uid: str) -> Dataset:
    """Converts a dataset, in place, from its own transfer syntax to the wanted one; gives it back.

    Raises:
        UnsupportedTransferSyntaxError: There is no codec for it here, or it is no still image.
    """
    if own_uid == wanted_uid:
        return dataset
    try:
        if own_uid not in _PLAIN:
            # colours stay as they were coded: YBR to RGB rounds
            dataset.decompress(as_rgb=False, generate_instance_uid=False)
        elif own_uid == ExplicitVRBigEndian:
            _swap_bytes(dataset)
        if wanted_uid not in _PLAIN:
            dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            dataset.compress(UID(wanted_uid), generate_instance_uid=False)
    except Exception as error:  # each codec raises what its library raises
        raise UnsupportedTransferSyntaxError(
            f"{UID(own_uid).name} cannot be converted to {UID(wanted_uid).name} here; {_remedy(own_uid)}"
        ) from error
    dataset.file_meta.TransferSyntaxUID = UID(wanted_uid)
    return dataset


def part10(dataset: Dataset) -> bytes:
    """Encodes a dataset as a DICOM file, in the transfer syntax that its file meta information says.

    Raises:
        UnreadableInstanceError: The dataset cannot be encoded, for a value does not fit its VR or a UID is missing.
    """
    buffer = BytesIO()
    try:
        dcmwrite(buffer, dataset, enforce_file_format=True)
    except Exception as error:  # a value that does not fit may raise anything; its text may hold the value
        raise UnreadableInstanceError(f"the dataset cannot be encoded ({type(error).__name__}); validate it") from error
    return buffer.getvalue()


def _remedy(uid: str) -> str:
    if uid in _PLAIN:
        return "only images can be compressed, and not all of them"
    try:
        decodable = get_decoder(UID(uid)).is_available
    except NotImplementedError:
        return "it is no still image that could be decoded"
    return "its pixel data is faulty" if decodable else "install decoders: pip install dcm-processor-service[codecs]"


def _swap_bytes(dataset: Dataset) -> None:
    """Turns big-endian bulk values around; pydicom turns all others (PS3.5, 7.3)."""
    for element in list(dataset):
        if element.VR == "SQ":
            for item in element.value:
                _swap_bytes(item)
        else:
            _swap_element(dataset, element)


def _swap_element(dataset: Dataset, element: DataElement) -> None:
    word_bytes = _WORD_BYTES.get(element.VR, 1)
    if element.keyword == "PixelData" and word_bytes > 1:
        # a sample of 32 bits is turned as a whole, as it is read
        word_bytes = max(int(dataset.get("BitsAllocated", 16)) // 8, 1)
    if word_bytes > 1 and isinstance(element.value, bytes):
        element.value = np.frombuffer(element.value, dtype=f">u{word_bytes}").astype(f"<u{word_bytes}").tobytes()
