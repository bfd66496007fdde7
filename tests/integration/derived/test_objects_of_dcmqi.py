"""Segmentations and measurement reports that dcmqi writes are read as it was told to write them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid

from dcm_processor_service import Code, Volume
from dcm_processor_service.derived.reading.measurements import read_measurements
from dcm_processor_service.derived.reading.segments import read_segments
from dcm_processor_service.imaging.volumes.read import read_volume
from tests.integration.derived.object_matrix import dcmqi, shared

if TYPE_CHECKING:
    from pathlib import Path

LIVER = {"CodeValue": "10200004", "CodingSchemeDesignator": "SCT", "CodeMeaning": "Liver"}
KIDNEY = {"CodeValue": "T-71000", "CodingSchemeDesignator": "SRT", "CodeMeaning": "Kidney"}
LEFT = {"CodeValue": "G-A101", "CodingSchemeDesignator": "SRT", "CodeMeaning": "Left"}
STRUCTURE = {"CodeValue": "123037004", "CodingSchemeDesignator": "SCT", "CodeMeaning": "Anatomical Structure"}
HOUNSFIELD = {"CodeValue": "[hnsf'U]", "CodingSchemeDesignator": "UCUM", "CodeMeaning": "Hounsfield unit"}
ATTENUATION = {"CodeValue": "112031", "CodingSchemeDesignator": "DCM", "CodeMeaning": "Attenuation Coefficient"}
MEAN = {"CodeValue": "R-00317", "CodingSchemeDesignator": "SRT", "CodeMeaning": "Mean"}
MAXIMUM = {"CodeValue": "G-A437", "CodingSchemeDesignator": "SRT", "CodeMeaning": "Maximum"}


@pytest.fixture(scope="module")
def images() -> list[Path]:
    """One volume of a real scan."""
    found = shared("dcm_qa_nih/In/20180918GE/mr_0004", "*.dcm")
    return sorted(found, key=lambda path: int(dcmread(path, stop_before_pixels=True).InstanceNumber))[:15]


@pytest.fixture(scope="module")
def volume(images: list[Path]) -> Volume:
    return read_volume(images)


def labels(volume: Volume) -> Any:
    found = np.zeros(volume.shape, np.uint8)
    found[20:30, 15:33, 4:9] = 1
    found[40:45, 20:25, 6:12] = 2
    return found


def segmentation(images: list[Path], volume: Volume, folder: Path, *options: str) -> Path:
    nib.save(volume.like(labels(volume)).to_nifti(), folder / "labels.nii.gz")
    common = {"SegmentAlgorithmType": "SEMIAUTOMATIC", "SegmentAlgorithmName": "editor"}
    common |= {"SegmentedPropertyCategoryCodeSequence": STRUCTURE}  # type: ignore[dict-item]
    liver = {"labelID": 1, "SegmentLabel": "Leber", "SegmentedPropertyTypeCodeSequence": LIVER}
    kidney = {
        "labelID": 2,
        "SegmentLabel": "Niere",
        "SegmentedPropertyTypeCodeSequence": KIDNEY,
        "SegmentedPropertyTypeModifierCodeSequence": LEFT,
        "recommendedDisplayRGBValue": [226, 202, 134],
    }
    described = {
        "ContentCreatorName": "Doe^John",
        "SeriesDescription": "Segmentation",
        "SeriesNumber": "300",
        "InstanceNumber": "1",
        "segmentAttributes": [[common | liver, common | kidney]],
    }
    (folder / "meta.json").write_text(json.dumps(described), encoding="utf-8")
    files = ",".join(map(str, images))
    given = ("--inputImageList", folder / "labels.nii.gz", "--inputDICOMList", files, "--skip", "1")
    dcmqi(
        "itkimage2segimage",
        *given,
        "--inputMetadata",
        folder / "meta.json",
        "--outputDICOM",
        folder / "s.dcm",
        *options,
    )
    return folder / "s.dcm"


@pytest.mark.parametrize("options", [(), ("--segmentationType", "labelmap"), ("--compress", "deflate")], ids=str)
def test_a_segmentation_of_dcmqi_is_read_voxel_by_voxel(
    options: tuple[str, ...], images: list[Path], volume: Volume, tmp_path: Path
) -> None:
    path = segmentation(images, volume, tmp_path, *options)
    for like in (None, images, volume):
        liver, kidney = read_segments([path], like)
        for number, segment in ((1, liver), (2, kidney)):
            mask = segment.mask()
            found = np.argwhere(mask.array) @ mask.affine_lps[:3, :3].T + mask.affine_lps[:3, 3]
            wanted = np.argwhere(labels(volume) == number) @ volume.affine_lps[:3, :3].T + volume.affine_lps[:3, 3]
            assert found.shape == wanted.shape
            assert np.abs(found[np.lexsort(found.T.round(1))] - wanted[np.lexsort(wanted.T.round(1))]).max() < 1e-2
    assert (liver.name, liver.code) == ("Leber", Code("10200004", "SCT", "Liver"))
    assert (kidney.name, kidney.code) == ("Niere", Code("T-71000", "SRT", "Kidney"))
    assert (kidney.laterality, kidney.color_rgb) == (Code("G-A101", "SRT", "Left"), (226, 202, 134))
    assert (kidney.algorithm_type, kidney.algorithm_name) == ("SEMIAUTOMATIC", "editor")
    assert kidney.referenced_series_uids == (volume.series_instance_uid,)


def test_a_report_of_dcmqi_is_read_measurement_by_measurement(
    images: list[Path], volume: Volume, tmp_path: Path
) -> None:
    path = segmentation(images, volume, tmp_path)
    seg = dcmread(path)
    group = {
        "TrackingIdentifier": "group 1",
        "TrackingUniqueIdentifier": generate_uid(),
        "ReferencedSegment": 2,
        "SourceSeriesForImageSegmentation": volume.series_instance_uid,
        "segmentationSOPInstanceUID": seg.SOPInstanceUID,
        "Finding": KIDNEY,
        "FindingSite": KIDNEY,
        "Laterality": LEFT,
        "measurementItems": [
            {"value": "37.3289", "quantity": ATTENUATION, "units": HOUNSFIELD, "derivationModifier": MEAN},
            {"value": "221", "quantity": ATTENUATION, "units": HOUNSFIELD, "derivationModifier": MAXIMUM},
        ],
    }
    described = {
        "SeriesDescription": "Measurements",
        "SeriesNumber": "1001",
        "InstanceNumber": "1",
        "compositeContext": ["s.dcm"],
        "imageLibrary": [images[0].name],
        "observerContext": {"ObserverType": "PERSON", "PersonObserverName": "Reader1"},
        "VerificationFlag": "VERIFIED",
        "CompletionFlag": "COMPLETE",
        "activitySession": "1",
        "timePoint": "1",
        "Measurements": [group],
    }
    (tmp_path / "report.json").write_text(json.dumps(described), encoding="utf-8")
    folders = ("--inputImageLibraryDirectory", images[0].parent, "--inputCompositeContextDirectory", tmp_path)
    target = tmp_path / "report.dcm"
    dcmqi("tid1500writer", *folders, "--inputMetadata", tmp_path / "report.json", "--outputDICOM", target)
    ((name, finding),) = read_measurements([target]).items()
    assert name == "group 1"
    assert finding.measurements == {
        "Attenuation Coefficient, Mean": (37.3289, "HU"),
        "Attenuation Coefficient, Maximum": (221.0, "HU"),
    }
    assert (finding.finding, finding.site) == (Code("T-71000", "SRT", "Kidney"), Code("T-71000", "SRT", "Kidney"))
    assert finding.laterality == Code("G-A101", "SRT", "Left")
    assert finding.segment is not None
    assert (finding.segment[0].SOPInstanceUID, finding.segment[1]) == (seg.SOPInstanceUID, 2)
