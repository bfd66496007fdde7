"""Makes shells of a source's headers for highdicom: datasets that identify an instance and describe its pixels.

Shells have no patient attributes, since warnings of highdicom may quote these, and no geometry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from pydicom import Dataset
from pydicom.tag import Tag
from pydicom.uid import UID, SecondaryCaptureImageStorage, UltrasoundMultiFrameImageStorage

from dcm_processor_service.derived.attributes.identity import copy_attributes
from dcm_processor_service.imaging.headers.values import text

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement, RawDataElement
    from pydicom.tag import BaseTag

__all__ = ["Shells", "is_unknown"]

_KEPT = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality",
    "ImageType", "Rows", "Columns", "NumberOfFrames", "LossyImageCompression", "LossyImageCompressionRatio",
    "LossyImageCompressionMethod", "BurnedInAnnotation", "SamplesPerPixel", "PhotometricInterpretation",
    "PositionReferenceIndicator", "InstanceNumber",
)  # fmt: skip
_EMPTY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "ReferringPhysicianName", "PositionReferenceIndicator",
)  # fmt: skip

_STAND_INS = (SecondaryCaptureImageStorage, UltrasoundMultiFrameImageStorage)
"""Placeholders for classes that highdicom does not know, of one frame and of several, while it makes an object."""

_KEPT_TAGS = {Tag(keyword): keyword for keyword in _KEPT}

_Spelling: TypeAlias = tuple[object, ...]


class Shells:
    """Makes the shells of one series. Elements that are equal in all its headers are made only once.

    To change a shell, replace its elements and do not change them, because several shells share an element.

    Example:
        >>> header = Dataset()
        >>> header.SOPInstanceUID, header.StudyInstanceUID, header.PatientID = "2.25.1", "2.25.2", "P1"
        >>> made = Shells().of(header)
        >>> made.SOPInstanceUID, made.PatientID
        ('2.25.1', '')
    """

    def __init__(self) -> None:
        self._known: dict[_Spelling, DataElement | None] = {}
        empty = Dataset()
        for keyword in _EMPTY:
            setattr(empty, keyword, "")
        empty.StudyInstanceUID = "2.25.0"
        self._empty = {element.tag: element for element in empty}

    def of(self, header: Dataset) -> Dataset:
        """Returns the shell of an instance."""
        made = Dataset()
        elements: dict[BaseTag, DataElement | RawDataElement] = dict(self._empty.items())
        for tag, keyword in _KEPT_TAGS.items():
            element = self._element(header, tag, keyword) if tag in header else None
            if element is not None and (keyword != "StudyInstanceUID" or element.value):
                elements[tag] = element
        made.update(elements)
        if is_unknown(header):
            made.add_new("SOPClassUID", "UI", _STAND_INS["NumberOfFrames" in header])
        return made

    def _element(self, header: Dataset, tag: BaseTag, keyword: str) -> DataElement | None:
        spelling = _spelling(header, tag)
        if spelling is None or spelling not in self._known:
            copied = Dataset()
            copy_attributes(header, copied, (keyword,))
            found = next(iter(copied), None)
            if spelling is None:
                return found
            self._known[spelling] = found
        return self._known[spelling]


def is_unknown(header: Dataset) -> bool:
    """Returns whether highdicom may not know the class of an instance, because it is retired, private or unknown."""
    uid = UID(text(header, "SOPClassUID"))
    return uid.is_private or uid.is_retired or uid.name == str(uid)


def _spelling(header: Dataset, tag: BaseTag) -> _Spelling | None:
    """Returns a key that is the same only for equal elements, from their bytes or value; None if there is none."""
    item = header.get_item(tag)
    value = getattr(item, "value", None)
    if isinstance(value, bytes) and not value.isascii():
        return None  # text that depends on the character set
    if not isinstance(value, bytes | str | int):
        return None
    return tag, str(getattr(item, "VR", "")), type(value).__name__, value, header.original_encoding
