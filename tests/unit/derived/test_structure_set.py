"""Masks as RT Structure Sets: outlines at the place of the masks, references, names, colours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydicom.uid import ImplicitVRLittleEndian

from dcm_processor_service.derived import Segment, SourceSeries, StudyIdentity, structure_set, validate
from dcm_processor_service.errors import DerivedObjectError, UnsupportedValueError
from dcm_processor_service.imaging.volumes.volume import Volume
from dcm_processor_service.models.derived import Code, StructureSetOptions
from tests.desk import examples
from tests.unit.derived.drawn import drawn
from tests.unit.derived.sources import PLAIN, make_headers, make_recipe, make_source, stored
from tests.unit.derived.volumes import ORIENTATIONS, affines, turned

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHAPE = (7, 6, 4)
TILTED = np.array([[0.5, 0, 0, -30], [0, 0.7, 0.4, 12], [0, 0, 2.5, 3], [0, 0, 0, 1]])
LIVER = np.zeros(SHAPE, np.bool_)
LIVER[1:5, 1:4, 1:3] = True


@settings(max_examples=examples(40), deadline=None)
@given(affine=affines(), mask=hnp.arrays(np.bool_, SHAPE), orientation=st.sampled_from(ORIENTATIONS))
def test_masks_come_back_from_their_outlines_in_every_orientation(
    affine: NDArray[np.float64], mask: NDArray[np.bool_], orientation: Any
) -> None:
    if np.linalg.det(affine[:3, :3]) < 0:
        affine[:3, 2] *= -1
    headers = make_headers(affine, SHAPE)
    array, own_affine = turned(mask, affine, *orientation)
    made = structure_set({"liver": Volume(array, own_affine)}, SourceSeries.from_headers(headers), make_recipe())
    assert np.array_equal(drawn(made, headers)["liver"], mask)
    assert validate(made) == ()


@settings(max_examples=examples(10), deadline=None)
@given(mask=hnp.arrays(np.bool_, SHAPE))
def test_masks_of_a_tilted_gantry_come_back_from_their_outlines(mask: NDArray[np.bool_]) -> None:
    headers = make_headers(TILTED, SHAPE)
    made = structure_set({"liver": mask}, SourceSeries.from_headers(headers), make_recipe())
    assert np.array_equal(drawn(made, headers)["liver"], mask)


def test_a_label_map_and_its_masks_make_the_same_structures() -> None:
    label_map = np.where(LIVER, 2, 0).astype(np.uint8)
    label_map[6, 5, 3] = 9
    of_labels = structure_set(label_map, make_source(PLAIN, SHAPE), make_recipe(), {2: "liver", 9: "spleen"})
    masks = {"liver": label_map == 2, "spleen": label_map == 9}
    of_masks = structure_set(masks, make_source(PLAIN, SHAPE), make_recipe())
    assert of_labels == of_masks
    assert [each.ROIName for each in of_labels.StructureSetROISequence] == ["liver", "spleen"]


def test_fractions_count_from_one_half_on() -> None:
    fractions = np.zeros(SHAPE)
    fractions[2, 2, 1], fractions[3, 3, 1], fractions[5, 2, 1] = 0.5, 0.49, 1
    headers = make_headers(PLAIN, SHAPE)
    made = structure_set({"liver": fractions}, SourceSeries.from_headers(headers), make_recipe())
    assert np.argwhere(drawn(made, headers)["liver"]).tolist() == [[2, 2, 1], [5, 2, 1]]


def test_an_empty_mask_is_a_structure_without_outlines() -> None:
    made = structure_set({"liver": LIVER, "spleen": LIVER & False}, make_source(PLAIN, SHAPE), make_recipe())
    assert "ContourSequence" not in made.ROIContourSequence[1]
    assert made.StructureSetROISequence[1].ROIVolume == 0
    assert validate(made) == ()


def test_every_image_is_referenced_and_every_outline_names_its_own() -> None:
    headers = make_headers(PLAIN, SHAPE)
    made = stored(structure_set({"liver": LIVER}, SourceSeries.from_headers(headers), make_recipe()))
    (frame,) = made.ReferencedFrameOfReferenceSequence
    (study,) = frame.RTReferencedStudySequence
    (series,) = study.RTReferencedSeriesSequence
    assert frame.FrameOfReferenceUID == made.FrameOfReferenceUID == headers[0].FrameOfReferenceUID
    assert made.StructureSetROISequence[0].ReferencedFrameOfReferenceUID == headers[0].FrameOfReferenceUID
    assert study.ReferencedSOPInstanceUID == headers[0].StudyInstanceUID
    assert series.SeriesInstanceUID == headers[0].SeriesInstanceUID
    listed = [each.ReferencedSOPInstanceUID for each in series.ContourImageSequence]
    assert listed == [header.SOPInstanceUID for header in headers]
    contours = made.ROIContourSequence[0].ContourSequence
    assert [each.ContourNumber for each in contours] == [1, 2]
    named = [[image.ReferencedSOPInstanceUID for image in each.ContourImageSequence] for each in contours]
    assert named == [[headers[1].SOPInstanceUID], [headers[2].SOPInstanceUID]]


def test_series_of_other_frames_of_reference_are_listed_under_these() -> None:
    headers = make_headers(PLAIN, SHAPE)
    others = make_headers(PLAIN, SHAPE, SeriesInstanceUID="1.2.3.7", FrameOfReferenceUID="1.2.3.8")
    for header in others:
        header.SOPInstanceUID += ".7"
    made = structure_set({"liver": LIVER}, SourceSeries.from_headers(headers, others), make_recipe())
    uids = [each.FrameOfReferenceUID for each in made.ReferencedFrameOfReferenceSequence]
    assert uids == ["1.2.3.9", "1.2.3.8"]


def test_masks_on_a_finer_grid_name_the_images_whose_planes_they_share() -> None:
    fine = PLAIN @ np.diag([0.5, 0.5, 1, 1])
    mask = np.repeat(np.repeat(LIVER, 2, axis=0), 2, axis=1)
    headers = make_headers(PLAIN, SHAPE)
    made = structure_set({"liver": Volume(mask, fine)}, SourceSeries.from_headers(headers), make_recipe())
    contours = made.ROIContourSequence[0].ContourSequence
    named = [each.ContourImageSequence[0].ReferencedSOPInstanceUID for each in contours]
    assert named == [headers[1].SOPInstanceUID, headers[2].SOPInstanceUID]


def test_outlines_between_the_planes_of_the_source_name_no_image() -> None:
    between = PLAIN.copy()
    between[2, 3] += 1.25
    made = structure_set({"liver": Volume(LIVER, between)}, make_source(PLAIN, SHAPE), make_recipe())
    assert all("ContourImageSequence" not in each for each in made.ROIContourSequence[0].ContourSequence)


def test_names_become_codes_sides_and_colours_as_in_segmentations() -> None:
    structures: dict[str, Any] = {
        "kidney_left": LIVER,
        "nodule": Segment(LIVER, code=Code("27925004", "SCT", "Nodule"), color_rgb=(1, 2, 3)),
        "lesion of mine": Segment(LIVER, code=Code("7", "99LAB", "Mine"), color_lab=(100.0, 0.0, 0.0)),
        "plain": Segment(LIVER, code=Code("8", "99LAB", "Plain")),
    }
    made = structure_set(structures, make_source(PLAIN, SHAPE), make_recipe())
    kidney, nodule, *_others = made.RTROIObservationsSequence
    assert kidney.RTROIIdentificationCodeSequence[0].CodeValue == "64033007"
    side = kidney.RTROIIdentificationCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence[0]
    assert side.CodeMeaning == "Left"
    assert kidney.RTROIInterpretedType == "ORGAN"
    assert nodule.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "49755003"
    assert not nodule.RTROIInterpretedType
    colours = [list(each.ROIDisplayColor) for each in made.ROIContourSequence]
    assert colours[1:3] == [[1, 2, 3], [255, 255, 255]]
    assert len({tuple(each) for each in colours}) == 4


def test_the_volume_is_that_of_the_voxels_in_cubic_centimetres() -> None:
    made = structure_set({"liver": LIVER}, make_source(PLAIN, SHAPE), make_recipe())
    assert float(made.StructureSetROISequence[0].ROIVolume) == pytest.approx(LIVER.sum() * 0.5 * 0.75 * 2.5 / 1000)


def test_uids_follow_from_role_and_revision_and_a_retry_repeats_them() -> None:
    def made(**changes: Any) -> str:
        recipe = make_recipe(**changes)
        return str(structure_set({"liver": LIVER}, make_source(PLAIN, SHAPE), recipe).SOPInstanceUID)

    assert made() == made()
    assert len({made(), made(role="other"), made(revision=1)}) == 3


def test_outlines_longer_than_explicit_vr_allows_are_written_and_read_whole() -> None:
    shape = (101, 101, 1)
    mask = np.ones(shape, np.bool_)
    mask[1:-1:2, 1:-1:2] = False
    headers = make_headers(PLAIN, shape)
    made = structure_set({"liver": mask}, SourceSeries.from_headers(headers), make_recipe())
    assert made.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
    assert sum(len(str(part)) + 1 for part in made.ROIContourSequence[0].ContourSequence[0].ContourData) > 65534
    assert np.array_equal(drawn(made, headers)["liver"], mask)


def test_coordinates_have_at_most_16_characters() -> None:
    far = PLAIN.copy()
    far[:3, 3] = (-123456.789, 98765.4321, -0.000004)
    made = structure_set({"liver": LIVER}, make_source(far, SHAPE), make_recipe())
    written = [str(part) for each in made.ROIContourSequence[0].ContourSequence for part in each.ContourData]
    assert max(map(len, written)) <= 16
    assert "-0.0" not in written


def test_the_label_is_the_role_unless_it_is_given() -> None:
    named = StructureSetOptions(label="LIVER")
    source = make_source(PLAIN, SHAPE)
    assert structure_set({"liver": LIVER}, source, make_recipe("r" * 20)).StructureSetLabel == "r" * 16
    assert structure_set({"liver": LIVER}, source, make_recipe(), options=named).StructureSetLabel == "LIVER"
    with pytest.raises(DerivedObjectError, match="16 characters"):
        structure_set({"liver": LIVER}, source, make_recipe(), options=StructureSetOptions(label="l" * 17))


def test_what_makes_no_structure_set_is_refused_with_its_remedy() -> None:
    source = make_source(PLAIN, SHAPE)

    def refused(structures: Any, match: str, like: Any = source, **more: Any) -> None:
        with pytest.raises(DerivedObjectError, match=match):
            structure_set(structures, like, make_recipe(), **more)

    refused({"liver": LIVER}, "give their series", StudyIdentity(patient_id="P", study_instance_uid="1.2"))
    refused({"no such organ": LIVER}, "no such organ")
    refused({}, "no segments")
    refused({"liver": LIVER * 2}, "other than 0 to 1")
    refused({"liver": LIVER[..., np.newaxis].repeat(2, axis=3)}, "several volumes")
    refused({"liver": LIVER}, "leave labels out", labels={1: "liver"})
    refused(LIVER, "needs the names")
    refused(LIVER, "same name", labels={1: "liver", 2: "liver"})
    refused({"liver": LIVER}, "AUTOMATIC", options=StructureSetOptions(algorithm_type="AI"))  # type: ignore[arg-type]
    away = PLAIN.copy()
    away[0, 3] = 500
    refused({"liver": Volume(LIVER, away)}, "away from all")
    with pytest.raises(UnsupportedValueError, match="different grids"):
        structure_set({"liver": LIVER, "spleen": Volume(LIVER[:5], PLAIN)}, source, make_recipe())
    radiograph = make_headers(PLAIN, (7, 6, 1), Modality="DX")
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID"):
        del radiograph[0][keyword]
    refused({"lung": LIVER[..., 0]}, "lies in space", SourceSeries.from_headers(radiograph))


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
def test_noise_is_refused_at_its_first_slice(share: float) -> None:
    shape = (320, 320, 3)
    source = SourceSeries.from_headers(make_headers(np.eye(4), shape))
    noise = np.random.default_rng(7).random(shape) < share
    with pytest.raises(DerivedObjectError, match=r"'liver' has \d+ outlines on slice 1, and at most 5000 .* smooth it"):
        structure_set({"liver": noise}, source, make_recipe())


def test_many_small_parts_on_many_slices_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = (16, 16, 6)
    specks = np.zeros(shape, np.bool_)
    specks[::2, ::2] = True
    source = SourceSeries.from_headers(make_headers(np.eye(4), shape))
    monkeypatch.setattr("dcm_processor_service.derived.drawings.structure_set._MOST_CONTOURS", 200)
    with pytest.raises(DerivedObjectError, match="more than 200 outlines up to slice 4"):
        structure_set({"liver": specks}, source, make_recipe())
    specks[..., 3:] = False
    assert len(structure_set({"liver": specks}, source, make_recipe()).ROIContourSequence[0].ContourSequence) == 192


def test_masks_of_another_frame_of_reference_than_all_images_are_refused() -> None:
    elsewhere = Volume(LIVER, PLAIN, frame_of_reference_uid="1.2.3.8")
    with pytest.raises(DerivedObjectError, match="no image of the source lies in the frame of reference"):
        structure_set({"liver": elsewhere}, make_source(PLAIN, SHAPE), make_recipe())
