"""Slices of two volumes are never put into one, whatever numbers, shifts and marks a 4D series has."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from pydicom import dcmread

from dcm_processor_service.errors import InvalidSeriesError
from dcm_processor_service.imaging.volumes.read import read_volumes
from tests.desk import examples
from tests.unit.imaging.refusals import refused
from tests.unit.imaging.synthetic import Recipe, single_frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydicom import Dataset

    from dcm_processor_service.models.images.nifti import Policy

POLICIES: tuple[Policy, ...] = ("strict", "split", "largest", "resample")
STEP = 3.0
NUMBERINGS = ("volume by volume", "slice by slice", "random", "each volume anew", "none")
MARKS: dict[str, Callable[[Dataset, int, int], None]] = {
    "TemporalPositionIdentifier": lambda ds, t, _: setattr(ds, "TemporalPositionIdentifier", t + 1),
    "TemporalPositionIndex": lambda ds, t, _: setattr(ds, "TemporalPositionIndex", t + 1),
    "AcquisitionNumber": lambda ds, t, _: setattr(ds, "AcquisitionNumber", t + 1),
    "AcquisitionTime": lambda ds, t, _: setattr(ds, "AcquisitionTime", f"1200{10 * t:02}"),
    "AcquisitionTime of slices": lambda ds, t, k: setattr(ds, "AcquisitionTime", f"12{t:02}{2 * k:02}"),
    "ContentTime": lambda ds, t, _: setattr(ds, "ContentTime", f"1200{10 * t:02}"),
    "TriggerTime": lambda ds, t, _: setattr(ds, "TriggerTime", f"{40.5 * t}"),
    "FrameReferenceTime": lambda ds, t, _: setattr(ds, "FrameReferenceTime", f"{60000 * t}"),
    "DiffusionBValue": lambda ds, t, _: setattr(ds, "DiffusionBValue", 500.0 * t),
    "RepetitionTime": lambda ds, t, _: setattr(ds, "RepetitionTime", f"{2000 + 100 * t}"),
    "EchoTime": lambda ds, t, _: setattr(ds, "EchoTime", f"{5 + 2.5 * t}"),
    "FlipAngle": lambda ds, t, _: setattr(ds, "FlipAngle", f"{5 + 5 * t}"),
    "StackID": lambda ds, t, _: setattr(ds, "StackID", str(t + 1)),
    "ImageType": lambda ds, t, _: setattr(ds, "ImageType", ["ORIGINAL", "PRIMARY", f"T{t}"]),
    "Units": lambda ds, t, _: setattr(ds, "Units", ["BQML", "CNTS", "GML", "CM2ML"][t]),
    "FrameOfReferenceUID": lambda ds, t, _: setattr(ds, "FrameOfReferenceUID", f"1.2.3.{t + 1}"),
}
NAMED = {"ImageType", "Units", "FrameOfReferenceUID"}
IN_TIME = {"TemporalPositionIdentifier", "AcquisitionTime", "AcquisitionTime of slices", "FrameReferenceTime"}


@dataclass(frozen=True)
class Scan:
    """A 4D series, and how it is numbered, shifted and marked."""

    volumes: int
    slices: int
    numbering: str
    shifts: tuple[float, ...]
    marks: tuple[str, ...]
    noise: tuple[str, ...]
    seed: int
    lost: int
    modality: str

    def write(self, folder: Path) -> dict[str, int]:
        """Writes the files and returns the volume of each by its SOPInstanceUID."""
        random = np.random.default_rng(self.seed)
        recipe = Recipe(
            columns=3,
            rows=2,
            volumes=self.volumes,
            slices=self.slices,
            step=STEP,
            modality=self.modality,
            seed=self.seed,
        )
        paths = sorted(single_frame(recipe, folder), key=lambda path: int(dcmread(path).InstanceNumber))
        numbers = random.permutation(len(paths)) + 1
        noise = [int(value) for value in random.integers(1, 4, len(paths))]
        table = np.array(noise).reshape(self.volumes, self.slices)
        # values that happen to count whole volumes would not be noise
        if self.noise:
            assume(any(len(set(column)) < self.volumes for column in table.T.tolist()))
        found = {}
        for index, path in enumerate(paths):
            ds = dcmread(path)
            t, k = divmod(index, self.slices)
            del ds.TemporalPositionIdentifier
            ds.InstanceNumber = {
                "volume by volume": index + 1,
                "slice by slice": k * self.volumes + t + 1,
                "random": int(numbers[index]),
                "each volume anew": k + 1,
                "none": 1,
            }[self.numbering]
            x, y, z = map(float, ds.ImagePositionPatient)
            ds.ImagePositionPatient = [x, y, round(z + self.shifts[t], 4)]
            for name in self.marks:
                MARKS[name](ds, t, k)
            for name in self.noise:
                setattr(ds, name, noise[index])
            ds.save_as(path)
            found[str(ds.SOPInstanceUID)] = t
        for path in random.permutation([str(path) for path in paths])[: self.lost]:
            Path(path).unlink()
        return found


@st.composite
def scans(draw: st.DrawFn) -> Scan:
    volumes = draw(st.integers(2, 4))
    shift = draw(st.sampled_from([0.0, 0.0, STEP, STEP / 2, STEP / volumes, 0.4, 0.1, 1.0, 2 * STEP, 4.1, -0.7]))
    moves = draw(st.sampled_from(["steadily", "once", "randomly"]))
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    shifts = {
        "steadily": [t * shift for t in range(volumes)],
        "once": [0.0] * (volumes - 1) + [shift],
        "randomly": [float(value) for value in random.uniform(-2, 2, volumes) * shift],
    }[moves]
    return Scan(
        volumes=volumes,
        slices=draw(st.integers(4, 7)),
        numbering=draw(st.sampled_from(NUMBERINGS)),
        shifts=tuple(shifts),
        marks=tuple(draw(st.sets(st.sampled_from(sorted(MARKS)), max_size=2))),
        noise=tuple(draw(st.sets(st.sampled_from(["AcquisitionNumber", "TemporalPositionIdentifier"]), max_size=1))),
        seed=draw(st.integers(0, 10_000)),
        lost=draw(st.sampled_from([0, 0, 0, 1, 2])),
        modality=draw(st.sampled_from(["MR", "CT"])),
    )


def is_told_apart(scan: Scan) -> bool:
    """Whether anything but positions says that there are several volumes.

    Without a mark, and with numbers that count along the stack or say nothing, evenly interleaved volumes are one
    volume for whoever sees the headers. So are two passes of an MR whose slices are numbered along the stack.
    """
    return bool(
        set(scan.marks)
        - set(scan.noise)
        - {"AcquisitionTime", "AcquisitionTime of slices", "ContentTime", "TriggerTime", "RepetitionTime"}
    )


def is_numbered_along(folder: Path) -> bool:
    """Whether what was not lost of volumes that move is numbered along the stack, as one volume with gaps would be."""
    headers = [dcmread(path, stop_before_pixels=True) for path in folder.iterdir()]
    heights = [float(ds.ImagePositionPatient[2]) for ds in sorted(headers, key=lambda ds: int(ds.InstanceNumber))]
    return len(set(heights)) == len(heights) and heights in (sorted(heights), sorted(heights)[::-1])


def volumes_of(scan: Scan, folder: Path, policy: Any) -> list[list[set[int | None]]]:
    """For each volume that a policy makes, and each time, the volumes of the scan that its slices come from."""
    labels = scan.write(folder) if not any(folder.iterdir()) else LABELS[folder]
    LABELS[folder] = labels
    try:
        found = read_volumes(sorted(folder.iterdir()), policy)
    except InvalidSeriesError:
        return []
    return [[{labels[source.sop_instance_uid] for source in line} for line in volume.sources] for volume in found]


LABELS: dict[Path, dict[str, int]] = {}


@settings(max_examples=examples(100), deadline=None, suppress_health_check=list(HealthCheck))
@given(scan=scans())
def test_no_policy_mixes_volumes(scan: Scan) -> None:
    is_undecidable = not is_told_apart(scan) and len(set(scan.shifts)) > 1 and scan.numbering != "volume by volume"
    assume(not is_undecidable)
    with tempfile.TemporaryDirectory() as name:
        LABELS[Path(name)] = scan.write(Path(name))
        assume(is_told_apart(scan) or not is_numbered_along(Path(name)))
        for policy in POLICIES:
            found = volumes_of(scan, Path(name), policy)
            event(f"{policy} {'converts' if found else 'refuses'}")
            assert all(len(origin) == 1 for volume in found for origin in volume), policy
            if IN_TIME & set(scan.marks) and not scan.noise:
                orders = [[str(label) for labels in volume for label in labels] for volume in found]
                assert orders == [sorted(order) for order in orders], policy


@pytest.mark.parametrize("policy", POLICIES)
def test_volumes_that_are_shifted_by_little_are_not_put_together_in_pairs(policy: Policy, tmp_path: Path) -> None:
    scan = Scan(
        volumes=4,
        slices=4,
        numbering="slice by slice",
        shifts=(0.03, 0.01, 0.15, 0.09),
        marks=("AcquisitionNumber",),
        noise=(),
        seed=0,
        lost=0,
        modality="MR",
    )
    scan.write(tmp_path)
    refused(sorted(tmp_path.iterdir()), "INTERLEAVED_VOLUMES", policy)


# if they interleave evenly and are not numbered volume by volume, headers do not show that there are several
EVEN_SHIFTS = (0.75, 1.5)
MOVING = [
    (numbering, shift)
    for numbering in NUMBERINGS
    for shift in (0.4, 0.75, 1.0, 1.5, STEP, 2 * STEP, 4.0)
    if numbering == "volume by volume" or shift not in EVEN_SHIFTS
]


@pytest.mark.parametrize(("numbering", "shift"), MOVING)
@pytest.mark.parametrize("mark", ["", "AcquisitionTime", "TriggerTime"])
def test_volumes_that_move_without_a_mark_are_not_mixed(
    tmp_path: Path, numbering: str, shift: float, mark: str
) -> None:
    shifts = tuple(t * shift for t in range(4))
    scan = Scan(4, 6, numbering, shifts, (mark,) if mark else (), (), 1, 0, "MR")
    for policy in POLICIES:
        assert all(len(origin) == 1 for volume in volumes_of(scan, tmp_path, policy) for origin in volume)


@pytest.mark.parametrize("parts", [2, 3])
@pytest.mark.parametrize(
    "mark",
    sorted(
        set(MARKS) - {"AcquisitionTime", "AcquisitionTime of slices", "ContentTime", "TriggerTime", "RepetitionTime"}
    ),
)
def test_volumes_a_part_of_a_step_apart_are_as_many_volumes(tmp_path: Path, parts: int, mark: str) -> None:
    shifts = tuple(t * STEP / parts for t in range(parts))
    scan = Scan(parts, 6, "slice by slice", shifts, (mark,), (), 1, 0, "MR")
    assert not volumes_of(scan, tmp_path, "strict")
    assert volumes_of(scan, tmp_path, "split") == [[{t}] for t in range(parts)]
    names = [volume.name for volume in read_volumes(sorted(tmp_path.iterdir()), "split")]
    assert [re.sub(r".*?(\d+)$", r"\1", name) for name in names] == [str(t + 1) for t in range(parts)] or mark in NAMED


def test_a_shift_of_one_step_is_reported_by_what_counts_volumes(tmp_path: Path) -> None:
    scan = Scan(3, 6, "random", (0.0, STEP, 2 * STEP), ("TemporalPositionIdentifier",), (), 1, 0, "MR")
    scan.write(tmp_path)
    [finding] = [one for one in refused(sorted(tmp_path.iterdir()), "MOVED_VOLUMES").findings if one.blocking]
    assert (finding.attribute, finding.count) == ("TemporalPositionIdentifier", 3)


@pytest.mark.parametrize("numbering", ["volume by volume", "slice by slice"])
def test_numbers_by_a_plan_give_the_fourth_axis(tmp_path: Path, numbering: str) -> None:
    scan = Scan(3, 5, numbering, (0.0,) * 3, (), (), 1, 0, "MR")
    assert volumes_of(scan, tmp_path, "strict") == [[{0}, {1}, {2}]]


@pytest.mark.parametrize("numbering", ["random", "each volume anew", "none"])
def test_numbers_without_a_plan_do_not_give_a_fourth_axis(tmp_path: Path, numbering: str) -> None:
    scan = Scan(3, 5, numbering, (0.0,) * 3, (), (), 1, 0, "MR")
    assert not [volume for policy in POLICIES for volume in volumes_of(scan, tmp_path, policy)]


@pytest.mark.parametrize(
    "mark", sorted(set(MARKS) - {"EchoTime", "FlipAngle", "StackID", "ImageType", "Units", "FrameOfReferenceUID"})
)
def test_volumes_stand_in_the_order_of_what_tells_them_apart(tmp_path: Path, mark: str) -> None:
    scan = Scan(4, 5, "random", (0.0,) * 4, (mark,), (), 1, 0, "MR")
    assert volumes_of(scan, tmp_path, "strict") == [[{0}, {1}, {2}, {3}]]


@pytest.mark.parametrize("counter", ["AcquisitionNumber", "DiffusionBValue", "TemporalPositionIdentifier"])
@pytest.mark.parametrize("clock", ["FrameReferenceTime", "AcquisitionTime"])
def test_times_go_before_counters(tmp_path: Path, counter: str, clock: str) -> None:
    scan = Scan(4, 5, "volume by volume", (0.0,) * 4, (counter, clock), (), 1, 0, "MR")
    scan.write(tmp_path)
    expected = None
    for path in sorted(tmp_path.iterdir()):
        ds = dcmread(path)
        setattr(
            ds, counter, 9 - float(getattr(ds, counter)) if counter != "DiffusionBValue" else 9000 - ds[counter].value
        )
        ds.save_as(path)
    [volume] = read_volumes(sorted(tmp_path.iterdir()))
    times = [dcmread(path) for path in tmp_path.iterdir()]
    by_uid = {str(ds.SOPInstanceUID): float(getattr(ds, clock)) for ds in times}
    expected = [by_uid[line[0].sop_instance_uid] for line in volume.sources]
    assert expected == sorted(expected)


@pytest.mark.parametrize("mark", ["AcquisitionTime", "ContentTime", "TriggerTime", "RepetitionTime"])
@pytest.mark.parametrize(("modality", "is_one"), [("CT", False), ("MR", True)])
def test_clocks_that_go_through_a_stack_twice_are_two_passes_of_an_mr_and_else_in_doubt(
    tmp_path: Path, mark: str, modality: str, *, is_one: bool
) -> None:
    scan = Scan(2, 6, "slice by slice", (0.0, STEP / 2), (mark,), (), 1, 0, modality)
    scan.write(tmp_path)
    paths = sorted(tmp_path.iterdir())
    if is_one:
        assert read_volumes(paths)[0].shape == (3, 2, 12)
        return
    [finding] = [one for one in refused(paths, "INTERLEAVED_VOLUMES").findings if one.blocking]
    assert f"values of {mark} go through" in finding.message


@pytest.mark.parametrize("volumes", [2, 3])
@pytest.mark.parametrize("lost", [0, 1])
def test_distances_that_repeat_along_a_stack_are_several_volumes(tmp_path: Path, volumes: int, lost: int) -> None:
    scan = Scan(volumes, 5, "none", tuple(0.8 * t for t in range(volumes)), (), (), 1, 0, "CT")
    scan.write(tmp_path)
    in_order = sorted(tmp_path.iterdir(), key=lambda path: float(dcmread(path).ImagePositionPatient[2]))
    for path in in_order[:lost]:
        path.unlink()
    for policy in POLICIES:
        with pytest.raises(InvalidSeriesError):
            read_volumes(sorted(tmp_path.iterdir()), policy)


@pytest.mark.parametrize("seed", [82, 204])
def test_random_numbers_of_few_frames_that_follow_a_plan_by_chance_are_refused(tmp_path: Path, seed: int) -> None:
    scan = Scan(
        volumes=2,
        slices=4,
        numbering="random",
        shifts=(0.0, 0.0),
        marks=(),
        noise=(),
        seed=seed,
        lost=0,
        modality="MR",
    )
    scan.write(tmp_path)
    for policy in POLICIES:
        refused(sorted(tmp_path.iterdir()), "DUPLICATE_POSITIONS", policy)
