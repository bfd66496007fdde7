"""Removes the patient's identity from the header of a DICOM file, by PS3.15, annex E; pixels stay as they are."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

from dcm_processor_service.errors import UnreadableFileError
from dcm_processor_service.local.pulling.burned_in import burned_in_doubt
from dcm_processor_service.local.pulling.confidentiality_profile import (
    CHARACTERISTICS,
    DESCRIPTIONS,
    Action,
    confidentiality_profile,
)
from dcm_processor_service.local.pulling.defined_terms import is_defined_term
from dcm_processor_service.local.pulling.echoed_headers import removed_keywords
from dcm_processor_service.local.pulling.reading import PIXELS, quiet, texts
from dcm_processor_service.models.network.identifying import IDS, NAMES
from dcm_processor_service.runtime.logs.scrubbing import REMOVED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydicom import DataElement, Dataset
    from pydicom.dataset import FileDataset

    from dcm_processor_service.local.pulling.confidentiality_profile import Kept
    from dcm_processor_service.local.pulling.substitution import Substitution

__all__ = ["HeaderCleaner"]

_PERSON_GROUPS = frozenset({0x0010, 0x0012, 0x0032, 0x0038, 0x0040, 0x4008})
"""Groups of patient, trial, request, visit, procedure, result: values removed from them are removed elsewhere, too."""
_NO_PERSON = DESCRIPTIONS | CHARACTERISTICS | {"PatientPosition", "ScheduledProcedureStepDescription"}
_TEXTS = frozenset({"AE", "AS", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
_BYTES = frozenset({"OB", "UN"})
_METHODS = {"113100": "Basic Application Confidentiality Profile", "113107": (
    "Retain Longitudinal Temporal Information Modified Dates Option"
)}  # fmt: skip
_OPTIONS = {
    "characteristics": ("113108", "Retain Patient Characteristics Option"),
    "descriptions": ("113105", "Clean Descriptors Option"),
}


class HeaderCleaner:
    """Learns the patient's values from headers, and writes files without them.

    Not to be used by several threads at once: it suppresses warnings, which is a setting of the process.
    """

    def __init__(self, substitution: Substitution, kept: Sequence[Kept] = ()) -> None:
        self._to = substitution
        self._profile = confidentiality_profile()
        self._kept = tuple(kept)
        self._keywords = (CHARACTERISTICS if "characteristics" in kept else frozenset()) | (
            DESCRIPTIONS if "descriptions" in kept else frozenset()
        )
        substitution.remove_values_of(removed_keywords(self._profile, self._keywords))

    def learn(self, dataset: Dataset) -> None:
        """Learns every value of the patient in a header, also in sequences and private elements."""
        with quiet():
            for element in _elements(dataset):
                for text in texts(element):
                    self._learn(element, text)

    def _learn(self, element: DataElement, text: str) -> None:
        keyword = element.keyword
        if element.VR == "UI":
            self._to.learn_uid(text)
        elif element.VR == "PN" or keyword in NAMES:
            self._to.learn("PatientName", text)
        elif element.VR in {"DA", "DT"}:
            self._to.learn(keyword if "Birth" in keyword else "StudyDate", text)
        elif keyword in IDS or (
            element.tag.group in _PERSON_GROUPS
            and keyword not in _NO_PERSON
            and self._profile.action(element.tag.group, element.tag.element)
            and element.VR in _TEXTS - {"AS", "CS"}
        ):
            self._to.learn(keyword if keyword in IDS else "PatientComments", text)

    def cleaned(self, dataset: FileDataset, *, header_alone: bool = False) -> bytes:
        """Returns the file without the patient's identity; with ``header_alone`` also without its pixels.

        Raises:
            UnreadableFileError: It cannot be written, since a part of it is malformed.
        """
        from pydicom.dataset import FileMetaDataset

        doubt = burned_in_doubt(dataset)
        syntax = getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", None)
        if syntax is None:
            raise UnreadableFileError("without a transfer syntax, so it cannot be written again", faulty=True)
        try:
            with quiet():
                self._clean(dataset)
                self._mark(dataset, doubt=doubt)
                for name in PIXELS if header_alone else ():
                    dataset.pop(name, None)
                dataset.file_meta = FileMetaDataset()
                dataset.file_meta.TransferSyntaxUID = syntax
                dataset.preamble = bytes(128)
                output = BytesIO()
                dataset.save_as(output, enforce_file_format=True)
        except Exception as error:  # noqa: BLE001  pydicom raises many kinds; the error may hold a value
            raise UnreadableFileError(
                f"damaged in its header, so it cannot be cleaned ({type(error).__name__})", faulty=True
            ) from None
        return output.getvalue()

    def _clean(self, dataset: Dataset) -> None:
        for tag in list(dataset.keys()):
            if tag.is_private or tag.group == 0xFFFC:  # noqa: PLR2004  trailing padding
                del dataset[tag]
                continue
            element = dataset[tag]
            if not self._stays(element):
                del dataset[tag]

    def _stays(self, element: DataElement) -> bool:
        """Cleans an element; returns False if it must be removed."""
        group, number = element.tag.group, element.tag.element
        action = self._profile.action(group, number)
        if element.keyword == "PatientID":
            element.value = self._to.patient_id
        elif element.keyword == "PatientName":
            element.value = f"Pulled^{self._to.patient_id}"
        elif element.VR == "SQ":
            return self._sequence_stays(element, action)
        elif element.VR == "UI":
            element.value = _each(element, self._to.uid)
        elif element.VR in {"DA", "DT", "TM"} and group != 0x0010:  # noqa: PLR2004  the patient's own
            element.value = _each(element, self._to.time if element.VR == "TM" else self._to.moved)
        elif action is None or element.keyword in self._keywords:
            return self._remainder_stays(element)
        elif action is Action.REMOVE:
            return False
        else:
            _blank(element, action)
        return True

    def _sequence_stays(self, element: DataElement, action: Action | None) -> bool:
        if action in {Action.REMOVE, Action.EMPTY, Action.REPLACE} and element.keyword != "ContentSequence":
            return False
        for item in element.value or ():
            self._clean(item)
        return True

    def _remainder_stays(self, element: DataElement) -> bool:
        """Removes known values of the patient from an element that the profile keeps; returns False to remove it."""
        if element.VR in _TEXTS and element.VR != "CS":
            element.value = _each(element, lambda text: self._fitting(element.VR, self._to.text(text)))
        elif element.VR == "CS":
            return all(is_defined_term(text) or self._to.text(text) == text for text in texts(element))
        elif element.VR in _BYTES and element.keyword not in PIXELS and isinstance(element.value, bytes):
            return self._to.content(element.value) == element.value
        return True

    @staticmethod
    def _fitting(vr: str, text: str) -> str:
        """Returns a text that its VR can hold; a longer text loses its marks of removed values, and is cut."""
        limit = {"SH": 16, "AE": 16, "LO": 64, "AS": 4}.get(vr)
        return text if limit is None or len(text) <= limit else text.replace(REMOVED, "")[:limit]

    def _mark(self, dataset: Dataset, *, doubt: bool) -> None:
        """Writes into the header what was done (PS3.15, E.1.1), and that pixels are unchanged."""
        from pydicom import Dataset as Item

        methods = {**_METHODS, **dict(_OPTIONS[one] for one in self._kept)}
        items = []
        for value, meaning in methods.items():
            item = Item()
            item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
            items.append(item)
        dataset.PatientIdentityRemoved = "NO" if doubt else "YES"
        dataset.DeidentificationMethod = ["PS3.15 Annex E, header alone", "pixels unchanged"]
        dataset.DeidentificationMethodCodeSequence = items
        dataset.LongitudinalTemporalInformationModified = "MODIFIED"


def _elements(dataset: Dataset) -> Iterator[DataElement]:
    for tag in list(dataset.keys()):
        try:
            element = dataset[tag]
            nested = [one for item in element.value or () for one in _elements(item)] if element.VR == "SQ" else []
        except Exception:  # noqa: BLE001, S112  the other elements can still be read
            continue
        yield element
        yield from nested


def _each(element: DataElement, change: Any) -> Any:
    """Returns the value or values of an element, with ``change`` applied to each of them."""
    if not element.value:
        return element.value
    if element.VM > 1:
        return [change(str(one)) for one in element.value]
    return change(str(element.value))


def _blank(element: DataElement, action: Action) -> None:
    """Empties an element, or replaces its value by a placeholder."""
    if action is Action.EMPTY:
        element.value = None
    elif element.VR in {"CS", "AE", "LO", "LT", "PN", "SH", "ST", "UC", "UT"}:
        element.value = "REMOVED"
    elif element.VR == "UR":
        element.value = "about:blank"
    elif element.VR in {"OB", "OW", "UN"}:
        element.value = b"REMOVED "
    else:
        element.value = None
