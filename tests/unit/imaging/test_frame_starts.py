"""When frames of a dynamic series begin, computed from FrameReferenceTime or RepetitionTime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydicom import dcmread

from dcm_processor_service.imaging.volumes.read import read_volume
from tests.unit.imaging.synthetic import Recipe, single_frame

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from dcm_processor_service.imaging.volumes.volume import Volume

GROWING = [10_000, 30_000, 120_000, 300_000]
STARTS = [0, 10, 40, 160]
MIDDLES = [5_000, 25_000, 100_000, 310_000]


def dynamic(folder: Path, modality: str, marks: dict[str, Sequence[Any] | None]) -> Volume:
    """Makes a 4D series of four volumes, each with its own marks."""
    paths = single_frame(Recipe(slices=3, volumes=4, modality=modality), folder)
    for path in paths:
        ds = dcmread(path)
        t = int(ds.TemporalPositionIdentifier) - 1
        for keyword, values in marks.items():
            if values is not None:
                setattr(ds, keyword, values[t])
        ds.save_as(path)
    return read_volume(paths)


def clock(seconds: Sequence[int]) -> list[str]:
    return [f"10{value // 60:02}{value % 60:02}" for value in seconds]


@pytest.mark.parametrize(
    ("references", "durations", "taken", "starts"),
    [
        (MIDDLES, GROWING, clock(STARTS), STARTS),
        (MIDDLES, GROWING, clock([0, 0, 0, 0]), STARTS),
        (MIDDLES, GROWING, None, STARTS),
        ([0, 10_000, 40_000, 160_000], GROWING, None, STARTS),
        ([0, 10_000, 40_000, 160_000], GROWING, clock(STARTS), STARTS),
        (MIDDLES, None, clock(STARTS), STARTS),
        (MIDDLES, None, None, [0, 20, 95, 305]),
        ([30_000, 90_000, 150_000, 210_000], [60_000] * 4, None, [0, 60, 120, 180]),
        # pauses of a minute, so that neither the start nor the middle of frames is certain
        ([5_000, 85_000, 220_000, 490_000], GROWING, None, []),
        # frames overlap, whatever the reference time means
        ([5_000, 6_000, 7_000, 8_000], GROWING, None, []),
        (MIDDLES, [0, 30_000, 120_000, 300_000], None, []),
    ],
    ids=[
        "middle and start",
        "middle and one clock",
        "middle",
        "start",
        "start twice",
        "no durations",
        "alone",
        "equal",
        "pauses",
        "overlap",
        "no time",
    ],
)
def test_frames_begin_where_their_durations_and_reference_times_agree(
    tmp_path: Path,
    references: list[int],
    durations: list[int] | None,
    taken: list[str] | None,
    starts: list[int],
) -> None:
    marks: dict[str, Sequence[Any] | None] = {
        "FrameReferenceTime": references,
        "ActualFrameDuration": durations,
        "AcquisitionTime": taken,
    }
    assert list(dynamic(tmp_path, "PT", marks).frame_times_s) == pytest.approx(starts)


@pytest.mark.parametrize(
    ("marks", "step_s"),
    [
        ({}, 2.0),
        ({"TriggerTime": [0, 2001, 4000, 6001]}, 2.0),
        ({"TriggerTime": [0, 4000, 8000, 12000]}, None),
        ({"TriggerTime": [0, 1900, 5000, 6000]}, None),
        ({"TriggerTime": [500, 500, 500, 500]}, 2.0),
        ({"MRAcquisitionType": ["2D"] * 4}, 2.0),
        ({"MRAcquisitionType": ["3D"] * 4}, None),
        ({"SegmentedKSpaceTraversal": ["SINGLE"] * 4}, 2.0),
        ({"SegmentedKSpaceTraversal": ["FULL"] * 4}, 2.0),
        ({"SegmentedKSpaceTraversal": ["PARTIAL"] * 4}, None),
    ],
    ids=[
        "alone",
        "triggered",
        "delayed",
        "irregular",
        "one trigger",
        "2D",
        "3D",
        "single",
        "one shot",
        "several shots",
    ],
)
def test_a_repetition_is_the_time_of_a_volume_only_if_nothing_says_otherwise(
    tmp_path: Path, marks: dict[str, Sequence[Any] | None], step_s: float | None
) -> None:
    marks = {"ScanningSequence": ["EP"] * 4, "RepetitionTime": ["2000"] * 4, **marks}
    assert dynamic(tmp_path, "MR", marks).volume_step_s == step_s
