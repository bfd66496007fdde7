"""Keeps shared elements as encoded bytes, so that they are encoded once and not again for each instance."""

from __future__ import annotations

from copy import copy, deepcopy
from io import BytesIO
from typing import TYPE_CHECKING

from pydicom import FileDataset, dcmread
from pydicom.dataset import FileMetaDataset

from dcm_processor_service.derived.attributes.values import value_problem

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement

__all__ = ["Encoded"]

_IN_CHARACTER_SETS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})


class Encoded:
    """The elements of an object, raw, as pydicom reads them from a file in Explicit VR Little Endian.

    pydicom decodes raw elements on first access, and writes raw elements unchanged. They cannot be changed in place, so
    several objects may share them. Some elements are copied for each object instead of being shared: values that break
    their VR, because pydicom's warning when it decodes them may quote them; sequences with text beyond ASCII, because
    raw bytes stay the same when an object gets another character set; and elements that pydicom decodes while it reads.

    Example:
        >>> from pydicom.uid import ExplicitVRLittleEndian
        >>> made = FileDataset(None, {}, file_meta=FileMetaDataset())
        >>> made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        >>> made.SOPClassUID, made.SOPInstanceUID, made.PatientID = "2.25.1", "2.25.2", "P1"
        >>> copied = Encoded(made).copied()
        >>> copied.PatientID = "P2"
        >>> made.PatientID, copied.PatientID, copied.SOPClassUID
        ('P1', 'P2', '2.25.1')
    """

    def __init__(self, dataset: FileDataset) -> None:
        file = BytesIO()
        dataset.save_as(file, enforce_file_format=True)
        file.seek(0)
        read = dcmread(file)
        own = {element.tag for element in dataset if not _is_sound(element) or _holds_local_text(element)}
        elements = {tag: read.get_item(tag) for tag in read.keys() if tag not in own}  # noqa: SIM118 a dataset iterates over its elements, and decodes them
        self._elements = {tag: one for tag, one in elements.items() if one.is_raw}
        self._own = [element for element in dataset if element.tag not in self._elements]
        self._character_set = read.original_character_set
        self._meta = dataset.file_meta

    def copied(self) -> FileDataset:
        """Returns a new object with these elements; the file meta information is a copy."""
        meta = FileMetaDataset({element.tag: copy(element) for element in self._meta})  # a copy() shares elements
        made = FileDataset(
            None,  # type: ignore[arg-type]  # no file yet
            dict(self._elements),
            file_meta=meta,
            preamble=b"\0" * 128,
            is_implicit_VR=False,
            is_little_endian=True,
        )
        for element in self._own:
            made[element.tag] = deepcopy(element)
        made.set_original_encoding(False, True, self._character_set)
        return made


def _is_sound(element: DataElement) -> bool:
    if element.VR != "SQ":
        return value_problem(element) is None
    return all(_is_sound(each) for item in element.value or () for each in item)


def _holds_local_text(element: DataElement) -> bool:
    """Returns whether the element is a sequence that holds text beyond ASCII."""
    return element.VR == "SQ" and any(_is_beyond_ascii(each) for item in element.value or () for each in item)


def _is_beyond_ascii(element: DataElement) -> bool:
    if element.VR == "SQ":
        return _holds_local_text(element)
    return element.VR in _IN_CHARACTER_SETS and not str(element.value).isascii()
