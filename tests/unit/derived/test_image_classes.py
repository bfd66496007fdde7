"""What an image of each class takes over from its source, states anew, and leaves behind (PS3.3, section C.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydicom.uid import (
    CTImageStorage,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    SecondaryCaptureImageStorage,
)

from dcm_processor_service.derived import ImageOptions, derive_image, validate
from dcm_processor_service.models.derived import StudyIdentity
from tests.unit.derived.sources import PLAIN, make_recipe, make_source

if TYPE_CHECKING:
    from pydicom import Dataset

CLASSES = {"CT": CTImageStorage, "MR": MRImageStorage, "PT": PositronEmissionTomographyImageStorage}
ACQUIRED: dict[str, dict[str, Any]] = {
    "CT": {"KVP": 120, "ContrastBolusAgent": "agent"},
    "MR": {
        "ScanningSequence": "SE", "SequenceVariant": "SK", "ScanOptions": "FS", "MRAcquisitionType": "3D",
        "RepetitionTime": 500, "EchoTime": 12, "EchoTrainLength": 4, "FlipAngle": 90, "MagneticFieldStrength": 3,
        "ImagedNucleus": "1H", "ContrastBolusAgent": "agent",
    },
    "PT": {"CountsSource": "EMISSION", "DecayCorrection": "START", "CorrectedImage": ["DECY", "ATTN"],
           "CollimatorType": "NONE", "Units": "BQML"},
}  # fmt: skip
EMPTY = {
    "CT": {"KVP", "PatientPosition"},
    "MR": {"ScanOptions", "MRAcquisitionType", "RepetitionTime", "EchoTime", "EchoTrainLength", "PatientPosition"},
    "PT": {"CorrectedImage", "CollimatorType", "AcquisitionDate", "AcquisitionTime", "ActualFrameDuration",
           "PatientOrientationCodeSequence", "PatientGantryRelationshipCodeSequence",
           "RadiopharmaceuticalInformationSequence"},
}  # fmt: skip
IMAGE_TYPES = {
    "CT": ["DERIVED", "SECONDARY", "AXIAL"], "MR": ["DERIVED", "SECONDARY", "OTHER"], "PT": ["DERIVED", "PRIMARY"]
}  # fmt: skip


def image(modality: str, options: ImageOptions | None = None, /, **attributes: Any) -> Dataset:
    source = make_source(SOPClassUID=CLASSES[modality], Modality=modality, **attributes)
    array = np.zeros((5, 4, 3), np.uint16)
    made = derive_image(array, source, make_recipe(), options=options).datasets[0]
    assert validate(made) == ()
    return made


@pytest.mark.parametrize("modality", CLASSES)
def test_what_the_class_needs_is_taken_from_a_source_of_the_class(modality: str) -> None:
    made = image(modality, ImageOptions(units="source") if modality == "PT" else None, **ACQUIRED[modality])
    assert {keyword: made[keyword].value for keyword in ACQUIRED[modality]} == ACQUIRED[modality]
    assert list(made.ImageType) == IMAGE_TYPES[modality]
    assert (made.Modality, made.SOPClassUID) == (modality, CLASSES[modality])


@pytest.mark.parametrize("modality", CLASSES)
def test_what_the_source_does_not_say_is_empty_or_as_the_class_says_it(modality: str) -> None:
    made = image(modality)
    for keyword in EMPTY[modality] - ({"PatientPosition"} if modality == "PT" else set()):
        assert keyword in made
        assert made[keyword].is_empty
    stated: dict[str, dict[str, Any]] = {
        "CT": {"RescaleType": "US"},
        "MR": {"ScanningSequence": "RM", "SequenceVariant": "NONE"},
        "PT": {"Units": "NONE", "CountsSource": "EMISSION", "DecayCorrection": "NONE"},
    }
    assert {keyword: made[keyword].value for keyword in stated[modality]} == stated[modality]
    for keyword in ("DecayFactor", "SUVType", "ConversionType", "InversionTime"):
        assert keyword not in made


@pytest.mark.parametrize("other", CLASSES)
def test_nothing_of_an_acquisition_is_taken_into_another_class(other: str) -> None:
    source = make_source(SOPClassUID=SecondaryCaptureImageStorage, Modality="CT", **ACQUIRED[other])
    kinds: Any = {"CT": "ct", "MR": "mr", "PT": "pt"}
    options = ImageOptions(kind=kinds[other], units="NONE" if other == "PT" else None)
    made = derive_image(np.zeros((5, 4, 3), np.uint16), source, make_recipe(), options=options).datasets[0]
    defaults = {"CountsSource", "Units", "DecayCorrection", "ScanningSequence", "SequenceVariant"}
    taken = {keyword for keyword in ACQUIRED[other].keys() - defaults if made.get(keyword)}
    assert taken == set()
    assert (made.Modality, made.SOPClassUID) == (other, CLASSES[other])


@pytest.mark.parametrize(("sequence", "is_kept"), [("IR", True), (["SE", "IR"], True), ("SE", False), ("GR", False)])
def test_only_inversion_recovery_has_an_inversion_time(sequence: Any, *, is_kept: bool) -> None:
    made = image("MR", ScanningSequence=sequence, InversionTime=100)
    assert ("InversionTime" in made) == is_kept


@pytest.mark.parametrize(
    ("image_type", "third"),
    [
        (["ORIGINAL", "PRIMARY", "LOCALIZER"], "LOCALIZER"),
        (["ORIGINAL", "PRIMARY", "AXIAL"], "AXIAL"),
        (["ORIGINAL", "PRIMARY", "AXIAL", "LOCALIZER"], "AXIAL"),
        (["ORIGINAL", "PRIMARY"], "AXIAL"),
    ],
)
def test_the_image_of_a_localizer_is_one(image_type: list[str], third: str) -> None:
    assert list(image("CT", ImageType=image_type).ImageType) == ["DERIVED", "SECONDARY", third]


@pytest.mark.parametrize(("correction", "factor"), [("START", 1), ("ADMIN", 1), ("NONE", None)])
def test_decay_is_corrected_in_the_values_already(correction: str, factor: float | None) -> None:
    made = image("PT", DecayCorrection=correction, Units="BQML", DecayFactor="1.5")
    assert made.get("DecayFactor") == factor


@pytest.mark.parametrize(("units", "is_kept"), [("GML", True), ("source", True), ("NONE", False), ("BQML", False)])
def test_the_kind_of_suv_is_that_of_the_same_unit(units: str, *, is_kept: bool) -> None:
    made = image("PT", ImageOptions(units=units), Units="GML", SUVType="BW")
    assert made.Units == ("GML" if units == "source" else units)
    assert made.get("SUVType") == ("BW" if is_kept else None)


@pytest.mark.parametrize(("lossy", "is_kept"), [("01", True), ("00", False)])
@pytest.mark.parametrize("modality", CLASSES)
def test_losses_of_the_source_stay_known(modality: str, lossy: str, *, is_kept: bool) -> None:
    marks = {"LossyImageCompressionRatio": 9, "LossyImageCompressionMethod": "ISO_10918_1"}
    made = image(modality, LossyImageCompression=lossy, **marks)
    found = {keyword: made.get(keyword) for keyword in ("LossyImageCompression", *marks)}
    assert found == ({"LossyImageCompression": "01", **marks} if is_kept else dict.fromkeys(found))


@pytest.mark.parametrize(("modality", "is_taken"), [("CT", True), ("MR", True), ("PT", False)])
def test_the_position_of_the_patient_is_that_of_the_source(modality: str, *, is_taken: bool) -> None:
    assert image(modality, PatientPosition="FFS").get("PatientPosition") == ("FFS" if is_taken else None)


@pytest.mark.parametrize(
    ("header", "laterality"),
    [
        ({"BodyPartExamined": "KNEE", "Laterality": "L"}, "L"),
        ({"BodyPartExamined": "KNEE"}, ""),
        ({"BodyPartExamined": "KNEE", "Laterality": "L", "ImageLaterality": "R"}, None),
        ({"BodyPartExamined": "CHEST", "Laterality": "R"}, None),
    ],
)
def test_the_side_stands_at_paired_parts_once(header: dict[str, str], laterality: str | None) -> None:
    # type 2C: at paired parts, where ImageLaterality does not say it (PS3.3, section C.7.3.1)
    made = image("CT", **header)
    found = made["Laterality"].value or "" if "Laterality" in made else None
    assert found == laterality
    assert made.get("ImageLaterality") == header.get("ImageLaterality")


@pytest.mark.parametrize(
    ("stated", "on_grid", "thickness"), [(3.0, True, 3.0), (3.0, False, 2.5), (None, True, 2.5), (0, True, 2.5)]
)
def test_slices_of_the_source_are_as_thick_as_it_says(stated: float | None, thickness: float, *, on_grid: bool) -> None:
    affine = PLAIN.copy()
    affine[0, 3] = 0.0 if on_grid else 0.2
    source = make_source(SliceThickness=stated)
    made = derive_image(np.zeros((5, 4, 3), np.uint16), source, make_recipe(), affine)
    assert made.on_source_grid == on_grid
    assert {float(each.SliceThickness) for each in made.datasets} == {thickness}
    assert {float(each.SpacingBetweenSlices) for each in made.datasets} == {2.5}


@pytest.mark.parametrize(
    ("kind", "modality", "sop_class"),
    [
        ("ct", "CT", CTImageStorage), ("mr", "MR", MRImageStorage), ("sc", "OT", SecondaryCaptureImageStorage),
        ("pt", "PT", PositronEmissionTomographyImageStorage),
    ],
)  # fmt: skip
def test_without_a_source_the_kind_says_the_class(kind: Any, modality: str, sop_class: str) -> None:
    who = StudyIdentity(patient_id="P-1", study_instance_uid="1.2.3")
    made = derive_image(np.zeros((5, 4, 3), np.uint16), who, make_recipe(), PLAIN, ImageOptions(kind=kind))
    first = made.datasets[0]
    assert (first.Modality, first.SOPClassUID) == (modality, sop_class)
    assert validate(first) == ()
