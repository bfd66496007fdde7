"""Every kind of object before ``dciodvfy``, a validator that shares nothing with this package (Debian: dicom3tools)."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation

from dcm_processor_service.derived import (
    Finding,
    ImageOptions,
    MapOptions,
    Marker,
    SourceSeries,
    StudyIdentity,
    capture_pages,
    derive_image,
    encapsulated_pdf,
    make_pdf_dicom,
    make_series_dicom,
    measurement_report,
    overlay,
    parametric_map,
    presentation,
    save,
    segmentation,
    structure_set,
    text_report,
    validate,
)
from dcm_processor_service.derived.objects.segmentations.segmentation import label_segmentation
from dcm_processor_service.derived.source_grid import to_source
from dcm_processor_service.imaging.volumes.volume import Volume
from tests.missing import missing
from tests.unit.derived.sources import make_headers, make_recipe, make_source

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pydicom import Dataset

    from dcm_processor_service.models.derived import ImageKind

SHAPE = (16, 12, 5)
WHOLE = np.arange(960, dtype=np.int16).reshape(SHAPE)
MASK = WHOLE % 7 == 0
WHO = StudyIdentity(patient_id="P-1", study_instance_uid="1.2.3", patient_birth_date="19800101", study_date="20250102")
GROUPS = 6
MISSING = re.compile(r"Error - .*</(\w+)\([0-9a-f,]+\)> - Missing attribute")


def source() -> SourceSeries:
    return make_source(shape=SHAPE, ImageType=["ORIGINAL", "PRIMARY", "AXIAL"], KVP=120, PatientPosition="HFS")


def mammogram() -> SourceSeries:
    headers = make_headers(
        shape=(*SHAPE[:2], 1), SOPClassUID=DigitalMammographyXRayImageStorageForPresentation, Modality="MG",
        BodyPartExamined="BREAST", ImageLaterality="L", ImagerPixelSpacing=[0.1, 0.1], PatientOrientation=["A", "F"],
    )  # fmt: skip
    for keyword in ("FrameOfReferenceUID", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        del headers[0][keyword]
    return SourceSeries.from_headers(headers)


def image(kind: ImageKind, *, multi_frame: bool = False) -> Dataset:
    made = derive_image(
        WHOLE,
        source(),
        make_recipe(kind, derivation_code="Smoothing"),
        options=ImageOptions(kind=kind, multi_frame=multi_frame),
    )
    return made.datasets[-1]


def without_source(kind: ImageKind) -> Dataset:
    values = np.random.default_rng(0).random((*SHAPE, 2)) - 0.3
    affine = np.diag([0.7, -0.8, 3.0, 1.0])
    options = ImageOptions(kind=kind, window=(0.5, 2))
    return derive_image(values, WHO, make_recipe(), affine, options).datasets[7]


def turned(shape: tuple[int, int, int]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    affine = np.diag([0.5, 0.75, 2.5, 1.0])
    affine[:3, 3] = (0.25, 0.1 * shape[0], 1)
    return affine


def uneven() -> SourceSeries:
    headers = make_headers(shape=SHAPE, ImageType=["ORIGINAL", "PRIMARY", "AXIAL"], KVP=120, PatientPosition="HFS")
    headers[-1].ImagePositionPatient = [0, 0, 17]
    return SourceSeries.from_headers(headers)


def presented(like: SourceSeries, mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Dataset:
    markers = [Marker((1.0, 2.0, 5.0), "nodule"), Marker((1.0, 2.0, 5.0))] if like.stacks else []
    return presentation({"lesion": mask}, markers, like, make_recipe())[0]


def measured() -> Dataset:
    masks = segmentation({"liver": MASK}, source(), make_recipe("mask"))
    finding = Finding({"Volume": (12.5, "ml")}, {"Finding": "Normal"}, site="Liver", segment=(masks, 1))
    return measurement_report({"liver": finding}, source(), make_recipe())


def legacy_series() -> Dataset:
    datasets = derive_image(WHOLE, source(), make_recipe(), options=ImageOptions(kind="sc")).datasets
    return make_series_dicom(make_headers()[0], datasets, "Screens")[1]


MAKERS: dict[str, Callable[[], Dataset]] = {
    "CT": lambda: image("ct"),
    "MR": lambda: image("mr"),
    "PET": lambda: image("pt"),
    "SC": lambda: image("sc"),
    "SC, multi-frame word": lambda: image("sc", multi_frame=True),
    "CT of fractions, no source": lambda: without_source("ct"),
    "PET of fractions, no source": lambda: without_source("pt"),
    "SC of fractions, no source": lambda: without_source("sc"),
    "pages": lambda: capture_pages([np.zeros((9, 11, 3), np.uint8)], source(), make_recipe())[0],
    "pages, multi-frame gray": lambda: capture_pages(
        [np.zeros((9, 11), np.uint8)] * 3, source(), make_recipe(), multi_frame=True
    )[0],
    "pages, multi-frame colour": lambda: capture_pages(
        [np.zeros((9, 11, 3), np.uint8)] * 3, source(), make_recipe(), multi_frame=True
    )[0],
    "PDF": lambda: encapsulated_pdf(b"%PDF-1.7 odd", source(), make_recipe()),
    "PDF, predecessor": lambda: make_pdf_dicom(make_headers()[0], "JVBERi0xLjc="),
    "series, predecessor": legacy_series,
    "text": lambda: text_report({"findings": "Żółć\nand more", "impression": ""}, source(), make_recipe()),
    "SEG": lambda: segmentation({"liver": MASK, "left kidney": ~MASK}, source(), make_recipe()),
    "SEG, empty": lambda: segmentation({"liver": MASK & False}, source(), make_recipe()),
    "SEG, fractional": lambda: segmentation({"Tumor": MASK * 0.4}, source(), make_recipe()),
    "SEG, own grid": lambda: segmentation({"liver": MASK}, source(), make_recipe(), turned(SHAPE)),
    "RGB": lambda: derive_image(np.zeros((*SHAPE, 3), np.uint8), source(), make_recipe()).datasets[2],
    "CT, revised": lambda: derive_image(WHOLE, source(), make_recipe(revision=1)).datasets[2],
    "SEG, revised": lambda: segmentation({"liver": MASK}, source(), make_recipe(revision=1)),
    "map, revised": lambda: parametric_map(WHOLE / 7, source(), make_recipe(revision=1)),
    "text, revised": lambda: text_report("words", source(), make_recipe(revision=1)),
    "measurements, revised": lambda: measurement_report({}, source(), make_recipe(revision=1)),
    "PDF, revised": lambda: encapsulated_pdf(b"%PDF-1.7 odd", source(), make_recipe(revision=1)),
    "SEG of a mammogram": lambda: segmentation({"lesion": MASK[..., 0]}, mammogram(), make_recipe()),
    "image of a mammogram": lambda: derive_image(WHOLE[..., 0], mammogram(), make_recipe()).datasets[0],
    "SEG of labels": lambda: label_segmentation(MASK.astype(np.uint8), "totalsegmentator", source(), make_recipe()),
    "measurements without values": lambda: measurement_report(
        {"left kidney": Finding({"Volume": (np.nan, "ml")}, {"Image Quality": "Good", "Remark": "noise"})},
        source(),
        make_recipe(),
    ),
    "RTSTRUCT": lambda: structure_set({"liver": MASK, "left kidney": MASK & False}, source(), make_recipe()),
    "RTSTRUCT of labels, revised": lambda: structure_set(
        MASK.astype(np.uint8), source(), make_recipe(revision=1), "totalsegmentator"
    ),
    "overlay": lambda: overlay(WHOLE, {"liver": MASK, "left kidney": ~MASK}, source(), make_recipe())[2],
    "SEG on uneven slices": lambda: segmentation(
        {"liver": to_source(Volume(MASK, turned(SHAPE)), uneven())}, uneven(), make_recipe()
    ),
    "presentation state": lambda: presented(source(), MASK),
    "presentation state of a mammogram": lambda: presented(mammogram(), MASK[..., 0]),
    "map": lambda: parametric_map(WHOLE / 7, source(), make_recipe(), options=MapOptions("mm2/s")),
    "measurements": measured,
    "measurements, none": lambda: measurement_report({}, source(), make_recipe()),
}


def complaints(path: Path) -> list[str]:
    """The errors that dciodvfy finds."""
    program = shutil.which("dciodvfy")
    if program is None:
        reason = "dciodvfy is not installed (Debian package dicom3tools)"
        missing(reason)
    run = subprocess.run([program, "-new", str(path)], capture_output=True, encoding="latin-1", timeout=60, check=False)
    return [line for line in run.stderr.splitlines() if line.startswith(("Error", "Abort"))]


@pytest.mark.parametrize("name", list(MAKERS))
def test_an_outside_validator_finds_no_error(name: str, tmp_path: Path) -> None:
    dataset = MAKERS[name]()
    assert validate(dataset) == ()
    (path,) = save([dataset], tmp_path)
    assert complaints(path) == []


@pytest.mark.parametrize("name", ["CT", "MR", "PET", "SC", "PDF", "text", "SEG", "RTSTRUCT", "presentation state"])
def test_whatever_the_outside_validator_misses_is_missed_here_too(name: str, tmp_path: Path) -> None:
    complete = MAKERS[name]()
    keywords = [each.keyword for each in complete if each.keyword != "SOPClassUID" and each.VR not in {"OW", "OB"}]
    tried = 0
    for group in range(GROUPS):  # what one attribute asks of another must not go with it every time
        broken = complete.copy()
        broken.file_meta = complete.file_meta
        left_out = keywords[group::GROUPS]
        for keyword in left_out:
            delattr(broken, keyword)
        (path,) = save([broken], tmp_path, check=False)
        missing = {match[1] for match in map(MISSING.search, complaints(path)) if match} & set(left_out)
        assert missing <= {problem.keyword for problem in validate(broken)}
        tried += len(missing)
    assert tried >= 10
