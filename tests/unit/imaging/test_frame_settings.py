"""If settings of an enhanced object's frames alternate along the stack, there are several volumes that interleave."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import EnhancedCTImageStorage, EnhancedMRImageStorage

from dcm_processor_service.imaging.series.order.turns import FEWEST_TURNS, TurnsAlongStack, take_turns
from dcm_processor_service.imaging.volumes.read import read_volumes
from tests.unit.imaging.refusals import refused
from tests.unit.imaging.synthetic import Recipe, multi_frame, single_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from dcm_processor_service.models.images.nifti import Policy

POLICIES: tuple[Policy, ...] = ("strict", "split", "largest", "resample")
SLICES = 6
STEP = 3.0
SETTINGS: dict[str, tuple[str, list[Any]]] = {
    "NominalPercentageOfCardiacPhase": ("CardiacSynchronizationSequence", [10.0, 60.0]),
    "NominalCardiacTriggerTimePriorToRPeak": ("CardiacSynchronizationSequence", [100.0, 300.0]),
    "NominalPercentageOfRespiratoryPhase": ("RespiratorySynchronizationSequence", [0.0, 50.0]),
    "NominalRespiratoryTriggerDelayTime": ("RespiratorySynchronizationSequence", [0.0, 50.0]),
    "ContrastBolusAgentNumber": ("ContrastBolusUsageSequence", [1, 2]),
    "ReconstructionAlgorithm": ("CTReconstructionSequence", ["FILTER_BACK_PROJ", "ITERATIVE"]),
    "XRayTubeCurrentInmA": ("CTExposureSequence", [80.0, 140.0]),
    "IrradiationEventUID": ("IrradiationEventIdentificationSequence", ["1.2.1", "1.2.2"]),
    "FrameLaterality": ("FrameAnatomySequence", ["L", "R"]),
    "FrameComments": ("FrameContentSequence", ["rest", "stress"]),
    "MidSlabPosition": ("MRSpatialSaturationSequence", [[0.0, 0.0, 1.0], [0.0, 0.0, 9.0]]),
}


def enhanced(
    folder: Path, setting: str, values: list[Any], cells: Iterable[tuple[float, int]], modality: str = "MR"
) -> list[Path]:
    """Writes one object with a frame for each cell: the height of the frame, and which of the values it has."""
    [path] = multi_frame(Recipe(columns=3, rows=2, slices=SLICES, volumes=2, modality=modality), folder)
    ds = dcmread(path)
    del ds.DimensionIndexSequence
    groups = []
    macro = SETTINGS.get(setting, ("MRModifierSequence", []))[0]
    for height, number in cells:
        group, position, inner = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = [0, 0, height]
        setattr(inner, setting, values[number])
        group.PlanePositionSequence = [position]
        setattr(group, macro, [inner])
        groups.append(group)
    ds.PerFrameFunctionalGroupsSequence, ds.NumberOfFrames = groups, len(groups)
    ds.PixelData = np.arange(6 * len(groups), dtype="<i2").tobytes()
    ds.SOPClassUID = EnhancedMRImageStorage if modality == "MR" else EnhancedCTImageStorage
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.save_as(path)
    return [path]


def half_a_step_apart() -> list[tuple[float, int]]:
    return [(STEP * k + STEP / 2 * t, t) for k, t in itertools.product(range(SLICES), range(2))]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("setting", SETTINGS)
def test_volumes_of_two_settings_half_a_step_apart_are_refused(tmp_path: Path, setting: str, policy: Policy) -> None:
    modality = "CT" if setting.startswith(("XRay", "Recon")) else "MR"
    paths = enhanced(tmp_path, setting, SETTINGS[setting][1], half_a_step_apart(), modality)
    report = refused(paths, "INTERLEAVED_VOLUMES", policy)
    [finding] = [one for one in report.findings if one.code == "INTERLEAVED_VOLUMES"]
    assert f"their values of {setting} take turns along the stack" in finding.message


@pytest.mark.parametrize(
    "number_of", [lambda _: 0, lambda index: index // SLICES, lambda index: int(index == 4)], ids=["one", "two", "odd"]
)
def test_settings_that_are_constant_or_change_once_are_of_one_volume(
    tmp_path: Path, number_of: Callable[[int], int]
) -> None:
    name = "NominalPercentageOfCardiacPhase"
    cells = [(height, number_of(index)) for index, (height, _) in enumerate(half_a_step_apart())]
    [volume] = read_volumes(enhanced(tmp_path, name, SETTINGS[name][1], cells))
    assert volume.shape == (3, 2, 2 * SLICES)


@pytest.mark.parametrize(
    ("name", "values"), [("InversionTimes", [[100.0], [120.0]]), ("TransmitterFrequency", [[63.1], [63.2]])]
)
def test_two_passes_of_an_mr_may_have_different_measurements(tmp_path: Path, name: str, values: list[Any]) -> None:
    paths = enhanced(tmp_path, name, values, half_a_step_apart())
    [volume] = read_volumes(paths)
    assert volume.shape == (3, 2, 2 * SLICES)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("AcquisitionTime", ["120000.5", "120100.5"]),
        ("ContentTime", ["120000.5", "120100.5"]),
        ("HeartRate", [60, 70]),
        ("TriggerTime", [100.0, 120.0]),
    ],
)
def test_two_passes_of_a_converted_mr_may_have_times_of_their_own(
    tmp_path: Path, name: str, values: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A legacy converted object has the attributes of the original files in the groups of each frame."""
    monkeypatch.setitem(SETTINGS, name, ("UnassignedPerFrameConvertedAttributesSequence", values))
    [volume] = read_volumes(enhanced(tmp_path, name, values, half_a_step_apart()))
    assert volume.shape == (3, 2, 2 * SLICES)


def test_attributes_of_detector_planes_may_repeat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "SliceSensitivityFactor"
    monkeypatch.setitem(SETTINGS, name, ("PETFrameCorrectionFactorsSequence", [1.0, 1.1]))
    [volume] = read_volumes(enhanced(tmp_path, name, [1.0, 1.1], half_a_step_apart()))
    assert volume.shape == (3, 2, 2 * SLICES)


@pytest.mark.parametrize("count", [2, 3])
def test_places_that_repeat_along_a_stack_are_those_of_several_volumes(
    tmp_path: Path, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "InStackPositionNumber"
    monkeypatch.setitem(SETTINGS, name, ("FrameContentSequence", []))
    cells = [(STEP * (k + t / count), k) for t, k in itertools.product(range(count), range(SLICES))]
    order = [int(index) for index in np.random.default_rng(0).permutation(len(cells))]
    paths = enhanced(tmp_path, name, [*range(1, SLICES + 1)], [cells[index] for index in order])
    for policy in POLICIES:
        assert "InStackPositionNumbers count" in str(refused(paths, "INTERLEAVED_VOLUMES", policy).findings)


@pytest.mark.parametrize("numbers", [[1] * 12, [1, 2, 3, 4, 5, 6] * 2, [*range(12)]], ids=["one", "two beds", "all"])
def test_places_that_count_along_a_stack_are_those_of_one_volume(
    tmp_path: Path, numbers: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "InStackPositionNumber"
    monkeypatch.setitem(SETTINGS, name, ("FrameContentSequence", []))
    cells = [(STEP * index, number) for index, number in enumerate(numbers)]
    [volume] = read_volumes(enhanced(tmp_path, name, [*range(13)], cells))
    assert volume.shape == (3, 2, 12)


def test_a_malformed_value_of_a_frame_counts_as_absent(tmp_path: Path) -> None:
    name = "NominalPercentageOfCardiacPhase"
    [path] = enhanced(tmp_path, name, [10.0, 10.0], half_a_step_apart())
    ds = dcmread(path)
    for group in ds.PerFrameFunctionalGroupsSequence:
        group.FrameContentSequence = [Dataset()]
        group.FrameContentSequence[0].add_new(0x00189220, "SH", "123456")  # FrameAcquisitionDuration
    ds.save_as(path)
    content = path.read_bytes()
    assert content.count(b"\x18\x00\x20\x92SH") == 2 * SLICES
    path.write_bytes(content.replace(b"\x18\x00\x20\x92SH", b"\x18\x00\x20\x92FD"))  # FD, which needs eight bytes
    [volume] = read_volumes([path])
    assert volume.shape == (3, 2, 2 * SLICES)


def test_values_take_turns_from_three_turns_on() -> None:
    assert take_turns([1, 2, 3] * 3)
    assert take_turns([1, 2, 1, 2, 1, 2, 1])
    assert not take_turns([1, 2, 3] * 2)
    assert not take_turns([1, 2, 2, 1, 1, 2])
    assert not take_turns([1] * 9)


@pytest.mark.parametrize(
    "values", ["ab" * 3, "abc" * 3 + "a", "abab" + "ba", "abcab", "aaaaaa", "abcdef", "aabaab", "abcdabcdabcd"]
)
def test_values_that_are_followed_one_by_one_take_turns_as_all_of_them_do(values: str) -> None:
    turns = TurnsAlongStack(len(values) // FEWEST_TURNS)
    assert (all(map(turns.goes_on, values)) and turns.are_taken) == take_turns(values)


def test_the_search_for_turns_looks_at_each_value_a_few_times() -> None:
    looks = 0

    class Value:
        def __hash__(self) -> int:
            nonlocal looks
            looks += 1
            return id(self)

        def __eq__(self, other: object) -> bool:
            nonlocal looks
            looks += 1
            return self is other

    pair = (Value(), Value())
    for values in ([Value() for _ in range(300)], [*pair] * 150):
        turns = TurnsAlongStack(100)
        for value in values:
            if not turns.goes_on(value):
                break
    assert looks < 5 * 600


@pytest.mark.parametrize(
    ("setting", "values"),
    [
        ("ContrastBolusStartTime", ["120000", "120100"]),
        ("DiffusionGradientOrientation", [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]),
        ("ExposureTime", ["500", "600"]),
        ("PhaseNumber", [1, 2]),
        ("RevolutionTime", [0.5, 1.0]),
    ],
)
def test_files_of_two_settings_half_a_step_apart_are_two_volumes(
    tmp_path: Path, setting: str, values: list[Any]
) -> None:
    paths = single_frame(Recipe(columns=3, rows=2, slices=SLICES, volumes=2, step=STEP), tmp_path)
    volume_of = {}
    for path in paths:
        ds = dcmread(path)
        t, k = divmod(ds.InstanceNumber - 1, SLICES)
        del ds.TemporalPositionIdentifier
        ds.InstanceNumber, ds.ImagePositionPatient = 2 * k + t + 1, [0, 0, STEP * k + STEP / 2 * t]
        setattr(ds, setting, values[t])
        ds.save_as(path)
        volume_of[str(ds.SOPInstanceUID)] = t
    refused(paths, "MOVED_VOLUMES")
    volumes = read_volumes(paths, "split")
    assert [{volume_of[one.sop_instance_uid] for one in volume.sources[0]} for volume in volumes] == [{0}, {1}]
