"""Reads structured reports as indented text, and encapsulated documents as bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydicom.uid import UID

from dcm_processor_service.derived.reading.content import children, read_each, value_type
from dcm_processor_service.derived.reading.names import code_in
from dcm_processor_service.errors import InvalidSeriesError
from dcm_processor_service.imaging.headers.values import integer, item, items, numbers, text
from dcm_processor_service.models.images.limits import Limits
from dcm_processor_service.models.images.series_kinds import SeriesKind

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pydicom import Dataset

__all__ = ["read_documents", "read_text"]

_LIMITS = Limits()
_PLAIN = {"DATE": "Date", "TIME": "Time", "DATETIME": "DateTime", "PNAME": "PersonName", "UIDREF": "UID"}
_REFERENCES = frozenset({"COMPOSITE", "IMAGE", "WAVEFORM"})


def read_text(paths: Sequence[Path], limits: Limits = _LIMITS) -> str:
    """Returns the content of the structured reports of a series as text: one line for each item, indented by depth.

    Args:
        paths: The files of the series.
        limits: Limits, which say how far a deflated data set may expand.

    Raises:
        InvalidSeriesError: An object is not a structured report, or is damaged.
    """
    advice = "choose a series whose kind is structured report; an encapsulated document is bytes, series.documents()"
    return "\n\n".join(read_each(paths, SeriesKind.STRUCTURED_REPORT, advice, _report, limits))


def _report(dataset: Dataset) -> str:
    return "\n".join(_lines(dataset, 0))


def _lines(found: Dataset, depth: int) -> list[str]:
    name = code_in(found, "ConceptNameCodeSequence")
    value = _value(found)
    words = ": ".join(part for part in ("" if name is None else name.meaning, value) if part)
    indent = "  " * depth
    own = [f"{indent}{line}" for line in words.splitlines()]
    # further lines of a text are indented, so that none looks like an item of its own
    lines = own[:1] + [f"{indent}  {line.strip()}" for line in own[1:] if line.strip()]
    below = depth + 1 if lines else depth  # a container without a name adds no level
    for child in children(found):
        lines += _lines(child, below)
    return lines


def _value(found: Dataset) -> str:
    """Returns an item's value as text; empty for a container."""
    kind = value_type(found)
    if "ReferencedContentItemIdentifier" in found:
        return f"see item {'.'.join(f'{part:g}' for part in numbers(found, 'ReferencedContentItemIdentifier') or ())}"
    if kind == "TEXT":
        return text(found, "TextValue")
    if kind == "CODE":
        code = code_in(found, "ConceptCodeSequence")
        return "" if code is None else code.meaning or code.value
    if kind == "NUM":
        return _number(found)
    if kind in _PLAIN:
        return text(found, _PLAIN[kind])
    if kind in _REFERENCES:
        return "; ".join(_reference(each) for each in items(found, "ReferencedSOPSequence"))
    if kind in {"SCOORD", "SCOORD3D"}:
        size = 2 if kind == "SCOORD" else 3
        return f"{text(found, 'GraphicType')}, {len(numbers(found, 'GraphicData') or ()) // size} points"
    return text(found, "TemporalRangeType") if kind == "TCOORD" else ""


def _number(found: Dataset) -> str:
    measured = item(found, "MeasuredValueSequence")
    unit = code_in(measured, "MeasurementUnitsCodeSequence")
    reason = code_in(found, "NumericValueQualifierCodeSequence")
    parts = [] if measured is None else [text(measured, "NumericValue")]
    if unit is not None and unit.value != "1":
        parts.append(unit.value if unit.scheme == "UCUM" else unit.meaning or unit.value)
    if reason is not None:
        parts.append(f"({reason.meaning})" if parts else reason.meaning)
    return " ".join(part for part in parts if part)


def _reference(found: Dataset) -> str:
    uid = text(found, "ReferencedSOPClassUID")
    words = f"{UID(uid).name or 'object'} {text(found, 'ReferencedSOPInstanceUID')}"
    for keyword, name in (("ReferencedFrameNumber", "frame"), ("ReferencedSegmentNumber", "segment")):
        found_numbers = numbers(found, keyword)
        if found_numbers:
            words += f", {name} {', '.join(f'{one:g}' for one in found_numbers)}"
    return words


def read_documents(paths: Sequence[Path], limits: Limits = _LIMITS) -> tuple[bytes, ...]:
    """Returns the documents that the objects of a series wrap, such as PDF files (PS3.3, section C.24.2).

    Args:
        paths: The files of the series.
        limits: Limits, which say how far a deflated data set may expand.

    Raises:
        InvalidSeriesError: An object wraps no document, or is damaged.
    """
    advice = "choose a series whose kind is document; a structured report is text, series.text()"
    return tuple(read_each(paths, SeriesKind.DOCUMENT, advice, _document, limits))


def _document(dataset: Dataset) -> bytes:
    content = dataset.get("EncapsulatedDocument")
    if not isinstance(content, bytes) or not content:
        raise InvalidSeriesError(f"instance {text(dataset, 'SOPInstanceUID')} wraps an empty document: get it again")
    length = integer(dataset, "EncapsulatedDocumentLength")
    if length is None:  # older objects do not state it; the last byte may be padding to an even length
        return (
            content.removesuffix(b"\0") if text(dataset, "MIMETypeOfEncapsulatedDocument").endswith("pdf") else content
        )
    if not 0 < length <= len(content):
        raise InvalidSeriesError(
            f"instance {text(dataset, 'SOPInstanceUID')} says that its document has {length} bytes, and holds "
            f"{len(content)}: get it again"
        )
    return content[:length]
