"""Converts regions to spatial coordinates of a report (PS3.16, TID 1410, 1411 and 300; PS3.3, section C.18.6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dcm_processor_service.derived.nearest_slice import nearest_slice
from dcm_processor_service.derived.objects.reports.region import Region
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.imaging.geometry import slice_normal
from dcm_processor_service.imaging.headers.values import integer, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from pydicom import Dataset

    from dcm_processor_service.derived.source import SourceSeries

__all__ = ["Located", "locate"]

_GRAPHIC_TYPES = {
    "point": "POINT", "points": "MULTIPOINT", "line": "POLYLINE", "circle": "CIRCLE", "ellipse": "ELLIPSE",
    "ellipsoid": "ELLIPSOID",
}  # fmt: skip
_SOLID = ("ellipsoid", "box")
_ALONG_AXIS = 1e-4
_COPLANAR_MM = 0.01


@dataclass(frozen=True)
class Located:
    """The regions of a finding as objects of highdicom; at most one of the fields is filled."""

    along: Sequence[Any] = ()
    """The lines or points along which every measurement was taken."""

    planar: Any = None
    """The region in one plane, for TID 1410."""

    volumetric: dict[str, Any] | None = None
    """The arguments for a region in space, for TID 1411."""


def locate(highdicom: Any, name: str, given: Region | Sequence[Region], series: SourceSeries) -> Located:
    """Converts the regions of a finding to content items.

    Args:
        highdicom: The module highdicom.
        name: Name of the finding, for messages.
        given: One region, or several that belong to one finding.
        series: The images that were measured.

    Raises:
        DerivedObjectError: A region is not in the images, or the regions cannot belong to one finding.
    """
    regions = [given] if isinstance(given, Region) else list(given)
    label = f"the regions of {name!r}"
    if not regions or not all(isinstance(each, Region) for each in regions):
        raise DerivedObjectError(f"{label} are not regions: give a Region or several")
    if len({bool(each.image) for each in regions}) > 1 or len({each.is_open for each in regions}) > 1:
        raise DerivedObjectError(
            f"{label} are of several sorts: give all in mm or all in pixels, and lines and closed regions as findings "
            "of their own"
        )
    items = [_in_image(highdicom, label, each, series) for each in regions if each.image]
    if regions[0].image:
        if regions[0].is_open:
            return Located(along=[highdicom.sr.CoordinatesForMeasurement(**item) for item in items])
        found = [highdicom.sr.ImageRegion(**item) for item in items]
        return Located(planar=found[0]) if len(found) == 1 else Located(volumetric={"referenced_regions": found})
    return _in_patient(highdicom, label, regions, series)


def _in_image(highdicom: Any, label: str, region: Region, series: SourceSeries) -> dict[str, Any]:
    """Returns the arguments of highdicom's coordinates in an image.

    Raises:
        DerivedObjectError: The source has no such image or frame, or a point is outside of it.
    """
    every = (*series.headers, *series.further)
    header = next((each for each in every if text(each, "SOPInstanceUID") == region.image), None)
    if header is None:
        raise DerivedObjectError(f"{label} are in an image that the source does not have: give its SOPInstanceUID")
    _require_frame(label, region, header)
    size = np.array([integer(header, "Columns") or 0, integer(header, "Rows") or 0])
    points = np.array(region.points) + 0.5  # GraphicData counts from the corner of the first pixel
    if (points < 0).any() or (points > size).any():
        raise DerivedObjectError(f"{label} leave the image: give column and row of its pixels, from 0")
    frames = [region.frame] if "NumberOfFrames" in header else None
    source = highdicom.sr.SourceImageForRegion(text(header, "SOPClassUID"), region.image, frames)
    kind = _GRAPHIC_TYPES.get(region.kind, "POLYLINE")
    if region.kind == "box":
        (left, top), (right, bottom) = points.tolist()
        points = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    if region.kind in {"box", "outline"}:
        points = _closed(points)
    return {"graphic_type": kind, "graphic_data": points, "source_image": source}


def _require_frame(label: str, region: Region, header: Dataset) -> None:
    frames = integer(header, "NumberOfFrames") or 1
    if region.frame > frames:
        raise DerivedObjectError(f"{label} are in frame {region.frame}, and the image has {frames}: count from 1")


def _in_patient(highdicom: Any, label: str, regions: Sequence[Region], series: SourceSeries) -> Located:
    frame_of_reference = _frame_of_reference(label, regions, series)
    first = regions[0]
    if first.is_open:
        return Located(
            along=[
                highdicom.sr.CoordinatesForMeasurement3D(
                    _GRAPHIC_TYPES[each.kind], np.array(each.points), frame_of_reference
                )
                for each in regions
            ]
        )
    kinds = {_GRAPHIC_TYPES.get(each.kind, "POLYGON") for each in regions}
    if len(kinds) > 1 or (len(regions) > 1 and first.kind in {*_SOLID, "point"}):
        raise DerivedObjectError(
            f"{label} are not one region: a finding is at one point, in one box or ellipsoid, or within outlines or "
            "ellipses of its slices; give the others as findings of their own"
        )
    shapes = [shape for each in regions for shape in _shapes(label, each, series)]
    kind = kinds.pop()
    if len(shapes) == 1 and kind != "ELLIPSOID":
        return Located(planar=highdicom.sr.ImageRegion3D(kind, shapes[0], frame_of_reference))
    source = highdicom.sr.SourceSeriesForSegmentation(text(series.first, "SeriesInstanceUID"))
    surface = highdicom.sr.VolumeSurface(kind, shapes, frame_of_reference, source_series=source)
    return Located(volumetric={"referenced_volume_surface": surface})


def _frame_of_reference(label: str, regions: Sequence[Region], series: SourceSeries) -> str:
    """Returns the frame of reference of the slice that is nearest to the middle of the regions.

    Raises:
        DerivedObjectError: The middle lies outside of all slices, that slice has no frame of reference, or the regions
            name another one.
    """
    middle = np.concatenate([np.array(each.points) for each in regions])
    frame = nearest_slice(((middle.min(axis=0) + middle.max(axis=0)) / 2).tolist(), series)
    if frame is None:
        raise DerivedObjectError(
            f"{label} lie outside of all slices of the source: check that they are in LPS mm, or name the image whose "
            "pixels are meant"
        )
    found = text(frame.instance.header, "FrameOfReferenceUID")
    others = {each.frame_of_reference_uid for each in regions} - {"", found}
    if not found or others:
        raise DerivedObjectError(
            f"{label} are in mm, and the source is in "
            + ("another frame of reference: register them" if found else "no frame of reference: give pixels of images")
        )
    return found


def _shapes(label: str, region: Region, series: SourceSeries) -> list[NDArray[np.float64]]:
    """Returns the coordinates of a closed region: one array, or several that are the contours of a box."""
    points = np.array(region.points)
    if region.kind == "outline":
        _require_plane(label, points)
        return [_closed(points)]
    if region.kind == "box":
        return _contours_of_box(points[0], points[1], series)
    return [points]


def _contours_of_box(
    low: NDArray[np.float64], high: NDArray[np.float64], series: SourceSeries
) -> list[NDArray[np.float64]]:
    """Returns the rectangle of a flat box, or several rectangles across a solid one.

    The rectangles of a solid box lie at its two ends and, if the slices are perpendicular to an axis, on each slice
    between the ends.
    """
    normal = slice_normal(series.stacks[0].first.orientation or ())
    flat = np.flatnonzero(low == high)
    axis = int(flat[0]) if len(flat) else int(np.abs(normal).argmax())
    heights = {float(low[axis]), float(high[axis])}
    if not len(flat) and abs(normal[axis]) > 1 - _ALONG_AXIS:
        slices = {float(origin[axis]) for stack in series.stacks for origin in stack.origins}
        heights |= {height for height in slices if low[axis] < height < high[axis]}
    one, other = (each for each in range(3) if each != axis)
    found = []
    for height in sorted(heights):
        corners = np.full((4, 3), height)
        corners[:, one] = low[one], high[one], high[one], low[one]
        corners[:, other] = low[other], low[other], high[other], high[other]
        found.append(_closed(corners))
    return found


def _require_plane(label: str, points: NDArray[np.float64]) -> None:
    """Refuses a POLYGON whose points do not share a plane (PS3.3, section C.18.9.1.2)."""
    centred = points - points.mean(axis=0)
    normal = np.linalg.svd(centred)[2][-1]
    if np.abs(centred @ normal).max() > _COPLANAR_MM:
        raise DerivedObjectError(f"{label} have an outline whose points share no plane: give an outline for each slice")


def _closed(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([points, points[:1]])
