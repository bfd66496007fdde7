"""Results of projections and ultrasound: on the source's own plane, in no frame of reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalXRayImageStorageForPresentation,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
)

from dcm_processor_service.derived import (
    ImageOptions,
    SourceSeries,
    derive_image,
    parametric_map,
    segmentation,
    validate,
)
from dcm_processor_service.errors import DerivedObjectError
from tests.unit.derived.sources import make_headers, make_recipe, stored

if TYPE_CHECKING:
    from pydicom import Dataset

CLASSES = {
    "CR": ComputedRadiographyImageStorage,
    "DX": DigitalXRayImageStorageForPresentation,
    "MG": DigitalMammographyXRayImageStorageForPresentation,
    "US": UltrasoundImageStorage,
}
MASK = np.zeros((7, 6), bool)
MASK[2:5, 3] = True


def headers(modality: str, count: int = 1, **more: Any) -> list[Dataset]:
    found = make_headers(shape=(7, 6, count), **{"SOPClassUID": CLASSES[modality], "Modality": modality, **more})
    for header in found:
        for keyword in (
            "FrameOfReferenceUID", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness",
            "TemporalPositionIdentifier",
        ):  # fmt: skip
            del header[keyword]
        if modality in {"DX", "MG"}:
            header.ImagerPixelSpacing, header.PatientOrientation = [0.1, 0.1], ["L", "F"]
    return found


def source(modality: str, count: int = 1, **more: Any) -> SourceSeries:
    return SourceSeries.from_headers(headers(modality, count, **more))


@pytest.mark.parametrize("modality", CLASSES)
@pytest.mark.parametrize("shape", [(7, 6), (7, 6, 1)], ids=str)
def test_a_mask_is_a_segmentation_on_the_plane_of_its_image(modality: str, shape: tuple[int, ...]) -> None:
    made = stored(segmentation({"lesion": MASK.reshape(shape)}, source(modality), make_recipe()))
    assert "FrameOfReferenceUID" not in made
    assert not [element for element in made.iterall() if element.keyword.startswith(("Plane", "ImagePosition"))]
    assert (made.Rows, made.Columns) == (6, 7)
    assert np.array_equal(np.squeeze(made.pixel_array).T.astype(bool), MASK)
    uids = [str(each.value) for each in made.iterall() if each.keyword == "ReferencedSOPInstanceUID"]
    assert set(uids) == {"1.2.3.1.1"}
    assert validate(made) == ()


@pytest.mark.parametrize("modality", CLASSES)
def test_an_image_is_a_secondary_capture_on_the_plane_of_its_source(modality: str) -> None:
    values = np.arange(42, dtype=np.uint16).reshape(7, 6)
    (dataset,) = derive_image(values, source(modality), make_recipe()).datasets
    made = stored(dataset)
    assert (made.Modality, made.SOPClassUID.name) == (modality, "Secondary Capture Image Storage")
    assert np.array_equal(made.pixel_array.T, values)
    for keyword in ("FrameOfReferenceUID", "ImagePositionPatient", "ImageOrientationPatient", "SliceLocation"):
        assert keyword not in made
    if modality in {"DX", "MG"}:
        assert (list(made.ImagerPixelSpacing), list(made.PatientOrientation)) == ([0.1, 0.1], ["L", "F"])
    assert made.SourceImageSequence[0].ReferencedSOPInstanceUID == "1.2.3.1.1"
    assert validate(made) == ()


def test_colours_on_a_projection_are_rgb() -> None:
    fused = np.zeros((7, 6, 1, 3), np.uint8)
    fused[1, 2, 0] = (1, 2, 3)
    (made,) = derive_image(fused, source("DX"), make_recipe()).datasets
    assert stored(made).pixel_array[2, 1].tolist() == [1, 2, 3]
    assert "ImagePositionPatient" not in made


def test_each_view_of_a_study_is_an_image_of_its_own() -> None:
    values = np.arange(84, dtype=np.uint16).reshape(7, 6, 2)
    made = derive_image(values, source("MG", 2), make_recipe()).datasets
    refers = [each.SourceImageSequence[0].ReferencedSOPInstanceUID for each in made]
    assert refers == ["1.2.3.1.1", "1.2.3.1.2"]
    with pytest.raises(DerivedObjectError, match="2 images of columns x rows 7 x 6"):
        derive_image(values[..., 0], source("MG", 2), make_recipe())


def test_masks_of_several_images_are_made_one_by_one() -> None:
    masks = np.stack([MASK, ~MASK], axis=-1)
    loop = source("US", SOPClassUID=UltrasoundMultiFrameImageStorage, NumberOfFrames=2)
    for given in (source("CR", 2), loop):
        with pytest.raises(DerivedObjectError, match="make one for each"):
            segmentation({"lesion": masks}, given, make_recipe())
    for index, header in enumerate(headers("CR", 2)):
        mask = masks[..., index]
        made = stored(segmentation({"lesion": mask}, SourceSeries.from_headers([header]), make_recipe()))
        assert np.array_equal(np.squeeze(made.pixel_array).T.astype(bool), mask)


def test_what_lies_in_space_cannot_be_made_of_a_projection() -> None:
    with pytest.raises(DerivedObjectError, match="make an image of the values"):
        parametric_map(MASK / 2, source("DX"), make_recipe())
    for options in (ImageOptions(kind="ct"), ImageOptions(multi_frame=True), ImageOptions(same_frame=True)):
        with pytest.raises(DerivedObjectError, match="no place in space"):
            derive_image(MASK, source("DX"), make_recipe(), options=options)


def test_a_ct_that_lost_its_place_is_no_projection() -> None:
    lost = SourceSeries.from_headers(headers("CR", Modality="CT"))
    with pytest.raises(DerivedObjectError, match="no regular grid"):
        segmentation({"lesion": MASK}, lost, make_recipe())
