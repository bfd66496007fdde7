"""Finds out whether volumes at one place are different kinds of image, if no time separates them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dcm_processor_service.imaging.frames.frame import marks
from dcm_processor_service.imaging.headers.series_labels import SHOWING
from dcm_processor_service.imaging.series.order.frame_settings import settings_by_frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dcm_processor_service.imaging.frames.frame import FrameInfo

__all__ = ["showing_of_volumes"]

# marks that do not say when an image was acquired, but only when it was computed or written
_NO_TIMES = frozenset({"InstanceNumber", "ContentTime"})
# an attribute with more values than this numbers the volumes, and does not describe kinds of image
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
    """Returns an attribute that says what an image shows, if it differs between volumes, with its value for each frame.

    The result is None if there is no such attribute.

    Args:
        frames: Frames of volumes at one place.
        volumes: For each frame the number of its volume.
        told_apart_by: The attribute that separates the volumes; if it says when a volume was acquired, the result is
            None.
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
    """Returns whether each volume has only one value, and there are a few different values."""
    pairs = set(zip(values, volumes, strict=True))
    return 1 < len(set(values)) <= _MOST_KINDS and len(pairs) == len(set(volumes))
