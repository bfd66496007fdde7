"""Volumes at one place that are different kinds of image never become one time series."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import UID, ParametricMapStorage, XRay3DAngiographicImageStorage

from dcm_processor_service.imaging.series.inspection import inspect_series
from dcm_processor_service.imaging.volumes.read import read_volume, read_volumes
from tests.unit.imaging.refusals import refused
from tests.unit.imaging.synthetic import Recipe, multi_frame, single_frame

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MADE: dict[str, tuple[Any, Any]] = {
    "AttenuationCorrectionMethod": ("measured", "NONE"),
    "ComplexImageComponent": ("MAGNITUDE", "PHASE"),
    "CorrectedImage": (["DECY", "ATTN"], ["DECY"]),
    "PatientPosition": ("HFS", "HFP"),
    "ReconstructionMethod": ("OSEM", "FBP"),
}
SHOWN: dict[str, tuple[Any, Any]] = {
    "DerivationDescription": (None, "subtracted"),
    "ImageComments": ("40 keV", "70 keV"),
    "ScanningSequence": ("GR", "SE"),
    "SeriesDescription": ("plain", "difference"),
    "SliceThickness": ("2", "10"),
}


def volumes_with(folder: Path, values: Sequence[Any], keyword: str, modality: str = "PT", **others: Any) -> list[Path]:
    """Makes volumes at one place, each with its value; otherwise only their InstanceNumbers tell them apart."""
    paths = single_frame(Recipe(slices=4, volumes=len(values), modality=modality), folder)
    for path in paths:
        ds = dcmread(path)
        t = ds.TemporalPositionIdentifier - 1
        del ds.TemporalPositionIdentifier
        for name, value in {keyword: values[t], **{name: each[t] for name, each in others.items()}}.items():
            if value is not None:
                setattr(ds, name, value)
        ds.save_as(path)
    return paths


@pytest.mark.parametrize(
    ("others", "is_taken"),
    [({}, False), ({"ContentTime": ["1000", "1001"]}, False), ({"AcquisitionTime": ["1000", "1001"]}, True)],
    ids=["numbers", "written", "taken"],
)
@pytest.mark.parametrize("keyword", [*MADE, *SHOWN])
def test_volumes_that_are_made_or_labelled_otherwise_are_no_time_series(
    tmp_path: Path, keyword: str, others: dict[str, Any], *, is_taken: bool
) -> None:
    values = (MADE | SHOWN)[keyword]
    paths = volumes_with(tmp_path, values, keyword, **others)
    if is_taken and keyword in SHOWN:
        assert read_volume(paths).shape == (5, 4, 4, 2)
        return
    report = refused(paths, "MULTI_VOLUME")
    [finding] = [one for one in report.findings if one.code == "MULTI_VOLUME"]
    assert (finding.attribute, finding.count) == (keyword, 2)
    assert [part.shape for part in read_volumes(paths, "split")] == [(5, 4, 4)] * 2


def test_a_label_that_counts_many_volumes_is_none_of_a_kind(tmp_path: Path) -> None:
    for count in (8, 9):
        (tmp_path / f"{count}").mkdir()
        paths = volumes_with(tmp_path / f"{count}", [f"measurement {t}" for t in range(count)], "ImageComments")
        assert len(inspect_series(paths).parts) == (count if count == 8 else 1)


@pytest.mark.parametrize(
    ("macro", "keyword", "values", "sop_class"),
    [
        ("XRay3DFrameTypeSequence", "FrameType", ["VOLUME", "MAX_IP"], XRay3DAngiographicImageStorage),
        ("ParametricMapFrameTypeSequence", "FrameType", ["T1", "T2"], ParametricMapStorage),
        ("CTReconstructionSequence", "ReconstructionAlgorithm", ["FILTER_BACK_PROJ", "ITERATIVE"], ""),
        ("CTAdditionalXRaySourceSequence", "KVP", ["80", "140"], ""),
        ("FrameContentSequence", "FrameComments", ["water", "fat"], ""),
    ],
    ids=["projection", "map", "reconstruction", "tube", "comments"],
)
def test_frames_of_two_kinds_are_no_time_series(
    tmp_path: Path, macro: str, keyword: str, values: list[str], sop_class: str
) -> None:
    [path] = multi_frame(Recipe(slices=4, volumes=2, modality="CT"), tmp_path)
    ds = dcmread(path)
    frames = sorted(
        enumerate(ds.PerFrameFunctionalGroupsSequence),
        key=lambda each: tuple(each[1].FrameContentSequence[0].DimensionIndexValues),
    )
    stored = ds.pixel_array
    for _, group in frames:
        content = group.FrameContentSequence[0]
        t = content.TemporalPositionIndex - 1
        del content.TemporalPositionIndex, content.DimensionIndexValues
        item = content if macro == "FrameContentSequence" else Dataset()
        setattr(item, keyword, ["ORIGINAL", "PRIMARY", values[t], "NONE"] if keyword == "FrameType" else values[t])
        setattr(group, macro, [item])
    ds.PerFrameFunctionalGroupsSequence = [group for _, group in frames]
    ds.PixelData = stored[[index for index, _ in frames]].tobytes()
    if sop_class:
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = UID(sop_class)
        mapping = Dataset()
        mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept = 1.0, 0.0
        ds.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence = [mapping]
    ds.save_as(path)
    refused([path], "MULTI_VOLUME")
    parts = read_volumes([path], "split")
    sources = [[one.frame_number for one in part.sources[0]] for part in parts]
    assert sorted(sources) == [[1, 2, 3, 4], [5, 6, 7, 8]]


@pytest.mark.parametrize(("maker", "is_refused"), [("GE MEDICAL SYSTEMS", True), ("SIEMENS", False)])
def test_two_volumes_of_ge_without_the_name_of_their_sequence_are_refused(
    tmp_path: Path, maker: str, *, is_refused: bool
) -> None:
    paths = volumes_with(tmp_path, [maker] * 2, "Manufacturer", "MR")
    assert ("UNKNOWN_KIND" in inspect_series(paths).codes) is is_refused
    if is_refused:
        message = str(refused(paths, "UNKNOWN_KIND"))
        assert "its private name, which says whether one is a field map, is missing" in message
