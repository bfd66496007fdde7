"""``session.report()``: inputs, work and output of a job, in both modes; never a value of the patient."""

from __future__ import annotations

import asyncio
import hashlib
import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest
from dependency_injector import providers
from PIL import Image, PngImagePlugin

from dcm_processor_service.errors import InvalidNameError, SendRejectedError
from dcm_processor_service.imaging.pictures.mosaic import LABEL_COLOURS
from dcm_processor_service.models import JobEvent
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.testing import FakePacs, Faults, fake_async_context, fake_context, synthetic_series
from tests.unit.test_hypertext import Seen

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pydicom import Dataset

    from dcm_processor_service import AsyncRuntimeContext, Container, RuntimeContext
    from dcm_processor_service.models import ResultPicture

PATIENT = ("Doe", "Jane", "PAT-7788", "1979", "Referring")


def scans(slices: int = 6) -> list[Dataset]:
    made = synthetic_series(slices=slices)
    for dataset in made:
        dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = "Doe^Jane", "PAT-7788", "19790131"
        dataset.ReferringPhysicianName = "Referring^Robert"
        dataset.SeriesDescription, dataset.SeriesDate = "Thorax of Jane Doe", "20260102"
    return made


def fill(ctx: RuntimeContext) -> None:
    """Uses data, files, derived objects and sending a little each."""
    series = ctx.session.dicom.get_series()
    with ctx.step("measure", {"threshold": 0.5}) as step:
        step.data["n"] = 1
    mask = np.zeros((16, 16, 6), np.uint8)
    mask[4:8, 4:8, 2:4] = 1
    ctx.session.files.save(
        "Doe_Jane.nii.gz", series.volume().like(mask).to_nifti(), metadata={"labels": {"1": "<liver> of Doe"}}
    )
    ctx.session.data["owner"] = {"name": "Doe^Jane", "id": "PAT-7788", "born": "31.01.1979", "ml": 12.5}
    made = ctx.session.dicom.derive.segmentation({"liver": mask == 1}, like=series)
    with FakePacs() as pacs:
        ctx.session.dicom.send(made, to=pacs.peer)


def page_of(ctx: RuntimeContext, **options: Any) -> str:
    stored = ctx.session.report(**options)
    return ctx.session.files.read(stored.name).decode()


def test_the_page_is_a_session_file_that_tells_what_the_job_did() -> None:
    ctx = fake_context(series=scans(), job_name="segment", params={"threshold": 0.5})
    fill(ctx)
    text = page_of(ctx)
    words = Seen(text).words
    for part in (
        *(
            "Run of segment",
            "CT",
            "2026-01-02",
            "6 instances",
            '{"threshold": 0.5}',
            "<liver> of [removed] 0.064 ml",
            "12.5",
        ),
        *("Segmentation", "1 of 1 instance stored at FAKEPACS", "measure", "over CT · 2 of 6 slices"),
    ):
        assert part in words
    assert text.count("data:image/png;base64,") == 1
    assert ctx.session.files.info("report.html").content_type == "text/html"


def test_no_word_of_the_page_is_a_value_of_the_patient_unless_it_is_asked_for() -> None:
    ctx = fake_context(series=scans())
    fill(ctx)
    text = page_of(ctx)
    assert not [value for value in PATIENT if value in Seen(text).words]
    shown = Seen(page_of(ctx, show_patient=True)).words
    assert "Doe^Jane" in shown
    assert "1979-01-31" in shown
    assert "PAT-7788" in shown


def test_what_the_environment_does_not_tell_of_a_job_its_document_does() -> None:
    ctx = fake_context(series=scans(), job_name="own")
    reporting = ctx.session._async._reporting()
    told = ctx.job._async
    document = run_inline(told.read()).model_copy(
        update={"name": "segment", "service_name": "liver", "event": JobEvent.STABLE_SERIES}
    )
    ctx.job.preset(document)
    told.name, told.service_name, told.event = "own", "ours", JobEvent.STABLE_STUDY
    named = run_inline(reporting.collect())
    assert (named.job_name, named.service_name, named.event) == ("own", "ours", JobEvent.STABLE_STUDY)
    told.name, told.service_name, told.event = "", "", None
    silent = run_inline(reporting.collect())
    assert (silent.job_name, silent.service_name, silent.event) == ("segment", "liver", JobEvent.STABLE_SERIES)
    (given,) = silent.inputs
    assert (given.instance_count, given.sha256) == (6, ctx.session.dicom.get_series().checksum())


def test_a_value_has_one_checksum_in_whatever_order_it_was_built() -> None:
    ctx = fake_context()
    ctx.session.data["one"] = {"volume_ml": 12.5, "parts": {"left": 1, "right": 2}}
    ctx.session.data["same"] = {"parts": {"right": 2, "left": 1}, "volume_ml": 12.5}
    ctx.session.data["other"] = {"volume_ml": 12.5, "parts": {"left": 2, "right": 1}}
    shown = {value.name: value for value in run_inline(ctx.session._async._reporting().collect()).data}
    assert shown["one"].sha256 == shown["same"].sha256 != shown["other"].sha256
    text = '{"parts": {"left": 1, "right": 2}, "volume_ml": 12.5}'
    assert shown["one"].sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert shown["one"].size_characters == len(text)


@pytest.mark.parametrize(("length", "is_shown"), [(4094, True), (4095, False)])
def test_a_long_value_is_left_out_with_its_checksum_kept(length: int, *, is_shown: bool) -> None:
    ctx = fake_context()
    ctx.session.data["text"] = "x" * length  # two characters more with its quotes
    (shown,) = run_inline(ctx.session._async._reporting().collect()).data
    assert shown.value == ("x" * length if is_shown else None)
    assert shown.size_characters == length + 2
    assert shown.sha256 == hashlib.sha256(f'"{"x" * length}"'.encode()).hexdigest()


def test_descriptions_of_series_and_objects_are_shown_without_the_patient() -> None:
    ctx = fake_context(series=scans())
    series = ctx.session.dicom.get_series()
    mask = np.ones((16, 16, 6), np.uint8)
    ctx.session.dicom.derive.segmentation(
        {"liver": mask == 1}, like=series, recipe={"series_description": "Liver of Jane Doe"}
    )
    words = Seen(page_of(ctx)).words
    for part in ("Thorax of [removed]", "Liver of [removed]"):
        assert part in words
    assert not any(name in words for name in PATIENT)


def test_a_page_does_not_show_an_earlier_page_and_takes_its_place() -> None:
    ctx = fake_context(series=scans())
    first, second = page_of(ctx), page_of(ctx)
    assert "text/html" not in Seen(second).words
    assert len(ctx.session.files.list()) == 1
    assert abs(len(first) - len(second)) < 200


def test_another_name_is_taken_and_one_that_leads_out_is_refused() -> None:
    ctx = fake_context(series=scans())
    assert ctx.session.report("pages/first.html").name == "pages/first.html"
    with pytest.raises(InvalidNameError):
        ctx.session.report("../first.html")


def test_a_job_about_nothing_has_a_page() -> None:
    assert "no subject, 0 series" in Seen(page_of(fake_context())).words


def test_the_page_of_an_asynchronous_job_is_the_same() -> None:
    async def run(ctx: AsyncRuntimeContext) -> str:
        await ctx.session.data.set("volume_ml", 12.5)
        stored = await ctx.session.report()
        return (await ctx.session.files.read(stored.name)).decode()

    words = Seen(asyncio.run(run(fake_async_context(series=scans(), job_name="segment")))).words
    ctx = fake_context(series=scans(), job_name="segment")
    ctx.session.data["volume_ml"] = 12.5
    blocking = Seen(page_of(ctx)).words
    for part in ("Run of segment", "volume_ml", "12.5", "6 of 6 slices"):
        assert part in words
        assert part in blocking


def test_what_a_peer_refused_is_on_the_page() -> None:
    ctx = fake_context(series=scans())
    with FakePacs(Faults(status=0x0122)) as pacs, pytest.raises(SendRejectedError):
        ctx.session.dicom.send(ctx.session.dicom.get_series(), to=pacs.peer)
    words = Seen(page_of(ctx)).words
    assert "0 of 6 instances stored" in words
    assert words.count("refused") >= 6


def test_a_step_that_an_earlier_run_did_is_on_the_page_too() -> None:
    ctx = fake_context(series=scans())
    for _ in range(2):
        with ctx.step("once", code="1") as step:
            if not step.done:
                step.data["n"] = 1
    assert Seen(page_of(ctx)).words.count("once") == 2


def test_a_step_that_failed_is_on_the_page() -> None:
    ctx = fake_context(series=scans())
    with pytest.raises(ZeroDivisionError), ctx.step("divide", code="1"):
        raise ZeroDivisionError
    assert "divide" in Seen(page_of(ctx)).words
    assert "failed" in Seen(page_of(ctx)).words


def test_a_picture_that_the_job_stored_loses_what_it_carries_beside_its_pixels() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Patient", "Doe^Jane")
    content = io.BytesIO()
    Image.new("RGB", (40, 20), (200, 30, 30)).save(content, "PNG", pnginfo=info)
    assert b"Doe^Jane" in content.getvalue()
    ctx = fake_context(series=scans())
    ctx.session.files.put("plot.png", content.getvalue())
    drawn = asyncio.run(ctx.session._async._reporting().pictures())
    assert list(drawn) == ["plot.png"]
    assert b"Doe" not in drawn["plot.png"].png
    assert Image.open(io.BytesIO(drawn["plot.png"].png)).convert("RGB").getpixel((10, 10)) == (200, 30, 30)


def test_a_study_shows_each_of_its_series() -> None:
    second = synthetic_series(slices=3)
    for dataset in second:
        dataset.SeriesInstanceUID += ".9"
        dataset.SOPInstanceUID += ".9"
    ctx = fake_context(series=[*synthetic_series(slices=4), *second])
    text = page_of(ctx)
    assert text.count("data:image/png;base64,") == 2
    assert "study, 2 series" in Seen(text).words


def test_labels_of_a_study_are_drawn_without_guessing_the_series() -> None:
    second = synthetic_series(slices=3)
    for dataset in second:
        dataset.SeriesInstanceUID += ".9"
        dataset.SOPInstanceUID += ".9"
    ctx = fake_context(series=[*synthetic_series(slices=4), *second])
    array = np.zeros((8, 8, 8), np.uint8)
    array[2:5, 2:5, 2:5] = 1
    ctx.session.files.save("mask.nii.gz", nib.nifti1.Nifti1Image(array, np.eye(4)))
    assert "no scan lies below them" in Seen(page_of(ctx)).words


@pytest.mark.parametrize("kind", ["binary", "fractional"])
@pytest.mark.parametrize("slices", [6, 5])
def test_a_derived_segmentation_is_drawn_over_the_series_that_it_refers_to(kind: str, slices: int) -> None:
    other = synthetic_series(kind="pet", rows=15, columns=15)
    made = synthetic_series(slices=slices, rows=15, columns=15)
    ctx = fake_context(series=[*made, *other])
    series = ctx.session.dicom.get_series(made[0].SeriesInstanceUID)
    masks = np.zeros((2, 15, 15, slices), bool)
    masks[0, 1:5, 2:6, 2:4], masks[1, 9:12, 2:6, 3:5] = True, True
    segments = {"right": masks[0].astype(np.float32), "left": masks[1].astype(np.float32)}
    if kind == "binary":
        segments = {"right": masks[0], "left": masks[1]}
    ctx.session.dicom.derive.segmentation(segments, like=series, kind=kind)  # type: ignore[arg-type]  # one of two
    [picture] = asyncio.run(ctx.session._async._reporting().pictures()).values()
    assert [(entry.name, entry.volume_ml) for entry in picture.legend] == [("right", 0.064), ("left", 0.048)]
    assert picture.caption.startswith(f"over CT · 3 of {slices} slices")
    pixels = np.asarray(Image.open(io.BytesIO(picture.png)).convert("RGB"))
    tile = pixels.shape[1] / 3
    for colour, expected in zip(LABEL_COLOURS, (3.5 / 15, 10.5 / 15), strict=False):
        columns = np.nonzero((pixels == colour).all(axis=2))[1]
        assert np.mean(columns % tile) / tile == pytest.approx(expected, abs=0.05)


def test_a_segmentation_beside_a_mask_file_of_the_same_is_not_drawn_twice() -> None:
    ctx = fake_context(series=scans())
    fill(ctx)
    drawn = asyncio.run(ctx.session._async._reporting().pictures())
    assert list(drawn) == ["Doe_Jane.nii.gz"]
    assert drawn["Doe_Jane.nii.gz"].name == "[removed].nii.gz"


def test_the_picture_of_a_scan_reads_a_few_files_whatever_the_series_holds() -> None:
    asked: list[tuple[int, int]] = []

    def customise(container: Container) -> None:
        functions = container.imaging()

        def draw(paths: Sequence[Path], count: int) -> ResultPicture:
            asked.append((len(paths), count))
            return functions.picture_of_scan(paths, count)

        container.imaging.override(providers.Object(replace(functions, picture_of_scan=draw)))

    assert "8 of 30 slices" in Seen(page_of(fake_context(series=scans(30), customise=customise))).words
    assert asked == [(8, 30)]
