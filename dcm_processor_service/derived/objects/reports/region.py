"""Where in the images a finding is: a point, a line, an outline or a box, in the patient or in an image."""

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
"""What a region is; ``points`` are several points together."""

Corners: TypeAlias = "tuple[tuple[float, ...], ...]"

_COUNTS: dict[str, tuple[int, float]] = {
    "point": (1, 1), "points": (1, math.inf), "line": (2, math.inf), "outline": (3, math.inf), "box": (2, 2),
    "circle": (2, 2), "ellipse": (4, 4), "ellipsoid": (6, 6),
}  # fmt: skip
_MOST_NUMBERS = 16383
"""In one GraphicData (0070,0022), whose length in bytes is a number of 16 bits (PS3.5, section 7.1.2)."""


@refuses_unknown_keywords
@dataclass(frozen=True)
class Region:
    """Where a finding is, in LPS mm, or in the pixels of one image.

    Of a box the points are two opposite corners, along the axes of the patient or of the image. Of a circle they are
    its centre and a point on it (in an image alone), of an ellipse the ends of its long and then of its short axis, of
    an ellipsoid those of three axes. A line is open; an outline is closed, and its last point is joined to the first.

    Objects keep coordinates as numbers of 32 bits, so that what is read may differ in the seventh digit. An outline
    that is a rectangle along the axes is read as a box.

    Raises:
        DerivedObjectError: The number of points is not that of the kind, or a coordinate is no finite number.

    Example:
        >>> nodule = Region("box", ((10, -20, 55), (18, -12, 61)))
        >>> nodule.points[1]
        (18.0, -12.0, 61.0)
        >>> Region("point", ((120, 88),), image="1.2.3.4").image
        '1.2.3.4'
    """

    kind: RegionKind
    points: Sequence[Sequence[float]]
    """(x, y, z) in LPS mm; with ``image`` column and row, whole numbers at the centres of pixels, from 0."""

    image: str = ""
    """SOPInstanceUID of the image whose pixels are meant; empty where the points are mm."""

    frame: int = 1
    """Of an image of several frames: which, from 1."""

    frame_of_reference_uid: str = field(default="", compare=False, repr=False)
    """In which points in mm lie; that of the source where empty."""

    def __post_init__(self) -> None:
        """Turns the points into tuples of floats.

        Raises:
            DerivedObjectError: See above.
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
            raise DerivedObjectError("a frame is no number: frames are counted from 1, in whole numbers")
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
            points = ((),)  # of no numbers
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
        """Whether it encloses nothing and is no single place: a line or several points, along which one measures."""
        return self.kind in {"line", "points"}


def _corners(points: Corners) -> Corners:
    """Returns the low and the high corner of a box.

    Raises:
        DerivedObjectError: It is flat along two axes.
    """
    low, high = (tuple(pick(pair) for pair in zip(*points, strict=True)) for pick in (min, max))
    if sum(one != other for one, other in zip(low, high, strict=True)) < 2:  # noqa: PLR2004 a rectangle at least
        raise DerivedObjectError("a box has no size: give two opposite corners, or a point")
    return low, high
