"""What an object states of itself, attribute by attribute: nothing is missing, misspelled or untrue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydicom.multival import MultiValue

from dcm_processor_service.derived import (
    Marker,
    PresentationOptions,
    capture_pages,
    encapsulated_pdf,
    measurement_report,
    parametric_map,
    presentation,
    segmentation,
    structure_set,
    text_report,
)
from dcm_processor_service.derived.objects.image import derive_image
from dcm_processor_service.models.derived import StudyIdentity
from tests.unit.derived.sources import make_recipe, make_source

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydicom import Dataset

SHAPE = (5, 4, 3)
MASK = np.zeros(SHAPE, bool)
MASK[1:3, 1, :2] = True
WHO = StudyIdentity(patient_id="P-1", study_instance_uid="1.2.3")
GREY, COLOUR = [np.zeros((3, 4), np.uint8)] * 2, [np.zeros((3, 4, 3), np.uint8)] * 2
PIXELS = {"PixelData", "EncapsulatedDocument", "ContourData", "GraphicData"}

MAKERS: dict[str, Callable[[], Any]] = {
    "image": lambda: derive_image(np.zeros(SHAPE, np.int16), make_source(), make_recipe()).datasets[0],
    "page": lambda: capture_pages(GREY, make_source(), make_recipe())[1],
    "hidden page": lambda: capture_pages(COLOUR, WHO, make_recipe(), shows_identity=False)[0],
    "grey pages": lambda: capture_pages(GREY, make_source(Modality="US"), make_recipe(), multi_frame=True)[0],
    "colour pages": lambda: capture_pages(COLOUR, WHO, make_recipe(), multi_frame=True)[0],
    "only page": lambda: capture_pages(COLOUR[:1], WHO, make_recipe(), multi_frame=True)[0],
    "document": lambda: encapsulated_pdf(b"%PDF-1.7 x", make_source(), make_recipe()),
    "report": lambda: text_report("nothing", make_source(), make_recipe()),
    "measurements": lambda: measurement_report({}, make_source(), make_recipe()),
    "presentation": lambda: presentation(
        {"liver": MASK},
        [Marker((1.0, 1.0, 0.0)), Marker((1.0, 1.0, 2.5), "here")],
        make_source(),
        make_recipe(),
        None,
        PresentationOptions(text="Research only"),
    )[0],
    "structures": lambda: structure_set({"left kidney": MASK, "tumor": MASK}, make_source(), make_recipe()),
    "segmentation": lambda: segmentation({"left kidney": MASK}, make_source(), make_recipe()),
    "map": lambda: parametric_map(MASK * 1.5, make_source(), make_recipe()),
}


def made(kind: str) -> Dataset:
    dataset: Dataset = MAKERS[kind]()
    return dataset


def said(item: Dataset) -> dict[str, Any]:
    """The attributes of one item by keyword: lists, numbers and texts; not its sequences, its pixels or their like."""
    found = {}
    for element in item:
        value = None if element.is_empty else element.value
        if element.VR == "SQ" or element.keyword in PIXELS:
            continue
        if isinstance(value, MultiValue):
            value = [float(part) if element.VR in {"DS", "IS"} else part for part in value]
        elif element.VR in {"DS", "IS"} and value is not None:
            value = float(value)
        found[element.keyword] = value
    return found


def sequences(item: Dataset) -> set[str]:
    return {element.keyword for element in item if element.VR == "SQ"}


PATIENT_AND_STUDY = {
    "PatientName": "Test^Patient", "PatientID": "P-1", "PatientBirthDate": None, "PatientSex": None,
    "StudyInstanceUID": "1.2.3", "StudyDate": None, "StudyTime": None, "StudyID": None, "AccessionNumber": None,
    "ReferringPhysicianName": None,
}  # fmt: skip
MAKER = {
    "Manufacturer": "dcm-processor", "ManufacturerModelName": "liver-volume", "SoftwareVersions": "1.4.0",
    "DeviceSerialNumber": "0", "SeriesDescription": "result", "SeriesDate": "20250304",
    "InstanceCreationDate": "20250304", "SpecificCharacterSet": "ISO_IR 192",
}  # fmt: skip
OWN_UIDS = {"SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "SeriesTime", "InstanceCreationTime"}


@pytest.mark.parametrize("kind", MAKERS)
def test_every_object_names_patient_study_maker_and_time(kind: str) -> None:
    dataset = made(kind)
    found = said(dataset)
    if kind in {"hidden page", "colour pages", "only page"}:  # of an identity, which names no patient
        assert {**found, "PatientName": "Test^Patient"}.items() >= {**PATIENT_AND_STUDY, **MAKER}.items()
        assert not found["PatientName"]
    else:
        assert found.items() >= {**PATIENT_AND_STUDY, **MAKER}.items()
    assert found["SeriesTime"] == found["InstanceCreationTime"]
    meta = dataset.file_meta
    assert meta.MediaStorageSOPClassUID == found["SOPClassUID"]
    assert meta.MediaStorageSOPInstanceUID == found["SOPInstanceUID"]
    scanner, own = (dataset.ContributingEquipmentSequence[at] for at in (0, -1))
    assert said(own).items() >= {
        "Manufacturer": "dcm-processor", "ManufacturerModelName": "liver-volume", "SoftwareVersions": "1.4.0",
        "ContributionDescription": "result by liver-volume 1.4.0",
    }.items()  # fmt: skip
    assert code(own.PurposeOfReferenceCodeSequence) == ("109102", "DCM", "Processing Equipment")
    if scanner is not own:
        assert said(scanner) == {"Manufacturer": "Scanners"}
        assert code(scanner.PurposeOfReferenceCodeSequence) == ("109101", "DCM", "Acquisition Equipment")


def code(items: Any) -> tuple[str, str, str]:
    (item,) = items
    return item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning


BITS = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelRepresentation": 0, "Rows": 3, "Columns": 4}
GREY_BITS = {**BITS, "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2"}
COLOUR_BITS = {**BITS, "SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
CAPTURE = {
    "ImageType": ["DERIVED", "SECONDARY"], "ConversionType": "WSD", "PatientOrientation": None,
    "BurnedInAnnotation": "YES", "Laterality": None, "DerivationDescription": "result by liver-volume 1.4.0",
    "ContentDate": "20250304",
}  # fmt: skip
PAGES = {"FrameIncrementPointer": 0x00182001, "PageNumberVector": [1, 2], "NumberOfFrames": 2}
RESCALED = {"RescaleSlope": 1, "RescaleIntercept": 0, "RescaleType": "US", "PresentationLUTShape": "IDENTITY"}
SR = {"ContentDate": "20250304", "CompletionFlag": "COMPLETE", "VerificationFlag": "UNVERIFIED", "Modality": "SR"}
TREE = {"ValueType": "CONTAINER", "ContinuityOfContent": "SEPARATE"}

OWN: dict[str, dict[str, Any]] = {
    "page": {**CAPTURE, **GREY_BITS, "Modality": "CT", "InstanceNumber": 2},
    "hidden page": {**CAPTURE, **COLOUR_BITS, "BurnedInAnnotation": "NO", "Modality": "OT", "InstanceNumber": 1},
    "grey pages": {**CAPTURE, **GREY_BITS, **PAGES, **RESCALED, "Modality": "US", "InstanceNumber": 1},
    "colour pages": {**CAPTURE, **COLOUR_BITS, **PAGES, "Modality": "OT", "InstanceNumber": 1},
    "only page": {**CAPTURE, **COLOUR_BITS, "NumberOfFrames": 1, "Modality": "OT", "InstanceNumber": 1},
    "document": {
        "Modality": "DOC", "InstanceNumber": 1, "ConversionType": "WSD", "AcquisitionDateTime": None,
        "BurnedInAnnotation": "YES", "DocumentTitle": "result", "MIMETypeOfEncapsulatedDocument": "application/pdf",
        "EncapsulatedDocumentLength": 10, "ContentDate": "20250304",
    },
    "report": {**SR, **TREE, "InstanceNumber": 1},
    "presentation": {
        "Modality": "PR", "InstanceNumber": 1, "Laterality": None, "ContentLabel": "ANNOTATIONS",
        "ContentDescription": "result by liver-volume 1.4.0", "ContentCreatorName": None,
        "PresentationCreationDate": "20250304", "PresentationLUTShape": "IDENTITY", "RescaleSlope": 1,
        "RescaleIntercept": 0, "RescaleType": "US",
    },
    "structures": {
        "Modality": "RTSTRUCT", "InstanceNumber": 1, "OperatorsName": None, "ApprovalStatus": "UNAPPROVED",
        "FrameOfReferenceUID": "1.2.3.9", "PositionReferenceIndicator": None, "StructureSetLabel": "result",
        "StructureSetDescription": "result by liver-volume 1.4.0", "StructureSetDate": "20250304",
    },
}  # fmt: skip
OF_TIME = {"ContentTime", "PresentationCreationTime", "StructureSetTime"}


@pytest.mark.parametrize("kind", OWN)
def test_an_object_states_what_its_kind_has_and_nothing_else(kind: str) -> None:
    found = said(made(kind))
    times = {found[keyword] for keyword in OF_TIME & found.keys()}
    assert times == {found["SeriesTime"]}
    left = found.keys() - PATIENT_AND_STUDY.keys() - MAKER.keys() - OWN_UIDS - OF_TIME
    assert {keyword: found[keyword] for keyword in left} == OWN[kind]


def test_a_segmentation_and_a_map_state_what_their_kinds_have() -> None:
    shared = {
        "ContentDescription": "result by liver-volume 1.4.0", "ContentCreatorName": None, "InstanceNumber": 1,
        "FrameOfReferenceUID": "1.2.3.9", "Rows": 4, "Columns": 5,
    }  # fmt: skip
    mapped = made("map")
    seg, values = said(made("segmentation")), said(mapped)
    assert seg.items() >= {**shared, "Modality": "SEG", "ContentLabel": "SEGMENTATION"}.items()
    assert (seg["SegmentationType"], seg["SegmentsOverlap"], seg["NumberOfFrames"]) == ("BINARY", "NO", 2)
    assert "Laterality" not in seg
    assert values.items() >= {**shared, "ContentLabel": "MAP", "RecognizableVisualFeatures": "NO"}.items()
    (groups,) = mapped.SharedFunctionalGroupsSequence
    (window,), (mapping,) = groups.FrameVOILUTSequence, groups.RealWorldValueMappingSequence
    assert said(window).items() >= {"WindowCenter": 0.75, "WindowWidth": 1.5, "VOILUTFunction": "LINEAR_EXACT"}.items()
    assert said(mapping).items() >= {
        "LUTLabel": "result", "LUTExplanation": "result by liver-volume 1.4.0", "RealWorldValueSlope": 1,
        "RealWorldValueIntercept": 0, "DoubleFloatRealWorldValueFirstValueMapped": 0,
        "DoubleFloatRealWorldValueLastValueMapped": 1.5,
    }.items()  # fmt: skip
    assert code(mapping.MeasurementUnitsCodeSequence)[:2] == ("1", "UCUM")


def test_a_segment_states_what_made_it() -> None:
    (segment,) = made("segmentation").SegmentSequence
    assert said(segment).items() >= {
        "SegmentNumber": 1, "SegmentLabel": "left kidney", "SegmentAlgorithmType": "AUTOMATIC",
        "SegmentAlgorithmName": "liver-volume", "TrackingID": "left kidney",
    }.items()  # fmt: skip
    assert_algorithm(segment.SegmentationAlgorithmIdentificationSequence)
    assert code(segment.SegmentedPropertyCategoryCodeSequence) == ("123037004", "SCT", "Anatomical Structure")


def assert_algorithm(items: Any) -> None:
    (algorithm,) = items
    assert said(algorithm) == {
        "AlgorithmName": "liver-volume", "AlgorithmVersion": "1.4.0", "AlgorithmSource": "dcm-processor"
    }  # fmt: skip
    assert code(algorithm.AlgorithmFamilyCodeSequence) == ("123110", "DCM", "Artificial Intelligence")


def test_a_structure_states_its_number_volume_maker_and_what_it_is() -> None:
    dataset = made("structures")
    for number, (name, interpreted, kind, category) in enumerate(
        [
            ("left kidney", "ORGAN", ("64033007", "SCT", "Kidney"), "123037004"),
            ("tumor", None, ("108369006", "SCT", "Tumor"), "49755003"),
        ]
    ):
        region = dataset.StructureSetROISequence[number]
        assert said(region) == {
            "ROINumber": number + 1, "ReferencedFrameOfReferenceUID": "1.2.3.9", "ROIName": name,
            "ROIVolume": pytest.approx(4 * 0.5 * 0.75 * 2.5 / 1000), "ROIGenerationAlgorithm": "AUTOMATIC",
        }  # fmt: skip
        assert_algorithm(region.ROIDerivationAlgorithmIdentificationSequence)
        observed = dataset.RTROIObservationsSequence[number]
        assert said(observed) == {
            "ObservationNumber": number + 1, "ReferencedROINumber": number + 1, "RTROIInterpretedType": interpreted,
            "ROIInterpreter": None,
        }  # fmt: skip
        assert code(observed.RTROIIdentificationCodeSequence) == kind
        assert observed.SegmentedPropertyCategoryCodeSequence[0].CodeValue == category
        contours = dataset.ROIContourSequence[number]
        assert contours.ReferencedROINumber == number + 1
        assert [said(each) for each in contours.ContourSequence] == [
            {"ContourGeometricType": "CLOSED_PLANAR", "NumberOfContourPoints": 6, "ContourNumber": place}
            for place in (1, 2)
        ]
    side = dataset.RTROIObservationsSequence[0].RTROIIdentificationCodeSequence[0]
    assert code(side.SegmentedPropertyTypeModifierCodeSequence) == ("7771000", "SCT", "Left")
    (frame,) = dataset.ReferencedFrameOfReferenceSequence
    (study,) = frame.RTReferencedStudySequence
    assert said(study) == {
        "ReferencedSOPClassUID": "1.2.840.10008.3.1.2.3.1", "ReferencedSOPInstanceUID": "1.2.3"
    }  # fmt: skip


def test_lines_points_and_texts_of_a_presentation_state_how_they_are_drawn() -> None:
    dataset = made("presentation")
    outline, _second, point, words, title = dataset.GraphicAnnotationSequence
    drawn = {"GraphicAnnotationUnits": "PIXEL", "GraphicDimensions": 2}
    # a closed line says whether it is filled, a point has no inside (PS3.3, section C.10.5)
    (line,), (dot,) = outline.GraphicObjectSequence, point.GraphicObjectSequence
    assert said(line) == {**drawn, "GraphicType": "POLYLINE", "NumberOfGraphicPoints": 7, "GraphicFilled": "N"}
    assert said(dot) == {**drawn, "GraphicType": "POINT", "NumberOfGraphicPoints": 1}
    assert [each.GraphicLayer for each in dataset.GraphicAnnotationSequence] == [
        "LAYER1", "LAYER1", "LAYER2", "LAYER2", "LAYER1"
    ]  # fmt: skip
    (beside,), (at_bottom,) = words.TextObjectSequence, title.TextObjectSequence
    found = said(beside)
    corners = [found.pop(f"BoundingBox{corner}HandCorner") for corner in ("TopLeft", "BottomRight")]
    assert found == {
        "UnformattedTextValue": "here", "BoundingBoxAnnotationUnits": "PIXEL", "AnchorPointAnnotationUnits": "PIXEL",
        "BoundingBoxTextHorizontalJustification": "LEFT", "AnchorPointVisibility": "Y",
        "AnchorPoint": pytest.approx([2.5, 1 / 0.75 + 0.5]),
    }  # fmt: skip
    (left, top), (right, bottom) = corners
    assert 0 <= left < right < 2.5  # beside the point, which is in the right half, and above it
    assert 0 <= top < bottom < 1 / 0.75 + 0.5
    assert said(at_bottom) == {
        "UnformattedTextValue": "Research only", "BoundingBoxAnnotationUnits": "DISPLAY",
        "BoundingBoxTopLeftHandCorner": [0.02, 0.93], "BoundingBoxBottomRightHandCorner": [0.98, 0.99],
        "BoundingBoxTextHorizontalJustification": "CENTER",
    }  # fmt: skip


def test_layers_and_areas_of_a_presentation_state_their_order_and_size() -> None:
    dataset = made("presentation")
    layers = [said(each) for each in dataset.GraphicLayerSequence]
    for layer in layers:
        layer.pop("GraphicLayerRecommendedDisplayCIELabValue")
    white = {"GraphicLayerRecommendedDisplayGrayscaleValue": 0xFFFF}
    assert layers == [
        {**white, "GraphicLayer": "LAYER1", "GraphicLayerOrder": 1, "GraphicLayerDescription": "liver"},
        {**white, "GraphicLayer": "LAYER2", "GraphicLayerOrder": 2, "GraphicLayerDescription": "markers"},
    ]
    (area,) = dataset.DisplayedAreaSelectionSequence
    assert said(area) == {
        "DisplayedAreaTopLeftHandCorner": [1, 1], "DisplayedAreaBottomRightHandCorner": [5, 4],
        "PresentationSizeMode": "SCALE TO FIT", "PresentationPixelSpacing": [0.75, 0.5],
    }  # fmt: skip


REFERRING = {
    "image": {"SourceImageSequence", "ReferencedSeriesSequence"},
    "page": {"SourceImageSequence", "ReferencedSeriesSequence"},
    "hidden page": set(),
    "document": {"SourceInstanceSequence", "ConceptNameCodeSequence"},
    "report": {
        "CurrentRequestedProcedureEvidenceSequence", "ConceptNameCodeSequence", "ContentSequence",
        "PerformedProcedureCodeSequence", "ReferencedPerformedProcedureStepSequence",
    },
    "presentation": {
        "ReferencedSeriesSequence", "GraphicAnnotationSequence", "GraphicLayerSequence",
        "DisplayedAreaSelectionSequence",
    },
    "structures": {
        "ReferencedFrameOfReferenceSequence", "StructureSetROISequence", "ROIContourSequence",
        "RTROIObservationsSequence",
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", REFERRING)
def test_an_object_has_the_sequences_of_its_kind(kind: str) -> None:
    assert sequences(made(kind)) == {*REFERRING[kind], "ContributingEquipmentSequence"}
