"""Checks that an object obeys the standard, when it is saved or when a callback calls ``derive.validate``.

The checks cover the attributes that each kind of object must have (:mod:`.iods`), the form of every value (PS3.5,
section 6.2), and attributes that must agree with each other. It is a safety net for the objects of this package, not a
full validator: an object without problems here may still be refused by a stricter reader.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement

from dcm_processor_service.derived.attributes.identity import IDENTITY
from dcm_processor_service.derived.attributes.iods import CONDITIONS, IODS, MODULES
from dcm_processor_service.derived.attributes.values import value_problem
from dcm_processor_service.imaging.headers.instance_file import contained
from dcm_processor_service.imaging.headers.values import integer, number, numbers, text
from dcm_processor_service.models.derived import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pydicom import Dataset
    from pydicom.dataelem import DataElement

__all__ = ["Spelling", "validate"]


Spelling: TypeAlias = tuple[int, str, bytes, object]
"""An element as a file holds it: tag, VR, bytes, and how the data set encodes values and text."""

_LONGEST_KEPT_BYTES = 1 << 16
_OF_OTHERS = frozenset({
    "FrameOfReferenceUID", "ReferencedFrameOfReferenceUID", "RelatedFrameOfReferenceUID", "ReferencedSOPClassUID",
    "ReferencedSOPInstanceUID",
})  # fmt: skip
_OF_OTHERS_WHERE_NESTED = frozenset({"StudyInstanceUID", "SeriesInstanceUID"})


def validate(dataset: Dataset, known: set[Spelling] | None = None) -> tuple[Problem, ...]:
    """Lists the rules of the standard that the object breaks; an empty tuple if it breaks none.

    For a class that this package does not make, only the form of values and their agreement are checked. No problem
    quotes a value, so the list may be logged.

    Args:
        dataset: The object.
        known: Elements that are known to have no problem; the function adds those that it finds to have none. Give one
            set for all instances of a series, so that the elements that they share are checked once.

    Example:
        >>> from pydicom import Dataset
        >>> dataset = Dataset()
        >>> dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.104.1"
        >>> [problem.keyword for problem in validate(dataset)][:3]
        ['PatientName', 'PatientID', 'PatientBirthDate']
    """
    with contained():
        found = (*_required(dataset), *_values(dataset, "", known), *_agreement(dataset))
        return tuple(_marked_by_origin(found, dataset)) if found else ()


def _marked_by_origin(problems: Iterable[Problem], dataset: Dataset) -> Iterator[Problem]:
    """Marks problems of identity attributes that an object repeats from its source."""
    repeated = {_place(keyword) for keyword in IDENTITY if keyword in dataset}
    for each in problems:
        is_sources = each.tag[:11] in repeated or each.keyword == "DeidentificationMethod" or _is_reference(each)
        yield replace(each, about="source") if is_sources else each


def _is_reference(problem: Problem) -> bool:
    """Returns whether the problem is a malformed UID from the source; this package itself makes no malformed UIDs."""
    is_nested = "[" in problem.tag
    refers = problem.keyword in _OF_OTHERS or (is_nested and problem.keyword in _OF_OTHERS_WHERE_NESTED)
    return refers and problem.rule.startswith("a value of UI ")


def _problem(keyword: str, rule: str, remedy: str) -> Problem:
    return Problem(_place(keyword), keyword, rule, remedy)


def _place(keyword: str) -> str:
    tag = tag_for_keyword(keyword) or 0
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def _required(dataset: Dataset) -> Iterator[Problem]:
    present = set(map(int, dataset.keys()))  # asking the data set itself takes ten times as long
    for tag, keyword, kind, rule in _attributes(text(dataset, "SOPClassUID")):
        if kind.endswith("C") and not CONDITIONS[keyword](dataset):
            continue
        absent = tag not in present
        if absent or (kind.startswith("1") and _is_empty(dataset, keyword)):
            what = "is required" if absent else "must have a value"
            remedy = "write it" if kind.startswith("1") else "write it, empty where unknown"
            yield _problem(keyword, rule.format(what=what), remedy)


@lru_cache(maxsize=64)
def _attributes(sop_class_uid: str) -> tuple[tuple[int, str, str, str], ...]:
    """Returns tag, keyword, type and rule of each attribute that objects of a class must have."""
    name, modules = IODS.get(sop_class_uid, ("", ()))
    return tuple(
        (tag_for_keyword(keyword) or 0, keyword, kind, f"{name}: type {kind} {{what}} (PS3.3, section {section})")
        for section, attributes in (MODULES[module] for module in modules)
        for keyword, kind in attributes.items()
    )


def _is_empty(dataset: Dataset, keyword: str) -> bool:
    item: DataElement | RawDataElement = dataset.get_item(tag_for_keyword(keyword) or 0)
    if isinstance(item, RawDataElement) and isinstance(item.value, bytes) and item.value.strip(b" \0\\"):
        return False
    return bool(dataset[keyword].is_empty)


def _values(dataset: Dataset, path: str, known: set[Spelling] | None = None) -> Iterator[Problem]:
    if known is None:
        for element in dataset:
            yield from _value(element, path)
        return
    how = f"{dataset.original_encoding} {dataset.original_character_set} {text(dataset, 'SpecificCharacterSet')}"
    for tag in sorted(dataset.keys(), key=int):  # integers are compared faster than tags, whose comparison is in Python
        item = dataset.get_item(tag)
        spelling = _spelling(item, how)
        if spelling in known:
            continue
        found = [*_value(dataset[tag], path)]
        if spelling is not None and not found:
            known.add(spelling)
        yield from found


def _spelling(item: DataElement | RawDataElement, how: object) -> Spelling | None:
    """Returns the spelling of an element in its file; None if it was not read from a file, or is very long."""
    value = item.value
    if not isinstance(item, RawDataElement) or not isinstance(value, bytes) or len(value) > _LONGEST_KEPT_BYTES:
        return None
    return int(item.tag), item.VR or "", value, how


def _value(element: DataElement, path: str) -> Iterator[Problem]:
    where = f"{path}({element.tag.group:04X},{element.tag.element:04X})"
    if element.VR == "SQ":
        for index, item in enumerate(element.value or ()):
            yield from _values(item, f"{where}[{index}].")
            if element.keyword.endswith("CodeSequence"):
                yield from _code(item, f"{where}[{index}]")
        return
    found = value_problem(element)
    if found is not None:
        yield Problem(where, _name(element), *found)


def _name(element: DataElement) -> str:
    return element.keyword or ("private" if element.tag.is_private else "unknown")


def _code(item: Dataset, where: str) -> Iterator[Problem]:
    rule = "a code has a value, the scheme of the value and a meaning (PS3.3, section 8.8)"
    if not any(text(item, keyword) for keyword in ("CodeValue", "LongCodeValue", "URNCodeValue")):
        yield Problem(f"{where}.(0008,0100)", "CodeValue", rule, "give the code's value")
    if not text(item, "URNCodeValue") and not text(item, "CodingSchemeDesignator"):
        yield Problem(f"{where}.(0008,0102)", "CodingSchemeDesignator", rule, "give the scheme, such as SCT or 99LAB")
    if not text(item, "CodeMeaning"):
        yield Problem(f"{where}.(0008,0104)", "CodeMeaning", rule, "give the meaning")


def _agreement(dataset: Dataset) -> Iterator[Problem]:
    meta = getattr(dataset, "file_meta", None)
    if meta is not None:
        for keyword in ("SOPClassUID", "SOPInstanceUID"):
            if text(meta, f"MediaStorage{keyword}") != text(dataset, keyword):
                rule = "the file's header names the class and the UID of its object (PS3.10, section 7.1)"
                yield _problem(f"MediaStorage{keyword}", rule, f"set it to {keyword}")
    charset = text(dataset, "SpecificCharacterSet")
    if charset != "ISO_IR 192":
        rule = "text is written in UTF-8, so that every name survives (PS3.3, section C.12.1.1.2)"
        yield _problem("SpecificCharacterSet", rule, "decode all text, then declare ISO_IR 192")
    yield from _pixels_agree(dataset)
    orientation = numbers(dataset, "ImageOrientationPatient", count=6)
    if orientation is not None:
        across = np.array(orientation).reshape(2, 3)
        if np.abs(across @ across.T - np.eye(2)).max() > 1e-3:  # noqa: PLR2004 as viewers tolerate
            rule = "rows and columns are unit vectors at a right angle (PS3.3, section C.7.6.2.1.1)"
            yield _problem("ImageOrientationPatient", rule, "resample the volume to perpendicular axes")


def _pixels_agree(dataset: Dataset) -> Iterator[Problem]:
    if "PixelData" not in dataset:
        return
    bits, stored = integer(dataset, "BitsAllocated") or 0, integer(dataset, "BitsStored") or 0
    if stored > bits or integer(dataset, "HighBit") != stored - 1:
        rule = "BitsStored fits into BitsAllocated, HighBit is one less (PS3.5, section 8.1.1)"
        yield _problem("HighBit", rule, "set BitsStored and HighBit to the pixels' type")
    syntax = getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", None)
    if syntax is not None and not syntax.is_compressed:
        factors = [integer(dataset, keyword) or 1 for keyword in ("Rows", "Columns", "SamplesPerPixel")]
        count = int(np.prod([*factors, integer(dataset, "NumberOfFrames") or 1], dtype=np.int64))
        needed = -(-count * bits // 8)
        if len(dataset.PixelData) != needed + needed % 2:
            rule = "PixelData holds rows x columns x samples x frames pixels, of an even number of bytes (PS3.5, 8.2)"
            yield _problem("PixelData", rule, "set Rows, Columns and NumberOfFrames to the array's shape")
    width = number(dataset, "WindowWidth")
    least = 1 if text(dataset, "VOILUTFunction") in {"", "LINEAR"} else 0
    if width is not None and (width < least or width <= 0):
        rule = "a linear window is at least 1 wide, any other above 0 (PS3.3, section C.11.2.1.2)"
        yield _problem("WindowWidth", rule, "widen it, or say VOILUTFunction LINEAR_EXACT")
