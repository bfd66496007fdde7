"""Functions for tests of refusals: they change series on disk, and check that a refusal has the right reason."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

from dcm_processor_service.errors import InvalidSeriesError
from dcm_processor_service.imaging.volumes.read import read_volumes
from tests.unit.imaging.synthetic import Recipe, single_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dcm_processor_service.models import SeriesReport


def packaged(name: str) -> Path:
    found = get_testdata_file(name, download=False)
    assert isinstance(found, str)
    return Path(found)


def in_slice_order(paths: list[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: tuple(map(float, dcmread(path).ImagePositionPatient))[::-1])


def put(ds: Dataset, values: Mapping[str, Any]) -> Dataset:
    """Sets attributes of a dataset by their keywords, and returns it."""
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def change(paths: list[Path], edit: Callable[[Dataset, int], Any]) -> list[Path]:
    """Edits the files in slice order."""
    ordered = in_slice_order(paths)
    for index, path in enumerate(ordered):
        ds = dcmread(path)
        edit(ds, index)
        ds.save_as(path)
    return ordered


def together(folder: Path, *series: tuple[Recipe, str]) -> list[Path]:
    """Several synthetic series under one SeriesInstanceUID."""
    uid, paths = generate_uid(), []
    for recipe, name in series:
        (folder / name).mkdir()
        paths += single_frame(recipe, folder / name)
    for path in paths:
        ds = dcmread(path)
        ds.SeriesInstanceUID = uid
        ds.StudyInstanceUID, ds.FrameOfReferenceUID = uid[:60] + ".1", uid[:60] + ".2"
        ds.save_as(path)
    return paths


def refused(paths: list[Path], code: str, policy: Any = "strict") -> SeriesReport:
    with pytest.raises(InvalidSeriesError, match=code) as caught:
        read_volumes(paths, policy)
    report = caught.value.report
    assert report is not None
    assert code in report.codes
    assert "SECRET" not in str(caught.value).upper()
    assert "SECRET" not in str(report).upper()
    return report
