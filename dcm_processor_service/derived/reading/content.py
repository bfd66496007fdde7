"""Reads the content tree of a structured report, item by item (PS3.3, section C.17.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from dcm_processor_service.derived.reading.names import code_in
from dcm_processor_service.errors import InvalidSeriesError
from dcm_processor_service.imaging.headers.instance_file import contained, foreign_errors_as, read_dataset
from dcm_processor_service.imaging.headers.values import items, text
from dcm_processor_service.models.images.limits import Limits
from dcm_processor_service.models.images.series_kinds import SeriesKind, kind_of_class

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pydicom import Dataset

__all__ = ["children", "concept", "read_each", "value_type", "walk"]

T = TypeVar("T")

_LIMITS = Limits()


def read_each(
    paths: Sequence[Path], kind: SeriesKind, advice: str, read: Callable[[Dataset], T], limits: Limits = _LIMITS
) -> list[T]:
    """Reads each object of a series, all of one kind.

    Args:
        paths: The files of the series.
        kind: The kind that all objects must have.
        advice: What the error message advises if an object is of another kind.
        read: Function that reads one object.
        limits: Limits, which say how far a deflated data set may expand.

    Raises:
        InvalidSeriesError: An object is of another kind, or is damaged.
    """
    found = []
    for path in paths:
        dataset = read_dataset(path, limits)
        uid = text(dataset, "SOPInstanceUID")
        own = kind_of_class(text(dataset, "SOPClassUID"), text(dataset, "Modality"))
        if own is not kind:
            raise InvalidSeriesError(
                f"instance {uid} cannot be read as {kind.value}, since its kind is {own.value}: {advice}"
            )
        message = f"instance {uid} is damaged, its content cannot be read: get it again"
        with foreign_errors_as(lambda message=message: InvalidSeriesError(message)), contained():  # type: ignore[misc]
            found.append(read(dataset))
    return found


def children(item: Dataset) -> tuple[Dataset, ...]:
    """Returns the child items of an item."""
    return items(item, "ContentSequence")


def concept(item: Dataset) -> tuple[str, str]:
    """Returns the value and the scheme of an item's concept name; empty where it has none."""
    code = code_in(item, "ConceptNameCodeSequence")
    return ("", "") if code is None else (code.value, code.scheme)


def value_type(item: Dataset) -> str:
    """Returns the type of an item's value, such as ``NUM``."""
    return text(item, "ValueType").upper()


def walk(item: Dataset) -> Iterator[Dataset]:
    """Yields an item, then all items below it, in the order of the tree."""
    yield item
    for child in children(item):
        yield from walk(child)
