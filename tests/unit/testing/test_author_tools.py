"""Output of other jobs, golden results and privacy, in tests of callbacks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest
from pydicom import dcmread

from dcm_processor_service.errors import InvalidNameError, JobNotFoundError
from dcm_processor_service.testing import (
    assert_no_phi,
    compare_derived,
    fake_async_context,
    fake_context,
    synthetic_series,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pydicom import Dataset

    from dcm_processor_service import AsyncRuntimeContext


def test_output_of_other_jobs_is_read_by_job_name(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_bytes(b"by path")
    image = nib.nifti1.Nifti1Image(np.ones((2, 2, 2), np.uint8), np.eye(4))
    ctx = fake_context(
        series=synthetic_series(),
        upstream={"segment": {"volume_ml": 5.0}, "qc": {"ok": True}},
        upstream_files={"segment": {"mask.nii.gz": image}, "archive": {"note.txt": tmp_path / "note.txt"}},
    )
    assert ctx.session.data.get("volume_ml", float, job="segment") == 5.0
    assert ctx.session.data.get("ok", job="qc") is True
    assert ctx.session.files.load("mask.nii.gz", job="segment").shape == (2, 2, 2)
    assert ctx.session.files.read("note.txt", job="archive") == b"by path"
    assert ctx.session.data.keys() == []
    assert {job.name for job in ctx.session.jobs()} == {"job", "segment", "qc", "archive"}
    with pytest.raises(JobNotFoundError):
        ctx.session.data.get("volume_ml", job="other")


def test_own_data_and_files_are_there_before_the_callback_runs() -> None:
    ctx = fake_context(data={"runs": 2}, files={"a/box.json": {"mm": 1}, "raw.bin": b"\x00"})
    assert ctx.session.data.increment("runs") == 3
    assert ctx.session.files.load("a/box.json") == {"mm": 1}
    assert ctx.session.files.read("raw.bin") == b"\x00"


def test_an_asynchronous_context_takes_the_same() -> None:
    async def read(ctx: AsyncRuntimeContext) -> tuple[Any, bytes]:
        return await ctx.session.data.get("volume_ml", job="segment"), await ctx.session.files.read("x.txt")

    ctx = fake_async_context(upstream={"segment": {"volume_ml": 5.0}}, files={"x.txt": b"y"})
    assert asyncio.run(read(ctx)) == (5.0, b"y")


def test_a_name_that_no_store_takes_is_refused() -> None:
    with pytest.raises(InvalidNameError):
        fake_context(data={"": 1})


@pytest.mark.parametrize("make", [fake_context, fake_async_context])
def test_a_text_with_a_value_of_the_patient_is_found_and_not_repeated(make: Callable[..., Any]) -> None:
    series = synthetic_series()
    for dataset in series:
        dataset.PatientName, dataset.PatientBirthDate, dataset.AccessionNumber = "Doe^Jane", "19790131", "ACC-4711-9"
    ctx = make(series=series)
    assert_no_phi("liver 1500 ml, series 1.2.826.0.1.3680043.8.498.1.1", ctx)
    assert_no_phi(b"liver", ctx)
    for text, keyword in (
        ("mask of DOE_jane", "PatientName"),
        ("born 31.1.1979", "PatientBirthDate"),
        (b"order ACC-4711-9", "AccessionNumber"),
        ("id SYNTHETIC", "PatientID"),
    ):
        with pytest.raises(AssertionError, match=keyword) as raised:
            assert_no_phi(text, ctx)
        assert not [value for value in ("Jane", "jane", "1979", "4711") if value in str(raised.value)]


@pytest.mark.parametrize("make", [fake_context, fake_async_context])
def test_a_context_without_a_patient_cannot_vouch_for_a_text(make: Callable[..., Any]) -> None:
    with pytest.raises(AssertionError, match="knows no patient"):
        assert_no_phi("anything", make())


def segmentation(**changes: Any) -> Dataset:
    ctx = fake_context(series=synthetic_series(slices=4), **changes)
    mask = np.zeros((16, 16, 4), bool)
    mask[4:9, 4:9, 1:3] = True
    return ctx.session.dicom.derive.segmentation({"liver": mask}, like=ctx.session.dicom.get_series())


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    path = tmp_path / "golden.dcm"
    compare_derived(segmentation(), path, update=True)
    return path


def test_another_session_and_another_day_make_the_same_result(golden: Path) -> None:
    compare_derived(segmentation(), golden)
    other = segmentation(session_id="6" * 24)
    assert other.SOPInstanceUID != dcmread(golden).SOPInstanceUID
    other.ContentDate = "19990101"
    compare_derived(other, golden)


def test_a_tag_that_differs_is_shown_with_its_place(golden: Path) -> None:
    made = segmentation()
    made.SegmentSequence[0].SegmentLabel = "spleen"
    made.BodyPartExamined = "ABDOMEN"
    with pytest.raises(AssertionError) as raised:
        compare_derived(made, golden)
    assert "SegmentSequence[0].SegmentLabel (0062,0005): 'liver' in the golden file, 'spleen' in the object" in str(
        raised.value
    )
    assert "BodyPartExamined (0018,0015): only in the object" in str(raised.value)
    compare_derived(made, golden, ignore={"SegmentLabel", "BodyPartExamined"})


def test_a_value_of_the_patient_is_not_in_the_message(golden: Path) -> None:
    made = segmentation()
    made.PatientName = "Doe^Jane"
    with pytest.raises(
        AssertionError, match=r"PatientName .0010,0010.: a value in the golden file, a value in the object"
    ):
        compare_derived(made, golden)


def test_voxels_that_differ_are_counted_and_the_first_is_shown(tmp_path: Path) -> None:
    ctx = fake_context(series=synthetic_series(slices=3))
    series = ctx.session.dicom.get_series()
    volume = series.volume()
    [first, *_] = ctx.session.dicom.derive(volume, like=series, role="copy")
    compare_derived(first, tmp_path / "image.dcm", update=True)
    array = volume.array.copy()
    array[3, 2, 0] += 5
    array[4, 2, 0] -= 2
    changed = fake_context(series=synthetic_series(slices=3))
    again = changed.session.dicom.get_series()
    [made, *_] = changed.session.dicom.derive(again.volume().like(array), like=again, role="copy")
    with pytest.raises(AssertionError) as raised:
        compare_derived(made, tmp_path / "image.dcm", ignore={"SmallestImagePixelValue", "LargestImagePixelValue"})
    assert "2 of 256 voxels are off by up to 5; the first at (0, 2, 3) (frame, row, column)" in str(raised.value)
    compare_derived(made, tmp_path / "image.dcm", tolerance=5)


def test_items_that_are_more_or_fewer_are_reported(golden: Path) -> None:
    made = segmentation()
    made.ReferencedSeriesSequence[0].ReferencedInstanceSequence.pop()
    with pytest.raises(
        AssertionError, match=r"ReferencedInstanceSequence .*: 4 items in the golden file, 3 in the object"
    ):
        compare_derived(made, golden)


def test_a_missing_golden_file_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"no golden file 'new.dcm': look at the object, then .* update=True"):
        compare_derived(segmentation(), tmp_path / "new.dcm")
