"""The JSON beside a NIfTI file: names and units of BIDS, and a header in plain values."""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import Any

import numpy as np
import pytest
from pydicom import DataElement, Dataset
from pydicom.config import IGNORE

from dcm_processor_service import Volume
from dcm_processor_service.derived.source import frames_of_header
from dcm_processor_service.imaging.nifti.gradients import GradientTable, gradient_table
from dcm_processor_service.imaging.nifti.sidecar import bids_metadata, get_simplified_json, sidecar_content
from dcm_processor_service.imaging.series.stack import Stack
from dcm_processor_service.imaging.volumes.volume import Rescale, SliceSource
from tests.unit.derived.sources import make_headers

SOFTWARE = {
    "ConversionSoftware": "dcm-processor-service",
    "ConversionSoftwareVersion": version("dcm-processor-service"),
}


def header(**values: Any) -> Dataset:
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def fields(dataset: Dataset, frame_number: int = 1) -> dict[str, Any]:
    found = bids_metadata(dataset, frame_number)
    assert {key: found.pop(key) for key in SOFTWARE} == SOFTWARE
    return found


@pytest.mark.parametrize(
    ("keyword", "value", "name", "expected"),
    [
        ("RepetitionTime", "2500", "RepetitionTime", 2.5),
        ("EchoTime", "4.92", "EchoTime", 0.00492),
        ("EffectiveEchoTime", 30.0, "EchoTime", 0.03),
        ("InversionTime", "900", "InversionTime", 0.9),
        ("FlipAngle", "9", "FlipAngle", 9),
        ("FlipAngle", "0", "FlipAngle", 0),
        ("MagneticFieldStrength", "2.893", "MagneticFieldStrength", 2.893),
        ("TransmitterFrequency", 123.25, "ImagingFrequency", 123.25),
        ("ActualFrameDuration", "60000", "FrameDuration", 60),
        ("FrameReferenceTime", "1500.5", "FrameReferenceTime", 1.5005),
        ("KVP", "120", "KVP", 120),
        ("ExposureTime", "500", "ExposureTime", 500),
        ("SliceThickness", "2.5", "SliceThickness", 2.5),
        ("SeriesNumber", "7", "SeriesNumber", 7),
        ("ImageOrientationPatient", [1, 0, 0, 0, 1, 0], "ImageOrientationPatientDICOM", [1, 0, 0, 0, 1, 0]),
        ("ManufacturerModelName", "Scanner", "ManufacturersModelName", "Scanner"),
        ("SeriesDescription", "made up", "SeriesDescription", "made up"),
        ("PulseSequenceName", "epi", "SequenceName", "epi"),
        ("InPlanePhaseEncodingDirection", "COLUMN", "InPlanePhaseEncodingDirectionDICOM", "COL"),
        ("InPlanePhaseEncodingDirection", "ROW", "InPlanePhaseEncodingDirectionDICOM", "ROW"),
        ("ImageType", ["ORIGINAL", "PRIMARY"], "ImageType", ["ORIGINAL", "PRIMARY"]),
        ("ImageType", "ORIGINAL", "ImageType", ["ORIGINAL"]),
        ("ScanningSequence", ["GR", "IR"], "ScanningSequence", ["GR", "IR"]),
        ("ScanningSequence", "GR", "ScanningSequence", "GR"),
        ("ConvolutionKernel", ["B30f", "3"], "ConvolutionKernel", "B30f\\3"),
    ],
)
def test_attributes_have_the_names_and_units_of_bids(keyword: str, value: Any, name: str, expected: Any) -> None:
    found = fields(header(**{keyword: value}))
    assert found == {name: expected}
    assert type(found[name]) is type(expected)


@pytest.mark.parametrize("keyword", ["EchoTime", "EffectiveEchoTime", "InversionTime", "RepetitionTime"])
def test_a_time_of_zero_counts_as_absent(keyword: str) -> None:
    assert fields(header(**{keyword: 0})) == {}
    assert fields(header(**{keyword: None})) == {}


def test_nothing_of_the_patient_is_copied() -> None:
    assert fields(header(PatientName="A", PatientID="B", PatientAge="030Y", StudyDate="20240101", Modality="MR")) == {
        "Modality": "MR"
    }


def enhanced() -> Dataset:
    """Makes a header with echo times of 10, 20 and 30 ms for three frames, and a repetition time for all."""
    frames = [header(MREchoSequence=[header(EffectiveEchoTime=10.0 * number)]) for number in (1, 2, 3)]
    shared = header(
        MRTimingAndRelatedParametersSequence=[header(RepetitionTime="1500", FlipAngle="8")],
        MREchoSequence=[header(EffectiveEchoTime=99.0)],
    )
    return header(
        PerFrameFunctionalGroupsSequence=frames, SharedFunctionalGroupsSequence=[shared, header()], FlipAngle="90"
    )


@pytest.mark.parametrize(("frame_number", "echo"), [(1, 0.01), (2, 0.02), (3, 0.03), (0, 0.099)])
def test_a_frame_has_its_own_attributes_and_those_of_all(frame_number: int, echo: float) -> None:
    found = fields(enhanced(), frame_number)
    assert (found["FlipAngle"], found["RepetitionTime"], found["EchoTime"]) == (90, 1.5, echo)


def test_a_frame_alone_states_its_echo() -> None:
    dataset = enhanced()
    del dataset.SharedFunctionalGroupsSequence[0].MREchoSequence
    assert [fields(dataset, number).get("EchoTime") for number in (0, 1, 2, 3)] == [None, 0.01, 0.02, 0.03]


def test_the_sidecar_is_that_of_the_first_frame_of_the_volume() -> None:
    dataset = enhanced()
    dataset.SOPInstanceUID = "1.2.3"

    def echo(*sources: SliceSource) -> float | None:
        rows = (sources,) if sources else ()
        made = Volume(np.zeros((2, 3, max(1, len(sources)))), np.eye(4), sources=rows, header=dataset)
        found: float | None = sidecar_content(made, "bids")["EchoTime"]
        return found

    assert echo(SliceSource("1.2.3", 3), SliceSource("1.2.3", 2)) == 0.02
    assert echo(SliceSource("1.2.4", 1), SliceSource("1.2.3", 3)) == 0.03  # frame 1 belongs to another file
    assert echo(SliceSource("1.2.4", 1)) == 0.099
    assert echo() == 0.099


def volume(modality: str = "", unit: str = "", made: Dataset | None = None, **values: Any) -> Volume:
    return Volume(np.zeros((2, 3, 4)), np.eye(4), modality=modality, rescale=Rescale(unit=unit), header=made, **values)


def test_a_volume_without_header_tells_its_modality() -> None:
    assert sidecar_content(volume("PT", "Hz"), "bids") == {"Modality": "PT"}
    assert sidecar_content(volume(), "bids") == {}
    assert sidecar_content(volume("PT"), "simplified") == {}


MAPS = "1.2.840.10008.5.1.4.1.1.30"


@pytest.mark.parametrize(
    ("modality", "sop_class", "unit", "units"),
    [
        ("MR", "1.2", "hz", "Hz"),
        ("MR", "1.2", "HZ", "Hz"),
        ("MR", "1.2", "rad/s", "rad/s"),
        ("MR", "1.2", "T", "T"),
        ("MR", "1.2", "ms", None),
        ("MR", "1.2", "", None),
        ("MR", MAPS, "ms", "ms"),
        ("MR", MAPS, "", None),
        ("CT", "1.2", "Hz", None),
        ("CT", MAPS, "HZ", "HZ"),
    ],
)
def test_units_of_field_maps_and_parametric_maps(modality: str, sop_class: str, unit: str, units: str | None) -> None:
    content = sidecar_content(volume(modality, unit, header(Modality=modality, SOPClassUID=sop_class)), "bids")
    assert content.get("Units") == units


def test_times_of_volumes_are_in_seconds() -> None:
    made = header(Modality="PT")
    both = volume("PT", "", made, frame_times_s=(0.0, 60.25), frame_durations_s=(60.0, 30.0))
    content = sidecar_content(both, "bids")
    assert (content["FrameTimesStart"], content["FrameDuration"]) == ([0, 60.25], [60, 30])
    assert not {"FrameTimesStart", "FrameDuration"} & sidecar_content(volume("PT", "", made), "bids").keys()


def test_a_simplified_sidecar_counts_the_slices_of_one_volume() -> None:
    four = Volume(np.zeros((2, 3, 4, 5)), np.eye(4), header=header(Modality="MR"))
    assert sidecar_content(four, "simplified") == {"Modality": "MR", "Slices": 4}
    across = Volume(np.zeros((2, 3, 4)), np.eye(4), header=header(Modality="MR"), slice_axis=0)
    assert sidecar_content(across, "simplified") == {"Modality": "MR", "Slices": 2}


@pytest.mark.parametrize(
    ("age", "years"),
    [
        ("045Y", 45),
        ("011M", 0),
        ("012M", 1),
        ("051W", 0),
        ("053W", 1),
        ("364D", 0),
        ("366D", 1),
        ("730D", 1),
        ("731D", 2),
        ("", None),
        (None, None),
    ],
)
def test_an_age_is_whole_years(age: str | None, years: int | None) -> None:
    assert get_simplified_json(header(PatientAge=age)).get("PatientAge") == years


@pytest.mark.parametrize(("age", "read"), [("45", 45), (" 024m ", 2), ("Y", "Y"), ("45 X", 45)])
def test_an_age_that_is_written_otherwise_is_read_if_it_can_be(age: str, read: int | str) -> None:
    dataset = Dataset()
    dataset.add(DataElement("PatientAge", "AS", age, validation_mode=IGNORE))
    assert get_simplified_json(dataset)["PatientAge"] == read


def test_a_header_becomes_plain_values() -> None:
    dataset = header(
        PatientName="Doe^Jane",
        Rows=5,
        PixelSpacing=[0.5, 0.7],
        ImageType=["A", "B"],
        SliceThickness=None,
        DiffusionBValue=float("nan"),
        DiffusionGradientOrientation=[1.0, float("inf"), 0.0],
        PixelData=bytes(4),
        ReferencedImageSequence=[header(ReferencedSOPInstanceUID="1.2"), header(ReferencedSOPInstanceUID="1.3")],
        ViewCodeSequence=[],
        SmallestImagePixelValue=None,
    )
    dataset["PixelData"].VR = "OW"
    dataset.add_new(0x00091010, "LO", "private")
    found = get_simplified_json(dataset)
    assert found == {
        "PatientName": "Doe^Jane",
        "Rows": 5,
        "PixelSpacing": [0.5, 0.7],
        "ImageType": ["A", "B"],
        "DiffusionGradientOrientation": [1.0, None, 0.0],
        "ReferencedImageSequence": [{"ReferencedSOPInstanceUID": "1.2"}, {"ReferencedSOPInstanceUID": "1.3"}],
    }
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert [*found] == sorted(found, key=lambda keyword: dataset[keyword].tag)


X, Z, NONE = [1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]
Weighting = tuple[float | None, list[float] | None]


def table(*volumes: Weighting, odd: Weighting | None = None) -> GradientTable | None:
    """The table of volumes of three slices with such b-values and directions; ``odd`` is what the last slice says."""
    grid = []
    for number, weighting in enumerate(volumes):
        line = []
        for index, dataset in enumerate(make_headers(shape=(5, 4, 3))):
            is_last = number == len(volumes) - 1 and index == 2
            weight, direction = odd if odd is not None and is_last else weighting
            if weight is not None:
                dataset.DiffusionBValue = weight
            if direction is not None:
                dataset.DiffusionGradientOrientation = direction
            line += frames_of_header(dataset)
        grid.append(tuple(line))
    return gradient_table(Stack(tuple(grid), ""))


def test_weights_and_directions_are_those_of_each_volume() -> None:
    # without weight there is no direction
    expected = GradientTable((0.0, 700.0, 700.0), ((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)))
    assert table((0.0, X), (700.0, X), (700.0, Z)) == expected


def test_weights_that_differ_need_no_directions() -> None:
    expected = GradientTable((0, 500, 1000), ())
    assert table((0.0, None), (500.0, None), (1000.0, None)) == expected
    assert table((0.0, None), (500.0, NONE), (1000.0, None)) == expected


@pytest.mark.parametrize(
    "volumes",
    [
        ((0.0, None), (500.0, None), (500.0, None)),  # nobody knows which of the two is which
        ((0.0, None), (500.0, X), (700.0, None)),
        ((0.0, None), (500.0, X), (700.0, NONE)),
        ((0.0, None), (None, X), (700.0, Z)),
        ((None, None), (500.0, X)),
    ],
    ids=["repeated", "no direction", "direction of zeros", "no weight", "no first weight"],
)
def test_weights_that_are_not_stated_whole_leave_no_table(volumes: tuple[Weighting, ...]) -> None:
    assert table(*volumes) is None


@pytest.mark.parametrize("odd", [(50.0, X), (500.0, Z), (500.0, None), (0.0, X)])
def test_slices_of_one_volume_that_disagree_leave_no_table(odd: Weighting) -> None:
    assert table((0.0, None), (500.0, X)) is not None
    assert table((0.0, None), (500.0, X), odd=odd) is None
