"""Computes where slices lie: positions, affines, orientation names. Pure numpy, no DICOM objects.

DICOM's coordinates are LPS: x grows to the patient's left, y to the back, z to the head. NIfTI's are RAS: right, front,
head. An affine maps voxel indices (i, j, k, 1) = (column, row, slice, 1) to mm. PS3.3, section C.7.6.2.1.1, has the
rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = [
    "LARGEST_NOISE_MM",
    "FloatArray",
    "Frame",
    "StackGeometry",
    "allowed_difference_mm",
    "axis_codes",
    "cluster_positions",
    "convert_frame",
    "orientation_angles_deg",
    "orientation_label",
    "slice_normal",
    "stack_affine",
    "stack_geometry",
]

Frame: TypeAlias = Literal["LPS", "RAS"]
"""The directions of a patient's axes: left, posterior, superior (DICOM) or right, anterior, superior (NIfTI); in mm."""

FloatArray: TypeAlias = "NDArray[np.float64]"
"""An array of double precision."""

_OPPOSITE = {"L": "R", "R": "L", "P": "A", "A": "P", "S": "I", "I": "S"}
# Scanners round coordinates by up to 5 µm, so the position of an oblique slice may be wrong by 9 µm. The positions of
# two slices at one place may then differ by twice that, and two equal distances between slices by four times that.
LARGEST_NOISE_MM = 0.035
_ONE_PLACE_MM = LARGEST_NOISE_MM / 2
_SMALLEST_DISTANCE_MM = 1e-4
_STEPS_WITH_NOISE_MM = 0.1


def slice_normal(orientation: Sequence[float] | FloatArray) -> FloatArray:
    """Returns the unit normal of a slice, LPS: the cross product of the directions of its rows and its columns.

    Args:
        orientation: ImageOrientationPatient (0020,0037): six direction cosines.

    Example:
        >>> slice_normal([1, 0, 0, 0, 1, 0])
        array([0., 0., 1.])
    """
    cosines = np.asarray(orientation, dtype=np.float64)
    normal: FloatArray = np.cross(cosines[:3], cosines[3:]).astype(np.float64)
    length = float(np.linalg.norm(normal))
    return normal / length if length > 0 else normal


def cluster_positions(positions_mm: FloatArray) -> tuple[NDArray[np.intp], FloatArray]:
    """Finds the distinct positions among many; positions that differ only by rounding in the header count as one.

    Args:
        positions_mm: Shape (n,): distance of each slice along the normal.

    Returns:
        For each slice the number of its position; and the distinct positions, ascending, shape (p,).

    Example:
        >>> labels, found = cluster_positions(np.array([3.0, 0.0, 3.000001]))
        >>> labels.tolist(), found.round(3).tolist()
        ([1, 0, 1], [0.0, 3.0])
    """
    count = len(positions_mm)
    if count == 0:
        return np.zeros(0, np.intp), np.zeros(0)
    order = np.argsort(positions_mm, kind="stable")
    ascending = positions_mm[order]
    numbers = np.concatenate([[0], np.cumsum(np.diff(ascending) > _noise_mm(ascending))])
    labels = np.empty(count, np.intp)
    labels[order] = numbers
    first_of_each = np.searchsorted(numbers, np.arange(numbers[-1] + 1))
    return labels, ascending[first_of_each]


def _noise_mm(ascending: FloatArray) -> float:
    """Returns the distance, mm, up to which neighbours among sorted positions count as one position."""
    extent = float(ascending[-1] - ascending[0])
    apart = int(np.count_nonzero(np.diff(ascending) > LARGEST_NOISE_MM))
    if extent <= _ONE_PLACE_MM or (apart and extent / apart >= _STEPS_WITH_NOISE_MM):
        return LARGEST_NOISE_MM
    return max(0.05 * extent / (len(ascending) - 1), _SMALLEST_DISTANCE_MM)


def allowed_difference_mm(step_mm: float, tolerance: float = 0.01) -> float:
    """Returns how much the distance between two neighbouring slices may differ from the step, mm.

    Args:
        step_mm: The usual distance between neighbours.
        tolerance: The difference that is always allowed, as a fraction of the step. A difference that rounded positions
            explain is allowed as well, up to an eighth of the step.
    """
    return max(tolerance * step_mm, min(LARGEST_NOISE_MM, step_mm / 8))


@dataclass(frozen=True)
class StackGeometry:
    """The distances, the tilt and the deviations of the slices of a stack, which all have the same orientation."""

    step_mm: float
    """Median distance between neighbours along the normal; 0 for a single slice."""

    outliers: tuple[int, ...]
    """Numbers of the gaps that differ from the median by more than is allowed; gap 0 is between slices 0 and 1."""

    missing: tuple[tuple[int, int], ...]
    """For each gap that is several whole steps wide: its number, and how many slices are missing in it."""

    tilt_deg: float
    """Angle between the normal and the line through the slices' origins; 0 for an upright stack."""

    step_vector: tuple[float, float, float]
    """Vector from one slice's origin to the next, LPS mm; in a tilted stack it is not parallel to the normal."""

    along_deviation_mm: float
    """Largest distance of a slice, along the normal, from its place in an evenly spaced stack."""

    lateral_deviation_mm: float
    """Largest distance of a slice's origin from the line through the first and the last origin."""


def stack_geometry(
    orientation: Sequence[float] | FloatArray,
    origins: FloatArray,
) -> StackGeometry:
    """Measures a stack from its slices' positions, never from SliceThickness or SpacingBetweenSlices.

    Args:
        orientation: ImageOrientationPatient of all slices.
        origins: Shape (n, 3): ImagePositionPatient, LPS mm, ascending along the normal, distinct.
    """
    normal = slice_normal(orientation)
    count = len(origins)
    if count < 2:  # noqa: PLR2004 a single slice has no neighbour
        return StackGeometry(0.0, (), (), 0.0, (0.0, 0.0, 0.0), 0.0, 0.0)
    along = origins @ normal
    gaps = np.diff(along)
    step = float(np.median(gaps))
    outliers = tuple(int(index) for index in np.flatnonzero(np.abs(gaps - step) > allowed_difference_mm(step)))
    missing = tuple(
        (index, round(gaps[index] / step) - 1)
        for index in outliers
        if round(gaps[index] / step) > 1 and abs(gaps[index] / step - round(gaps[index] / step)) < 0.05  # noqa: PLR2004 a twentieth of a step
    )
    vector = (origins[-1] - origins[0]) / (count - 1)
    even = along[0] + np.arange(count) * (along[-1] - along[0]) / (count - 1)
    fraction = (along - along[0]) / (along[-1] - along[0])
    on_line = origins[0] + fraction[:, np.newaxis] * (origins[-1] - origins[0])
    along_deviation = float(np.abs(along - even).max())
    lateral_deviation = float(np.linalg.norm(origins - on_line, axis=1).max())
    cosine = float(vector @ normal) / float(np.linalg.norm(vector))
    tilt = float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))
    step_vector = (float(vector[0]), float(vector[1]), float(vector[2]))
    return StackGeometry(step, outliers, missing, tilt, step_vector, along_deviation, lateral_deviation)


def stack_affine(
    orientation: Sequence[float] | FloatArray,
    pixel_spacing: Sequence[float],
    origin: Sequence[float] | FloatArray,
    step_vector: Sequence[float] | FloatArray,
) -> FloatArray:
    """Returns the affine of a stack: (i, j, k, 1) to LPS mm (PS3.3, section C.7.6.2.1.1, equation C.7.6.2.1-1).

    Args:
        orientation: ImageOrientationPatient; its first three cosines point along a row, where the column index i grows.
        pixel_spacing: PixelSpacing (0028,0030) in mm: first the distance between rows, then that between columns.
        origin: ImagePositionPatient of slice 0, LPS mm.
        step_vector: Vector from the origin of a slice to that of the next, LPS mm.

    Example:
        >>> stack_affine([1, 0, 0, 0, 1, 0], [0.5, 0.7], [-10, -20, 30], [0, 0, 2])
        array([[  0.7,   0. ,   0. , -10. ],
               [  0. ,   0.5,   0. , -20. ],
               [  0. ,   0. ,   2. ,  30. ],
               [  0. ,   0. ,   0. ,   1. ]])
    """
    cosines = np.asarray(orientation, dtype=np.float64)
    row_distance, column_distance = pixel_spacing
    affine = np.eye(4)
    affine[:3, 0] = cosines[:3] * column_distance
    affine[:3, 1] = cosines[3:] * row_distance
    affine[:3, 2] = step_vector
    affine[:3, 3] = origin
    return affine


def convert_frame(affine: FloatArray, source: Frame, target: Frame) -> FloatArray:
    """Returns the affine in another frame; between LPS and RAS, only the first two rows change, namely their sign."""
    converted = np.array(affine, dtype=np.float64)
    if source != target:
        converted[:2] *= -1
        converted += 0.0  # turns -0.0 into 0.0
    return converted


def axis_codes(affine_lps: FloatArray) -> str:
    """Names the patient axis nearest to each voxel axis, such as ``LPS`` for a plain axial volume.

    Each patient axis is used once, so that oblique volumes get three different letters.

    Example:
        >>> axis_codes(np.diag([0.5, 0.5, -2.0, 1.0]))
        'LPI'
    """
    directions = np.array(affine_lps[:3, :3], dtype=np.float64)
    lengths = np.linalg.norm(directions, axis=0)
    directions /= np.where(lengths > 0, lengths, 1.0)
    strength = np.abs(directions)
    codes = [""] * 3
    for _ in range(3):
        patient, voxel = np.unravel_index(int(np.argmax(strength)), strength.shape)
        letter = "LPS"[patient]
        codes[voxel] = letter if directions[patient, voxel] >= 0 else _OPPOSITE[letter]
        strength[patient, :] = -1
        strength[:, voxel] = -1
    return "".join(codes)


def orientation_angles_deg(orientation: Sequence[float] | FloatArray) -> tuple[float, float, float]:
    """Returns the angles between the slice normal and the sagittal, coronal and axial normals, 0 to 90 degrees.

    Example:
        >>> orientation_angles_deg([1, 0, 0, 0, 1, 0])
        (90.0, 90.0, 0.0)
    """
    normal = np.clip(np.abs(slice_normal(orientation)), 0.0, 1.0)
    # arctan2, because arccos cannot tell small angles apart: their cosines round to 1
    sagittal, coronal, axial = (
        float(np.degrees(np.arctan2(np.linalg.norm(np.delete(normal, axis)), normal[axis]))) for axis in range(3)
    )
    return sagittal, coronal, axial


def orientation_label(orientation: Sequence[float] | FloatArray, tolerance_deg: float = 1.0) -> str:
    """Names the plane of a slice: ``axial``, ``coronal`` or ``sagittal``; ``oblique`` if it is none of these.

    Example:
        >>> orientation_label([1, 0, 0, 0, 0, -1])
        'coronal'
    """
    angles = orientation_angles_deg(orientation)
    nearest = int(np.argmin(angles))
    return ("sagittal", "coronal", "axial")[nearest] if angles[nearest] <= tolerance_deg else "oblique"
