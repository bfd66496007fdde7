"""What an image series says about itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydicom.uid import CTImageStorage, PositronEmissionTomographyImageStorage, SecondaryCaptureImageStorage

from dcm_processor_service.derived import ImageOptions, derive_image
from dcm_processor_service.derived.source import SourceSeries
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.models.derived import Code, Producer, Recipe, StudyIdentity
from tests.unit.derived.sources import PLAIN, make_headers, make_recipe, make_source, stored

SHAPE = (5, 4, 3)
ZEROS = np.zeros(SHAPE, np.int16)
WHO = StudyIdentity(patient_id="P-1", study_instance_uid="1.2.3", patient_name="Doe^Jane")


def test_a_retry_gives_the_same_uids_and_another_role_or_version_others() -> None:
    source = make_source()

    def uids(recipe: Recipe) -> set[str]:
        made = derive_image(ZEROS, source, recipe)
        return {made.series_instance_uid, *(str(each.SOPInstanceUID) for each in made.datasets)}

    first = uids(make_recipe())
    assert len(first) == 4
    assert uids(make_recipe()) == first
    newer = Recipe(Producer("liver-volume", "1.5.0", "a" * 24), role="result")
    for other in (make_recipe("mask"), newer):
        assert not first & uids(other)


def test_uids_do_not_depend_on_the_order_of_the_sources() -> None:
    headers = make_headers()
    one, other = (
        derive_image(ZEROS, SourceSeries.from_headers(order), make_recipe()) for order in (headers, headers[::-1])
    )
    assert one.series_instance_uid == other.series_instance_uid
    assert [each.SOPInstanceUID for each in one.datasets] == [each.SOPInstanceUID for each in other.datasets]


def test_each_slice_refers_to_its_own_source() -> None:
    made = derive_image(np.zeros((*SHAPE, 2), np.int16), make_source(volumes=2), make_recipe())
    refers = [[each.ReferencedSOPInstanceUID for each in one.SourceImageSequence] for one in made.datasets]
    assert refers == [[f"1.2.3.{t}.{k}"] for t in (1, 2) for k in (1, 2, 3)]
    assert made.datasets[0].SourceImageSequence[0].PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
    (series,) = made.datasets[3].ReferencedSeriesSequence
    assert [each.ReferencedSOPInstanceUID for each in series.ReferencedInstanceSequence] == ["1.2.3.2.1"]


def test_a_resampled_slice_refers_to_the_slices_that_it_crosses() -> None:
    source = make_source(shape=(5, 4, 40))
    between = PLAIN.copy()
    between[2, 3] = 26.0
    axial = derive_image(np.zeros((5, 4, 1), np.int16), source, make_recipe(), between).datasets[0]
    refers = [each.ReferencedSOPInstanceUID for each in axial.SourceImageSequence]
    assert refers == ["1.2.3.1.11", "1.2.3.1.12"]
    coronal = np.array([[0.5, 0, 0, 0], [0, 0, 0.75, 0.3], [0, 2.5, 0, 0], [0, 0, 0, 1]])
    crossing = derive_image(np.zeros((5, 40, 2), np.int16), source, make_recipe(), coronal).datasets[0]
    refers = [each.ReferencedSOPInstanceUID for each in crossing.SourceImageSequence]
    assert (len(refers), refers[0], refers[-1]) == (16, "1.2.3.1.1", "1.2.3.1.40")


def test_changing_one_instance_leaves_the_others() -> None:
    made = derive_image(ZEROS, make_source(), make_recipe())
    made.datasets[0].PatientID = "changed"
    assert {each.PatientID for each in made.datasets[1:]} == {"P-1"}
    for each in made.datasets:
        assert each.file_meta.MediaStorageSOPInstanceUID == each.SOPInstanceUID


def test_the_frame_of_reference_is_the_sources_only_for_its_own_geometry() -> None:
    source, recipe = make_source(), make_recipe()
    moved = np.diag([0.5, 0.75, 2.5, 1.0])
    moved[0, 3] = 0.2

    def frame(affine: np.ndarray[Any, Any] | None, **options: Any) -> str:
        return str(derive_image(ZEROS, source, recipe, affine, ImageOptions(**options)).datasets[0].FrameOfReferenceUID)

    assert frame(None) == "1.2.3.9"
    assert frame(moved) not in {"1.2.3.9", ""}
    assert frame(moved, same_frame=True) == "1.2.3.9"
    assert frame(None, same_frame=False) == frame(moved) != "1.2.3.9"


def test_a_crop_lies_on_the_sources_grid() -> None:
    affine = np.diag([0.5, 0.75, 2.5, 1.0])
    affine[:3, 3] = affine[:3, :3] @ (2, 1, 1)
    made = derive_image(np.zeros((3, 2, 2), np.int16), make_source(), make_recipe(), affine)
    assert made.on_source_grid
    assert [float(value) for value in made.datasets[0].ImagePositionPatient] == [1.0, 0.75, 2.5]
    assert made.datasets[0].SourceImageSequence[0].ReferencedSOPInstanceUID == "1.2.3.1.2"


def test_a_tilted_source_may_be_derived_on_its_own_grid_and_no_other_shear() -> None:
    tilted = np.diag([0.5, 0.75, 2.5, 1.0])
    tilted[1, 2] = 0.8
    made = derive_image(ZEROS, make_source(tilted), make_recipe(), tilted)
    assert [float(each.ImagePositionPatient[1]) for each in made.datasets] == [0.0, 0.8, 1.6]
    with pytest.raises(DerivedObjectError, match=r"sheared by 17\.74 degrees"):
        derive_image(ZEROS, make_source(), make_recipe(), tilted)


def test_the_window_covers_the_values_in_their_own_unit() -> None:
    ramp = np.linspace(0, 1, 60).reshape(SHAPE)
    first = derive_image(ramp, make_source(), make_recipe()).datasets[0]
    assert (float(first.WindowCenter), float(first.WindowWidth), first.VOILUTFunction) == (0.5, 1.0, "LINEAR_EXACT")
    whole = derive_image(np.arange(60, dtype=np.int16).reshape(SHAPE) - 10, make_source(), make_recipe()).datasets[0]
    assert (float(whole.WindowCenter), float(whole.WindowWidth), whole.VOILUTFunction) == (20.0, 60.0, "LINEAR")
    given = derive_image(ramp, make_source(), make_recipe(), options=ImageOptions(window=(40, 400))).datasets[0]
    assert (float(given.WindowCenter), float(given.WindowWidth)) == (40, 400)


def test_what_is_no_longer_true_stays_behind() -> None:
    headers = make_headers(
        GantryDetectorTilt=12, KVP=120, XRayTubeCurrent=200, BodyPartExamined="CHEST", PatientPosition="HFS",
        LossyImageCompression="01", LossyImageCompressionRatio=9, LossyImageCompressionMethod="ISO_10918_1",
        ProtocolName="Thorax", AcquisitionDate="20240101", SmallestImagePixelValue=b"\0\0",
    )  # fmt: skip
    for header in headers:
        header.private_block(0x0009, "ACME", create=True).add_new(1, "LO", "secret")
    first = derive_image(ZEROS, SourceSeries.from_headers(headers), make_recipe()).datasets[0]
    for keyword in ("GantryDetectorTilt", "XRayTubeCurrent", "ProtocolName", "AcquisitionDate"):
        assert keyword not in first
    assert not any(tag.is_private for tag in first.keys())  # noqa: SIM118 iterating a dataset gives elements
    assert (first.KVP, first.BodyPartExamined, first.PatientPosition) == (120, "CHEST", "HFS")
    assert (first.LossyImageCompression, first.LossyImageCompressionMethod) == ("01", "ISO_10918_1")


def test_equipment_and_derivation_name_the_service() -> None:
    recipe = make_recipe("smoothed", derivation_code="Smoothing", series_description="Smooth")
    first = derive_image(ZEROS, make_source(), recipe).datasets[0]
    scanner, service = first.ContributingEquipmentSequence
    assert (scanner.Manufacturer, scanner.PurposeOfReferenceCodeSequence[0].CodeValue) == ("Scanners", "109101")
    assert (service.ManufacturerModelName, service.SoftwareVersions) == ("liver-volume", "1.4.0")
    assert first.DerivationDescription == "smoothed by liver-volume 1.4.0"
    assert first.DerivationCodeSequence[0].CodeValue == "113087"
    own = make_recipe(derivation_code=Code("X1", "99LAB", "Own"))
    assert derive_image(ZEROS, make_source(), own).datasets[0].DerivationCodeSequence[0].CodeMeaning == "Own"


def test_dates_are_in_the_time_zone_of_the_study() -> None:
    recipe = make_recipe()
    first = derive_image(ZEROS, make_source(TimezoneOffsetFromUTC="-1130"), recipe).datasets[0]
    assert (first.TimezoneOffsetFromUTC, first.SeriesDate, first.SeriesTime) == ("-1130", "20250303", "225030.500000")
    assert first.ContributingEquipmentSequence[-1].ContributionDateTime == "20250303225030.500000-1130"
    assert (first.ContentDate, first.ContentTime) == (first.SeriesDate, first.SeriesTime)
    local = derive_image(ZEROS, make_source(), recipe).datasets[0]
    assert "TimezoneOffsetFromUTC" not in local
    assert local.SeriesTime == recipe.created.astimezone().strftime("%H%M%S.%f")
    with pytest.raises(DerivedObjectError, match="no time zone"):
        derive_image(ZEROS, make_source(), make_recipe(created=recipe.created.replace(tzinfo=None)))


def test_without_a_source_geometry_and_class_are_asked_for() -> None:
    with pytest.raises(DerivedObjectError, match="say kind="):
        derive_image(ZEROS, WHO, make_recipe(), np.eye(4))
    with pytest.raises(DerivedObjectError, match="without an affine"):
        derive_image(ZEROS, WHO, make_recipe(), options=ImageOptions(kind="ct"))
    first = derive_image(ZEROS, WHO, make_recipe(), np.eye(4), ImageOptions(kind="ct")).datasets[0]
    assert (first.SOPClassUID, first.PatientName) == (CTImageStorage, "Doe^Jane")
    assert "StudyDate" in first
    assert not first.StudyDate
    assert "SourceImageSequence" not in first


def test_no_patient_shows_in_a_repr() -> None:
    source = make_source()
    shown = repr(source) + repr(WHO) + repr(derive_image(ZEROS, source, make_recipe())) + repr(source.frames[0])
    assert not any(secret in shown for secret in ("P-1", "Doe", "Test"))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_multi_frame_holds_every_slice_of_every_volume(
    dtype: type[np.generic],
) -> None:
    array = np.arange(120).reshape(*SHAPE, 2).astype(dtype)
    options = ImageOptions(kind="sc", multi_frame=True)
    made = stored(derive_image(array, make_source(), make_recipe(), options=options).datasets[0])
    assert made.NumberOfFrames == 6
    assert np.array_equal(made.pixel_array.reshape(2, 3, 4, 5), array.transpose(3, 2, 1, 0))
    heights = [
        float(each.PlanePositionSequence[0].ImagePositionPatient[2]) for each in made.PerFrameFunctionalGroupsSequence
    ]
    assert heights == [0.0, 2.5, 5.0] * 2


def test_multi_frame_refuses_what_it_cannot_hold() -> None:
    with pytest.raises(DerivedObjectError, match="0 to 65535"):
        derive_image(ZEROS - 1, make_source(), make_recipe(), options=ImageOptions(kind="sc", multi_frame=True))
    with pytest.raises(DerivedObjectError, match="one instance per slice"):
        derive_image(ZEROS, make_source(), make_recipe(), options=ImageOptions(multi_frame=True))


def test_another_class_becomes_secondary_capture_of_the_same_modality() -> None:
    source = make_source(SOPClassUID="1.2.840.10008.5.1.4.1.1.1", Modality="CR")
    first = derive_image(ZEROS.astype(np.uint8), source, make_recipe()).datasets[0]
    assert (first.SOPClassUID, first.Modality, first.BitsAllocated) == (SecondaryCaptureImageStorage, "CR", 8)
    assert first.ImageType == ["DERIVED", "SECONDARY"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"role": " "}, "no role"),
        ({"series_description": "x" * 65}, "at most 64 characters"),
        ({"derivation": "two\nlines"}, "line breaks"),
        ({"derivation_code": "Smoothin"}, "'Smoothing'"),
    ],
)
def test_a_recipe_that_cannot_be_written_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(DerivedObjectError, match=words):
        derive_image(ZEROS, make_source(), make_recipe(**changes))


def test_sources_of_two_series_are_refused() -> None:
    mixed = [*make_headers(), *make_headers(SeriesInstanceUID="1.2.3.77")]
    with pytest.raises(DerivedObjectError, match="2 values of SeriesInstanceUID"):
        SourceSeries.from_headers(mixed)
    with pytest.raises(DerivedObjectError, match="none was given"):
        SourceSeries.from_headers([])


@pytest.mark.parametrize("volumes", [1, 2, 3])
def test_a_pet_says_how_many_slices_and_times_it_has_and_which_image_is_which(volumes: int) -> None:
    source = make_source(SOPClassUID=PositronEmissionTomographyImageStorage, Modality="PT", Units="BQML")
    array = np.zeros((*SHAPE, volumes), np.uint16) if volumes > 1 else np.zeros(SHAPE, np.uint16)
    made = derive_image(array, source, make_recipe(), PLAIN).datasets
    assert len(made) == 3 * volumes
    assert {tuple(each.SeriesType) for each in made} == {("DYNAMIC" if volumes > 1 else "STATIC", "IMAGE")}
    assert {each.NumberOfSlices for each in made} == {3}
    assert {each.get("NumberOfTimeSlices") for each in made} == {volumes if volumes > 1 else None}
    assert [each.ImageIndex for each in made] == list(range(1, 3 * volumes + 1))
    times = [(each.AcquisitionNumber, each.FrameReferenceTime, each.ImagePositionPatient[2]) for each in made]
    assert times == [(t + 1, t, 2.5 * k) for t in range(volumes) for k in range(3)]


@pytest.mark.parametrize(
    "change", [(0, 0, np.nan), (1, 3, np.inf), (3, 0, 0.5), (3, 3, 2.0), (3, 3, 0.0), (3, 2, np.nan)]
)
def test_an_affine_that_is_none_is_refused(change: tuple[int, int, float]) -> None:
    row, column, value = change
    affine = PLAIN.copy()
    affine[row, column] = value
    for wrong in (affine, PLAIN[:3], np.eye(3), PLAIN * np.array([1, 1, 0, 1])):
        with pytest.raises(DerivedObjectError, match="4 x 4 matrix"):
            derive_image(ZEROS, make_source(), make_recipe(), wrong)
