"""Masks that do not overlap become one label map: the memory that a SEG takes does not grow with their number."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from dcm_processor_service.derived.fingerprint import fingerprint
from dcm_processor_service.derived.make import make_segmentation
from dcm_processor_service.models.derived import Producer, Recipe, SegmentationOptions
from tests.unit.imaging.synthetic import Recipe as Synthetic
from tests.unit.imaging.synthetic import single_frame

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("highdicom", reason="the extra highdicom is not installed")
NAMES = ("liver", "spleen", "pancreas", "left kidney", "right kidney", "stomach", "aorta", "gallbladder")
SYNTHETIC = Synthetic(columns=128, rows=128, slices=8)
HOW = Recipe(Producer("segmenter", "1"), role="organs")


def labels(count: int) -> Any:
    array = np.zeros((SYNTHETIC.columns, SYNTHETIC.rows, SYNTHETIC.slices), np.uint8)
    for number in range(count):
        array[number * 15 : number * 15 + 10, 10:60, 1:7] = number + 1
    return array


def made(what: Any, paths: list[Path], names: Any = None) -> tuple[Any, int]:
    """Returns the object, and how many bytes it took to make at most."""
    tracemalloc.start()
    dataset = make_segmentation(what, paths, HOW, SegmentationOptions(), names)
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return dataset, peak


def test_masks_take_little_more_than_their_label_map_and_make_the_same_object(tmp_path: Path) -> None:
    paths = single_frame(SYNTHETIC, tmp_path)
    array = labels(len(NAMES))
    masks = {name: array == number for number, name in enumerate(NAMES, start=1)}
    make_segmentation(array, paths, HOW, SegmentationOptions(), dict(enumerate(NAMES, start=1)))  # loads libraries
    of_map, map_bytes = made(array, paths, dict(enumerate(NAMES, start=1)))
    of_masks, masks_bytes = made(masks, paths)
    assert fingerprint(of_masks) == fingerprint(of_map)
    assert masks_bytes <= map_bytes + 4 * array.nbytes  # nothing of it eight times


def test_masks_that_overlap_stay_what_they_are(tmp_path: Path) -> None:
    paths = single_frame(SYNTHETIC, tmp_path)
    first, second = labels(2) > 0, labels(2) == 2
    dataset, _bytes = made({"liver": first, "spleen": second}, paths)
    assert dataset.SegmentsOverlap == "YES"
    groups = dataset.PerFrameFunctionalGroupsSequence
    numbers = [int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber) for group in groups]
    assert (numbers.count(1), numbers.count(2)) == (6, 6)
    counts = [int(np.count_nonzero(frame)) for frame in dataset.pixel_array]
    assert sum(count for count, number in zip(counts, numbers, strict=True) if number == 1) == int(first.sum())
