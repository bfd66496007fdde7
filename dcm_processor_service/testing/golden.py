"""Compares derived objects with golden files, which hold objects that a person has checked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcm_processor_service.models.counts import counted
from dcm_processor_service.models.network.identifying import IDS, NAMES

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Iterator

    from pydicom import DataElement, Dataset
    from pydicom.tag import BaseTag

__all__ = ["compare_derived"]

_MAY_DIFFER = frozenset({
    "SOPInstanceUID", "SeriesInstanceUID", "DimensionOrganizationUID", "TrackingUID", "ObservationUID", "ObserverUID",
    "ReportDetailItemUID", "SeriesDate", "SeriesTime", "ContentDate", "ContentTime", "InstanceCreationDate",
    "InstanceCreationTime", "ContributionDateTime", "DateTime", "SoftwareVersions", "ObservationDateTime",
})  # fmt: skip
"""Attributes that depend on the session, the clock or the installed release, not on the result."""
_PIXELS = frozenset({"PixelData", "FloatPixelData", "DoubleFloatPixelData"})
_MOST_SHOWN = 20
_LONGEST = 60


def compare_derived(
    dataset: Dataset,
    golden: str | os.PathLike[str],
    *,
    tolerance: float = 0,
    ignore: Collection[str] = (),
    update: bool = False,
) -> None:
    """Asserts that a derived object equals a golden file, except for attributes that differ from run to run.

    The object's own UIDs, the times when it was made, and software versions may differ. All other attributes, including
    references to the source, and every voxel must be equal.

    Args:
        dataset: The object that the code under test made.
        golden: The DICOM file to compare with; keep it with the tests.
        tolerance: The largest allowed difference of a voxel's stored value.
        ignore: Keywords of further attributes that may differ, at any depth.
        update: Write the file again; do this after you have looked at the changes.

    Raises:
        AssertionError: They differ, or there is no golden file. The message lists the first twenty differences, and
            says how many voxels are off by how much.

    Example:
        >>> import tempfile
        >>> from dcm_processor_service.testing import fake_context, synthetic_series
        >>> ctx = fake_context(series=synthetic_series(slices=3))
        >>> report = ctx.session.dicom.derive.text_report("no finding", like=ctx.session.dicom.get_series())
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     compare_derived(report, f"{folder}/golden.dcm", update=True)
        ...     report.SeriesDescription = "changed"
        ...     compare_derived(report, f"{folder}/golden.dcm")
        Traceback (most recent call last):
        AssertionError: golden.dcm differs from the object:
          SeriesDescription (0008,103E): 'report' in the golden file, 'changed' in the object
    """
    from pydicom import dcmread

    path = Path(golden)
    if update:
        dataset.save_as(path, enforce_file_format=True)
        return
    if not path.is_file():  # raised, not asserted: pytest adds to the message of an assert
        raise AssertionError(
            f"there is no golden file {path.name!r}: look at the object, then make it with update=True"
        )
    kept = dcmread(path)
    found = [*_differences(kept, dataset, _MAY_DIFFER | {*ignore}, ""), *_voxel_differences(kept, dataset, tolerance)]
    more = [f"and {len(found) - _MOST_SHOWN} more"] if len(found) > _MOST_SHOWN else []
    listed = "\n  ".join([*found[:_MOST_SHOWN], *more])
    if found:
        raise AssertionError(f"{path.name} differs from the object:\n  {listed}")


def _differences(kept: Dataset, made: Dataset, ignored: Collection[str], place: str) -> Iterator[str]:
    from pydicom.datadict import keyword_for_tag

    for tag in sorted({*kept.keys(), *made.keys()}):
        old, new = _element(kept, tag), _element(made, tag)
        keyword = keyword_for_tag(tag)
        if keyword in ignored or keyword in _PIXELS:
            continue
        name = f"{place}{keyword or 'private'} ({tag.group:04X},{tag.element:04X})"
        if old is None or new is None:
            yield f"{name}: only in the {'golden file' if new is None else 'object'}"
        elif old.VR == new.VR == "SQ":
            yield from _item_differences(old, new, ignored, f"{place}{keyword}", name)
        elif not _same(old, new):
            yield f"{name}: {_shown(old)} in the golden file, {_shown(new)} in the object"


def _element(dataset: Dataset, tag: BaseTag) -> DataElement | None:
    return dataset.get(tag)


def _item_differences(
    old: DataElement, new: DataElement, ignored: Collection[str], place: str, name: str
) -> Iterator[str]:
    if len(old.value) != len(new.value):
        yield f"{name}: {counted(len(old.value), 'item')} in the golden file, {len(new.value)} in the object"
    for number, (one, other) in enumerate(zip(old.value, new.value, strict=False)):
        yield from _differences(one, other, ignored, f"{place}[{number}].")


def _same(old: DataElement, new: DataElement) -> bool:
    if isinstance(old.value, bytes) and isinstance(new.value, bytes):  # a file pads to an even length
        return old.value.rstrip(b"\0") == new.value.rstrip(b"\0")
    return bool(old.value == new.value) or (old.is_empty and new.is_empty)


def _shown(element: DataElement) -> str:
    """Returns a value as text for a message, without patient attributes."""
    if element.keyword in NAMES or element.keyword in IDS or element.keyword == "PatientBirthDate":
        return "a value"
    if isinstance(element.value, bytes):
        return f"{len(element.value)} bytes"
    text = repr(element.value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _voxel_differences(kept: Dataset, made: Dataset, tolerance: float) -> Iterator[str]:
    import numpy as np

    old, new = _voxels(kept), _voxels(made)
    if old is None or new is None:
        if (old is None) != (new is None):
            yield f"pixels: only in the {'golden file' if new is None else 'object'}"
        return
    if old.shape != new.shape:
        yield f"pixels: of shape {old.shape} in the golden file, {new.shape} in the object"
        return
    off = np.abs(old.astype(np.float64) - new.astype(np.float64))
    wrong = ~(off <= tolerance) & ~(np.isnan(old.astype(np.float64)) & np.isnan(new.astype(np.float64)))
    if wrong.any():
        first = tuple(int(index) for index in np.argwhere(wrong)[0])
        yield (
            f"pixels: {int(wrong.sum())} of {wrong.size} voxels are off by up to {np.nanmax(off[wrong]):g}; the first "
            f"at {first} (frame, row, column): {old[first]} in the golden file, {new[first]} in the object"
        )


def _voxels(dataset: Dataset) -> Any:
    """Returns stored values as (frames, rows, columns[, samples]); None if there are none."""
    if not any(keyword in dataset for keyword in _PIXELS):
        return None
    if "file_meta" not in dataset.__dict__ or "TransferSyntaxUID" not in dataset.file_meta:
        return None
    array = dataset.pixel_array
    return array if int(dataset.get("NumberOfFrames") or 1) > 1 else array[None]
