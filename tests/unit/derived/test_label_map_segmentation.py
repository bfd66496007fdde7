"""SEG as one label map (DICOM Supplement 243): each voxel is a segment's number, segments are counted from 1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import highdicom
import numpy as np
import pytest

from dcm_processor_service.derived import SegmentationOptions, masks_of, save, segmentation, validate
from dcm_processor_service.derived.objects.highdicom_bridge import released
from dcm_processor_service.derived.objects.segmentations.segmentation import label_segmentation
from dcm_processor_service.errors import DerivedObjectError
from tests.unit.derived.sources import PLAIN, make_recipe, make_source, stored

if TYPE_CHECKING:
    from pathlib import Path

    from pydicom import Dataset

LABEL_MAP_SEGMENTATION_STORAGE = "1.2.840.10008.5.1.4.1.1.66.7"
SHAPE = (7, 6, 4)
LABELS = np.zeros(SHAPE, np.uint8)
LABELS[1:3, 1:5, 1:3], LABELS[4:6, 2:4, 2] = 5, 1
NAMES = {5: "liver", 1: "kidney_left"}
AS_LABEL_MAP = SegmentationOptions(kind="labelmap")


def made_of(label_map: Any = LABELS) -> Dataset:
    made = label_segmentation(label_map, NAMES, make_source(PLAIN, SHAPE), make_recipe(), options=AS_LABEL_MAP)
    assert validate(made) == ()
    return made


def test_a_label_map_is_stored_as_one_with_its_segments_from_1() -> None:
    made = stored(made_of())
    assert made.SOPClassUID == LABEL_MAP_SEGMENTATION_STORAGE
    assert made.SegmentationType == "LABELMAP"
    assert [(item.SegmentNumber, item.SegmentLabel) for item in made.SegmentSequence] == [
        (1, "liver"),
        (2, "kidney_left"),
    ]
    assert made.SegmentSequence[1].SegmentedPropertyTypeCodeSequence[0].CodeValue == "64033007"
    assert made.PixelPaddingValue == 0
    frames = made.pixel_array.reshape(-1, SHAPE[1], SHAPE[0])
    expected = np.select([LABELS == 5, LABELS == 1], [1, 2])
    heights = [
        float(groups.PlanePositionSequence[0].ImagePositionPatient[2])
        for groups in made.PerFrameFunctionalGroupsSequence
    ]
    assert sorted(heights) == [2.5, 5.0]
    for height, frame in zip(heights, frames, strict=True):
        assert np.array_equal(frame.T, expected[:, :, round(height / 2.5)])


def test_highdicom_reads_it_and_finds_every_voxel(tmp_path: Path) -> None:
    (path,) = save([made_of()], tmp_path)
    read = highdicom.seg.segread(path)
    volume = read.get_volume(combine_segments=True)
    released(read)
    positions = np.argwhere(volume.array > 0)
    places = (volume.affine @ np.c_[positions, np.ones(len(positions))].T)[:3]
    found = {
        (*np.round(place, 3), int(label)) for place, label in zip(places.T, volume.array[volume.array > 0], strict=True)
    }
    own = np.argwhere(LABELS > 0)
    numbers = {5: 1, 1: 2}
    assert found == {(*np.round((PLAIN @ [*index, 1])[:3], 3), numbers[int(LABELS[tuple(index)])]) for index in own}


def test_masks_by_name_make_the_same_as_their_label_map() -> None:
    masks = masks_of(LABELS, {name: label for label, name in NAMES.items()})
    made = segmentation(masks, make_source(PLAIN, SHAPE), make_recipe(), options=AS_LABEL_MAP)
    assert made.PixelData == made_of().PixelData


def test_nothing_found_is_a_label_map_too() -> None:
    made = made_of(LABELS * 0)
    assert not made.pixel_array.any()
    assert len(made.SegmentSequence) == 2


def test_masks_that_overlap_and_fractions_are_refused() -> None:
    source = make_source(PLAIN, SHAPE)
    with pytest.raises(DerivedObjectError, match="overlap"):
        segmentation({"liver": LABELS > 0, "spleen": LABELS > 0}, source, make_recipe(), options=AS_LABEL_MAP)
    with pytest.raises(DerivedObjectError, match="holds fractions"):
        segmentation({"liver": LABELS * 0.1}, source, make_recipe(), options=AS_LABEL_MAP)
