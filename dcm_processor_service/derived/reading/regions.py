"""Reads spatial coordinates of a measurement group as regions (PS3.3, sections C.18.6 and C.18.9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcm_processor_service.derived.objects.reports.region import Region
from dcm_processor_service.derived.reading.content import children, concept, value_type
from dcm_processor_service.errors import DerivedObjectError, InvalidSeriesError
from dcm_processor_service.imaging.headers.values import integer, item, numbers, text
from dcm_processor_service.models.counts import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydicom import Dataset

    from dcm_processor_service.derived.objects.reports.region import Corners, RegionKind

__all__ = ["regions_in"]

_KINDS: dict[str, RegionKind] = {
    "POINT": "point", "MULTIPOINT": "points", "POLYLINE": "line", "POLYGON": "outline", "CIRCLE": "circle",
    "ELLIPSE": "ellipse", "ELLIPSOID": "ellipsoid",
}  # fmt: skip
_COORDINATES = {"SCOORD": 2, "SCOORD3D": 3}
_SURFACE = ("121231", "DCM")
_CLOSED_TRIANGLE = 4


def regions_in(group: Dataset, root: Dataset) -> Region | tuple[Region, ...] | None:
    """Returns the regions of a finding: the regions of its group, and the lines along which measurements were taken.

    Args:
        group: The container of one finding.
        root: The whole report; coordinates may refer to an image by its place in this tree.

    Raises:
        InvalidSeriesError: Coordinates are damaged, or do not name their image.
    """
    surface: list[Region] = []
    found: list[Region] = []
    for each in children(group):
        inside = [each, *(children(each) if value_type(each) == "NUM" else ())]
        for one in inside:
            if value_type(one) in _COORDINATES:
                (surface if concept(one) == _SURFACE else found).append(_region(one, root))
    found = list(dict.fromkeys([*found, *_solid(surface)]))
    return tuple(found) if len(found) > 1 else next(iter(found), None)


def _region(coordinates: Dataset, root: Dataset) -> Region:
    axes = _COORDINATES[value_type(coordinates)]
    graphic = text(coordinates, "GraphicType").upper()
    values = numbers(coordinates, "GraphicData") or ()
    if graphic not in _KINDS or not values or len(values) % axes:
        raise InvalidSeriesError(
            f"a region of the report has {counted(len(values), 'number')} for a {graphic or 'nothing'}"
        )
    image, frame = ("", 1) if axes > 2 else _image(coordinates, root)  # noqa: PLR2004 the axes of an image
    shift = 0.5 if image else 0.0
    points = tuple(tuple(part - shift for part in values[at : at + axes]) for at in range(0, len(values), axes))
    kind, points = _shape(_KINDS[graphic], points)
    try:
        return Region(kind, points, image, frame, text(coordinates, "ReferencedFrameOfReferenceUID"))
    except DerivedObjectError as error:
        raise InvalidSeriesError(f"a region of the report is damaged: {error}") from error


def _image(coordinates: Dataset, root: Dataset) -> tuple[str, int]:
    """Returns the image that coordinates were selected from, and its frame."""
    for each in children(coordinates):
        path = each.get("ReferencedContentItemIdentifier")
        found = each if path is None else _at(root, [int(step) for step in ([path] if isinstance(path, int) else path)])
        reference = None if found is None else item(found, "ReferencedSOPSequence")
        if reference is not None:
            return text(reference, "ReferencedSOPInstanceUID"), integer(reference, "ReferencedFrameNumber") or 1
    raise InvalidSeriesError("a region of the report does not say in which image it is: get the report again")


def _at(root: Dataset, path: Sequence[int]) -> Dataset | None:
    """Returns the item at a place in the tree, counted from 1, where the root itself is the first step."""
    found = root
    for step in path[1:]:
        below = children(found)
        if not 1 <= step <= len(below):
            return None
        found = below[step - 1]
    return found


def _shape(kind: RegionKind, points: Corners) -> tuple[RegionKind, Corners]:
    """Finds out whether points are a line, an outline or a box, and removes the point that closes an outline."""
    is_closed = len(points) >= _CLOSED_TRIANGLE and points[0] == points[-1]
    if kind == "outline" or (kind == "line" and is_closed):
        points = points[:-1] if is_closed else points
        corners = _corners(points)
        return ("outline", points) if corners is None else ("box", corners)
    return kind, points


def _corners(points: Corners) -> Corners | None:
    """Returns the low and the high corner of a rectangle along the axes; None for any other outline."""
    if len(points) != 4 or len(set(points)) != 4:  # noqa: PLR2004 corners
        return None
    low, high = (tuple(pick(parts) for parts in zip(*points, strict=True)) for pick in (min, max))
    sides = [*zip(points, (*points[1:], points[0]), strict=True)]
    is_along = all(sum(a != b for a, b in zip(one, other, strict=True)) == 1 for one, other in sides)
    return (low, high) if is_along else None


def _solid(surface: Sequence[Region]) -> list[Region]:
    """Returns one box if all surfaces are rectangles and together the contours of a box, or else the surfaces."""
    if len(surface) > 1 and all(each.kind == "box" for each in surface):
        lows, highs = ([*zip(*(each.points[at] for each in surface), strict=True)] for at in (0, 1))
        varying = [axis for axis in range(3) if len(set(lows[axis])) > 1 or len(set(highs[axis])) > 1]
        if len(varying) == 1 and lows[varying[0]] == highs[varying[0]]:
            corners = tuple(map(min, lows)), tuple(map(max, highs))
            return [Region("box", corners, frame_of_reference_uid=surface[0].frame_of_reference_uid)]
    return list(surface)
