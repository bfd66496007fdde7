"""The class :class:`Region`: a point, line, outline, box or ellipse in the patient or in an image."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from operator import index
from typing import TYPE_CHECKING, Literal, SupportsIndex, TypeAlias

from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.keywords import refuses_unknown_keywords

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Region", "RegionKind"]

RegionKind: TypeAlias = Literal["point", "points", "line", "outline", "box", "circle", "ellipse", "ellipsoid"]
"""The kind of a region; ``points`` are several points that belong together."""

Corners: TypeAlias = "tuple[tuple[float, ...], ...]"

_COUNTS: dict[str, tuple[int, float]] = {
    "point": (1, 1), "points": (1, math.inf), "line": (2, math.inf), "outline": (3, math.inf), "box": (2, 2),
    "circle": (2, 2), "ellipse": (4, 4), "ellipsoid": (6, 6),
}  # fmt: skip
_MOST_NUMBERS = 16383
"""The most numbers that one GraphicData (0070,0022) holds: its length in bytes has 16 bits (PS3.5, section 7.1.2)."""


@refuses_unknown_keywords
@dataclass(frozen=True)
class Region:
    """The place of a finding, in LPS mm, or in the pixels of one image.

    The points of a box are two opposite corners; its edges follow the axes of the patient or of the image. A circle,
    which only an image can have, is given by its centre and a point on it. An ellipse is given by the ends of its long
    and then of its short axis, an ellipsoid by the ends of its three axes. A line is open; an outline is closed, and
    its last point is joined to the first.

    DICOM stores coordinates as numbers of 32 bits, so that a region that was read may differ in the seventh digit. An
    outline that is a rectangle along the axes is read as a box.

    Raises:
        DerivedObjectError: A region of this kind has another number of points, or a coordinate is not a finite number.

    Example:
        >>> nodule = Region("box", ((10, -20, 55), (18, -12, 61)))
        >>> nodule.points[1]
        (18.0, -12.0, 61.0)
        >>> Region("point", ((120, 88),), image="1.2.3.4").image
        '1.2.3.4'
    """

    kind: RegionKind
    points: Sequence[Sequence[float]]
    """(x, y, z) in LPS mm; with ``image``, (column, row) from 0, where whole numbers are the centres of pixels."""

    image: str = ""
    """SOPInstanceUID of the image in whose pixels the points are; empty if they are in mm."""

    frame: int = 1
    """Number of the frame, from 1, in an image of several frames."""

    frame_of_reference_uid: str = field(default="", compare=False, repr=False)
    """Frame of reference of points in mm; empty for the source's frame of reference."""

    def __post_init__(self) -> None:
        """Turns the points into tuples of floats.

        Raises:
            DerivedObjectError: As :class:`Region` raises it.
        """
        kind: object = self.kind
        frame: object = self.frame
        if not isinstance(kind, str) or kind not in _COUNTS:
            raise DerivedObjectError(f"no kind of region is called {self.kind!r}: say one of {', '.join(_COUNTS)}")
        if self.kind in ({"ellipsoid"} if self.image else {"circle"}):
            raise DerivedObjectError(
                "an ellipsoid is in the patient: give it in mm, without image"
                if self.image
                else "a circle is in an image: name the image, or give an ellipse"
            )
        if not isinstance(frame, SupportsIndex) or index(frame) < 1:
            raise DerivedObjectError("a frame is not a number: frames are counted from 1, in whole numbers")
        points = self._numbers()
        if self.kind == "outline" and len(points) > 1 and points[0] == points[-1]:
            points = points[:-1]
        self._require_count(points)
        if self.kind == "box":
            points = _corners(points)
        object.__setattr__(self, "points", points)
        object.__setattr__(self, "image", str(self.image or ""))
        object.__setattr__(self, "frame", index(frame))

    def _numbers(self) -> Corners:
        axes, names = (2, "column and row") if self.image else (3, "x, y and z in mm")
        try:
            points = tuple(tuple(float(part) for part in point) for point in self.points)
        except (TypeError, ValueError):
            points = ((),)  # a point without numbers, which is refused below
        if any(len(point) != axes or not all(map(math.isfinite, point)) for point in points):
            hint = "" if self.image else "; or name the image whose pixels are meant"
            raise DerivedObjectError(f"a point of a {self.kind} is not {names}, finite numbers: give these{hint}")
        return points

    def _require_count(self, points: Corners) -> None:
        fewest, most = _COUNTS[self.kind]
        most = min(most, _MOST_NUMBERS // (2 if self.image else 3) - 1)
        if not fewest <= len(points) <= most:
            needed = f"{fewest}" if fewest == most else f"{fewest} to {most:.0f}"
            raise DerivedObjectError(f"a region of the kind {self.kind} has {needed} points, not {len(points)}")

    @property
    def is_open(self) -> bool:
        """Whether the region is a line or points: it encloses nothing, and measurements are taken along it."""
        return self.kind in {"line", "points"}


def _corners(points: Corners) -> Corners:
    """Returns the low and the high corner of a box.

    Raises:
        DerivedObjectError: The box is flat along two axes.
    """
    low, high = (tuple(pick(pair) for pair in zip(*points, strict=True)) for pick in (min, max))
    if sum(one != other for one, other in zip(low, high, strict=True)) < 2:  # noqa: PLR2004 a rectangle at least
        raise DerivedObjectError("a box has no size: give two opposite corners, or a point")
    return low, high
