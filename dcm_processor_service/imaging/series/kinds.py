"""Finds attributes by which volumes of one place are different kinds of image, where no time tells them apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dcm_processor_service.imaging.frames.frame import marks
from dcm_processor_service.imaging.headers.series_labels import SHOWING
from dcm_processor_service.imaging.series.order.frame_settings import settings_by_frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dcm_processor_service.imaging.frames.frame import FrameInfo

__all__ = ["showing_of_volumes"]

# when an image was computed or written says nothing about when it was taken
_NO_TIMES = frozenset({"InstanceNumber", "ContentTime"})
# labels with more values than these number the volumes
_MOST_KINDS = 8
_OF_FRAMES = (
    "ContrastBolusAgentAdministered",
    "ContrastBolusAgentDetected",
    "FrameComments",
    "KVP",
    "ReconstructionAlgorithm",
)


def showing_of_volumes(
    frames: Sequence[FrameInfo], volumes: Sequence[int], told_apart_by: str
) -> tuple[str, list[Any]] | None:
    """Returns an attribute that says what volumes show, with its value for each frame, if it differs between volumes.

    Args:
        frames: Frames of volumes at one place.
        volumes: For each frame the number of its volume.
        told_apart_by: The attribute that tells the volumes apart; if it is a time, the result is None.
    """
    if told_apart_by not in _NO_TIMES:
        return None
    if any(len(frame.places) > 1 for frame in frames):
        settings = settings_by_frame(frames)
        found = {name: [one.get(name) for one in settings] for name in _OF_FRAMES}
    else:
        found = {name: marks(frames, name) for name in SHOWING}
    return next(((name, values) for name, values in found.items() if _are_of_kinds(values, volumes)), None)


def _are_of_kinds(values: Sequence[Any], volumes: Sequence[int]) -> bool:
    """Returns whether each volume has one value, and volumes have a few different ones."""
    pairs = set(zip(values, volumes, strict=True))
    return 1 < len(set(values)) <= _MOST_KINDS and len(pairs) == len(set(volumes))
