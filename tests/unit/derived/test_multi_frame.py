"""A multi-frame Secondary Capture says for each frame where it lies, its volume and its sources."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydicom.datadict import tag_for_keyword
from pydicom.uid import (
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
)

from dcm_processor_service.derived import ImageOptions, derive_image, validate
from dcm_processor_service.models.derived import StudyIdentity
from tests.unit.derived.sources import PLAIN, make_recipe, make_source, stored

SHAPE = (5, 4, 3)
OPTIONS = ImageOptions(kind="sc", multi_frame=True)


def made_of(array: np.ndarray[Any, Any], source: Any = None, affine: np.ndarray[Any, Any] | None = None) -> Any:
    (made,) = derive_image(array, source or make_source(), make_recipe(), affine, OPTIONS).datasets
    assert validate(made) == ()
    return stored(made)


def indices(made: Any) -> list[tuple[Any, ...]]:
    return [
        (
            content.StackID,
            content.InStackPositionNumber,
            content.TemporalPositionIndex,
            np.atleast_1d(content.DimensionIndexValues).tolist(),
        )
        for groups in made.PerFrameFunctionalGroupsSequence
        for content in groups.FrameContentSequence
    ]


def dimensions(made: Any) -> list[Any]:
    assert {dimension.DimensionOrganizationUID for dimension in made.DimensionIndexSequence} == {
        made.DimensionOrganizationSequence[0].DimensionOrganizationUID
    }
    assert {dimension.FunctionalGroupPointer for dimension in made.DimensionIndexSequence} == {
        tag_for_keyword("FrameContentSequence")
    }
    return [dimension.DimensionIndexPointer for dimension in made.DimensionIndexSequence]


SLICE, TIME = tag_for_keyword("InStackPositionNumber"), tag_for_keyword("TemporalPositionIndex")


def test_frames_count_slices_and_with_several_volumes_volumes_first() -> None:
    one = made_of(np.zeros(SHAPE, np.uint8))
    assert indices(one) == [("1", 1, 1, [1]), ("1", 2, 1, [2]), ("1", 3, 1, [3])]
    assert dimensions(one) == [SLICE]
    two = made_of(np.zeros((*SHAPE, 2), np.uint8))
    assert indices(two) == [("1", k, t, [t, k]) for t in (1, 2) for k in (1, 2, 3)]
    assert dimensions(two) == [TIME, SLICE]
    for made in (one, two):
        assert made.FrameIncrementPointer == tag_for_keyword("PerFrameFunctionalGroupsSequence")
    single = made_of(np.zeros((5, 4, 1), np.uint8), affine=PLAIN)
    assert single.NumberOfFrames == 1
    assert "FrameIncrementPointer" not in single


def test_the_geometry_stands_in_functional_groups() -> None:
    made = made_of(np.zeros(SHAPE, np.uint16))
    (shared,) = made.SharedFunctionalGroupsSequence
    (measures,), (orientation,) = shared.PixelMeasuresSequence, shared.PlaneOrientationSequence
    assert [float(value) for value in measures.PixelSpacing] == [0.75, 0.5]
    assert (float(measures.SliceThickness), float(measures.SpacingBetweenSlices)) == (2.5, 2.5)
    assert [float(value) for value in orientation.ImageOrientationPatient] == [1, 0, 0, 0, 1, 0]
    positions = [
        [float(value) for value in groups.PlanePositionSequence[0].ImagePositionPatient]
        for groups in made.PerFrameFunctionalGroupsSequence
    ]
    assert positions == [[0, 0, 0], [0, 0, 2.5], [0, 0, 5]]
    assert made.FrameOfReferenceUID == "1.2.3.9"
    assert not made.PositionReferenceIndicator


def test_each_frame_on_the_sources_grid_refers_to_its_own_sources() -> None:
    made = made_of(np.zeros(SHAPE, np.uint8), make_source(volumes=2))
    referred = []
    for groups in made.PerFrameFunctionalGroupsSequence:
        (derivation,) = groups.DerivationImageSequence
        assert derivation.DerivationDescription == "result by liver-volume 1.4.0"
        referred.append([each.ReferencedSOPInstanceUID for each in derivation.SourceImageSequence])
    assert referred == [[f"1.2.3.1.{k}", f"1.2.3.2.{k}"] for k in (1, 2, 3)]
    assert made.DerivationDescription == "result by liver-volume 1.4.0"
    assert len(made.SourceImageSequence) == 6


def test_a_frame_elsewhere_or_of_no_source_refers_to_none() -> None:
    moved = PLAIN.copy()
    moved[0, 3] = 0.2
    who = StudyIdentity(patient_id="P-1", study_instance_uid="1.2.3")
    for made in (made_of(np.zeros(SHAPE, np.uint8), affine=moved), made_of(np.zeros(SHAPE, np.uint8), who, PLAIN)):
        assert all("DerivationImageSequence" not in groups for groups in made.PerFrameFunctionalGroupsSequence)


@pytest.mark.parametrize(
    ("dtype", "sop_class", "bits"),
    [
        (np.uint8, MultiFrameGrayscaleByteSecondaryCaptureImageStorage, 8),
        (np.uint16, MultiFrameGrayscaleWordSecondaryCaptureImageStorage, 16),
        (np.int16, MultiFrameGrayscaleWordSecondaryCaptureImageStorage, 16),
    ],
)
def test_values_mean_themselves_in_the_narrowest_class(dtype: type[np.generic], sop_class: str, bits: int) -> None:
    array = np.arange(60).reshape(SHAPE).astype(dtype)
    made = made_of(array)
    assert (made.SOPClassUID, made.BitsAllocated, made.PixelRepresentation) == (sop_class, bits, 0)
    assert np.array_equal(made.pixel_array.transpose(2, 1, 0), array)
    assert (made.RescaleSlope, made.RescaleIntercept, made.RescaleType) == (1, 0, "US")
    assert (made.WindowCenter, made.WindowWidth) == (30, 60)
    assert (made.Modality, made.ConversionType, made.BurnedInAnnotation) == ("CT", "WSD", "NO")
    assert (list(made.ImageType), made.PresentationLUTShape) == (["DERIVED", "SECONDARY"], "IDENTITY")


def test_without_a_source_or_its_modality_it_is_of_another_modality() -> None:
    who = StudyIdentity(patient_id="P-1", study_instance_uid="1.2.3")
    assert made_of(np.zeros(SHAPE, np.uint8), who, PLAIN).Modality == "OT"
    assert made_of(np.zeros(SHAPE, np.uint8), make_source(Modality="")).Modality == "OT"
