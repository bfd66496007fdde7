"""Masks of a 4D series: a SEG for each time point, which refers to its own frames."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest
from pydicom import Dataset

from dcm_processor_service import Volume
from dcm_processor_service.derived import Segment, validate
from dcm_processor_service.derived.objects.segmentations.time_points import segmentations
from dcm_processor_service.derived.source import SourceSeries
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.testing import fake_context, synthetic_series
from tests.unit.derived.sources import PLAIN, make_headers, make_recipe, make_source, stored

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHAPE = (5, 4, 3)
VOLUMES = 4
MASK = np.zeros((*SHAPE, VOLUMES), bool)
for time in range(VOLUMES):
    MASK[time, 1:3, 1:, time] = True


def source() -> SourceSeries:
    return make_source(PLAIN, SHAPE, VOLUMES)


def instances(made: Dataset) -> set[str]:
    found: set[str] = set()
    for frame in made.PerFrameFunctionalGroupsSequence:
        for derivation in frame.DerivationImageSequence:
            found |= {str(item.ReferencedSOPInstanceUID) for item in derivation.SourceImageSequence}
    return found


def voxels(made: Dataset) -> NDArray[Any]:
    """The mask on the source's grid."""
    array = np.zeros(SHAPE, bool)
    pixels = np.atleast_3d(stored(made).pixel_array)
    frames = pixels if pixels.shape[0] == len(made.PerFrameFunctionalGroupsSequence) else pixels[np.newaxis, ..., 0]
    for frame, groups in zip(frames, made.PerFrameFunctionalGroupsSequence, strict=True):
        z = float(groups.PlanePositionSequence[0].ImagePositionPatient[2])
        array[:, :, round((z - PLAIN[2, 3]) / PLAIN[2, 2])] = frame.T
    return array


def forms() -> dict[str, Any]:
    ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ PLAIN
    return {
        "array": MASK,
        "Volume": Volume(MASK, PLAIN),
        "NIfTI": nib.nifti1.Nifti1Image(MASK.astype(np.uint8), ras),
        "Segment": Segment(MASK),
    }


@pytest.mark.parametrize("form", forms())
def test_each_time_point_has_its_mask_and_its_sources(form: str) -> None:
    made = segmentations({"liver": forms()[form]}, source(), make_recipe())
    assert len(made) == VOLUMES
    for number, each in enumerate(made, start=1):
        assert instances(each) == {f"1.2.3.{number}.{k}" for k in (2, 3)}
        assert np.array_equal(voxels(each), MASK[..., number - 1])
        assert validate(each) == ()


def test_objects_are_distinguished_and_the_same_on_every_run() -> None:
    made, again = (segmentations({"liver": MASK}, source(), make_recipe()) for _ in range(2))
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription"):
        values = [str(each[keyword].value) for each in made]
        assert len({*values}) == VOLUMES
        assert values == [str(each[keyword].value) for each in again]
    assert made[1].SeriesDescription.endswith(", time point 2")
    first = made[0].SeriesNumber
    assert first // 1000 == source().first.SeriesNumber  # as of every series that is derived from it
    assert [each.SeriesNumber for each in made] == [*range(first, first + VOLUMES)]


def test_a_given_number_is_that_of_the_first_time_point_and_a_long_description_is_cut() -> None:
    recipe = make_recipe(series_number=700, series_description="d" * 64)
    made = segmentations({"liver": MASK}, source(), recipe)
    assert [each.SeriesNumber for each in made] == [700, 701, 702, 703]
    assert {len(each.SeriesDescription) for each in made} == {64}


def test_a_label_map_has_the_same_segments_at_each_time_point() -> None:
    labels = MASK.astype(np.uint8)
    labels[..., 2] = 0
    labels[0, 0, 0, 3] = 5
    made = segmentations(labels, source(), make_recipe(), {1: "liver", 5: "spleen"})
    names = [[item.SegmentLabel for item in each.SegmentSequence] for each in made]
    assert names == [["liver", "spleen"]] * VOLUMES
    tables = segmentations(labels, source(), make_recipe(), "totalsegmentator")
    assert {len(each.SegmentSequence) for each in tables} == {2}


def test_the_frames_of_an_enhanced_object_are_those_of_the_time_point() -> None:
    series = enhanced()
    made = segmentations({"liver": MASK}, series, make_recipe())
    for time, each in enumerate(made):
        frames = set()
        for groups in each.PerFrameFunctionalGroupsSequence:
            for item in groups.DerivationImageSequence[0].SourceImageSequence:
                numbers = item.ReferencedFrameNumber
                frames |= {*([numbers] if isinstance(numbers, int) else numbers)}
        assert frames == {time * SHAPE[2] + k for k in (2, 3)}
        assert np.array_equal(voxels(each), MASK[..., time])


def enhanced() -> SourceSeries:
    """One object of all volumes."""
    header = make_headers(PLAIN, SHAPE)[0]
    header.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    measures, orientation = Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = header.PixelSpacing, header.SliceThickness
    orientation.ImageOrientationPatient = header.ImageOrientationPatient
    shared = Dataset()
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    header.SharedFunctionalGroupsSequence = [shared]
    header.NumberOfFrames = SHAPE[2] * VOLUMES
    header.PerFrameFunctionalGroupsSequence = []
    for time in range(VOLUMES):
        for k in range(SHAPE[2]):
            groups, content, position = Dataset(), Dataset(), Dataset()
            content.TemporalPositionIndex, content.InStackPositionNumber, content.StackID = time + 1, k + 1, "1"
            content.DimensionIndexValues = [time + 1, k + 1]
            position.ImagePositionPatient = list(PLAIN[:3, 3] + k * PLAIN[:3, 2])
            groups.FrameContentSequence, groups.PlanePositionSequence = [content], [position]
            header.PerFrameFunctionalGroupsSequence.append(groups)
    for keyword in ("PixelSpacing", "SliceThickness", "ImageOrientationPatient", "ImagePositionPatient"):
        delattr(header, keyword)
    del header.TemporalPositionIdentifier
    return SourceSeries.from_headers([header])


def test_a_volume_of_a_callback_is_on_the_frames_that_it_names() -> None:
    ctx = fake_context(series=synthetic_series(slices=3, kind="4d"))
    series = ctx.session.dicom.get_series()
    volume = series.volume()
    made = ctx.session.dicom.derive.segmentations({"heart": volume.like(volume.array > 0)}, like=series)
    for each, line in zip(made, volume.sources, strict=True):
        assert instances(each) <= {one.sop_instance_uid for one in line}
        assert instances(each)


@pytest.mark.parametrize("as_labels", [False, True])
def test_a_mask_of_another_order_of_times_is_refused(*, as_labels: bool) -> None:
    ctx = fake_context(series=synthetic_series(slices=3, kind="4d"))
    series = ctx.session.dicom.get_series()
    volume = series.volume()
    mask = volume.like((volume.array > 0).astype(np.uint8))
    for sources in (mask.sources[::-1], mask.sources[:2]):
        wrong = replace(mask, sources=sources)
        given, labels = (wrong, {1: "heart"}) if as_labels else ({"liver": mask, "heart": wrong}, None)
        with pytest.raises(DerivedObjectError, match="order of the source"):
            ctx.session.dicom.derive.segmentations(given, like=series, labels=labels)


@pytest.mark.parametrize(
    ("masks", "labels", "reason"),
    [
        ({"liver": MASK[..., 0]}, None, "one shape"),
        ({"liver": MASK, "spleen": MASK[..., :2]}, None, "one shape"),
        ({"liver": MASK[..., :2]}, None, r"2 time points, and the source has 0 stacks .* \[4\]"),
        ({"liver": MASK[:4]}, None, "0 stacks"),
        ({}, None, "no segments"),
        ({"liver": MASK}, {1: "liver"}, "leave labels out"),
        (MASK.astype(np.uint8), None, "needs the names"),
        ({"no such thing": MASK}, None, "no coded concept"),
    ],
)  # fmt: skip
def test_masks_that_do_not_fit_the_time_points_are_refused(masks: Any, labels: Any, reason: str) -> None:
    with pytest.raises(DerivedObjectError, match=reason):
        segmentations(masks, source(), make_recipe(), labels)


def test_one_segmentation_of_several_time_points_says_how_to_make_several() -> None:
    ctx = fake_context(series=synthetic_series(slices=3, kind="4d"))
    series = ctx.session.dicom.get_series()
    with pytest.raises(DerivedObjectError, match=r"derive\.segmentations"):
        ctx.session.dicom.derive.segmentation({"heart": series.volume().array > 0}, like=series)
