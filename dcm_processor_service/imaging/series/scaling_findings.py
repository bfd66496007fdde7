"""Makes findings about slices of one volume whose stored values become real values in different ways."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydicom.uid import ParametricMapStorage

from dcm_processor_service.imaging.frames.rescale_from_header import is_mapped, real_world_mapping
from dcm_processor_service.imaging.frames.vendor import philips_rescale
from dcm_processor_service.imaging.headers.values import in_groups, number, text
from dcm_processor_service.models import SeriesFinding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dcm_processor_service.imaging.frames.frame import FrameInfo
    from dcm_processor_service.imaging.series.stack import Stack

__all__ = ["scaling_findings"]

_MOST_UIDS = 20
_RESCALE = "slope or intercept that the others have"
_PRECISE = "precise scale of Philips that the others have, so the values cannot be compared"


def scaling_findings(stack: Stack) -> list[SeriesFinding]:
    """Returns MISSING_RESCALE if some slices lack the rescale that others have, MIXED_RESCALE if rescales differ."""
    frames = [frame for line in stack.grid for frame in line]
    rescales = {frame.scaling for frame in frames}
    if len(rescales) == 1:
        return []
    counts = [len(_stated_scaling(frame)) for frame in frames]
    most = max(counts)
    precise = [philips_rescale(frame) is not None for frame in frames]
    for what, lacking in (
        (_RESCALE, [frame for frame, count in zip(frames, counts, strict=True) if count < most]),
        (_PRECISE, [frame for frame, is_precise in zip(frames, precise, strict=True) if not is_precise]),
    ):
        if 0 < len(lacking) < len(frames):
            return [_missing(what, lacking, len(frames))]
    message = f"slices have {len(rescales)} different rescales: each is applied to its own slice"
    return [SeriesFinding(code="MIXED_RESCALE", message=message, blocking=False, count=len(rescales))]


def _missing(what: str, lacking: Sequence[FrameInfo], count: int) -> SeriesFinding:
    uids = tuple(dict.fromkeys(frame.instance.sop_instance_uid for frame in lacking))[:_MOST_UIDS]
    message = f"{len(lacking)} of {count} slices without the {what}: get them again"
    return SeriesFinding(code="MISSING_RESCALE", message=message, sop_instance_uids=uids, count=len(lacking))


def _stated_scaling(frame: FrameInfo) -> list[str]:
    """Lists which of RescaleSlope and RescaleIntercept the header states; a table or a mapping counts as both."""
    keywords, places = ("RescaleSlope", "RescaleIntercept"), frame.places
    if text(places[-1], "SOPClassUID") == ParametricMapStorage:
        return [*keywords] if is_mapped(places) else []
    stated = [key for key in keywords if in_groups(places, "PixelValueTransformationSequence", number, key) is not None]
    if frame.lut is not None or (not stated and real_world_mapping(places) is not None):
        return [*keywords]
    return stated
