"""What a viewer makes of a structure set: masks on the images that its outlines name, even-odd."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tests.unit.derived.sources import stored

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray
    from pydicom import Dataset


def filled(outlines: Iterable[NDArray[np.float64]], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """The voxels (column, row) whose centres lie within polygons of (column, row), even-odd."""
    crossings = np.zeros((shape[0] + 1, shape[1]), np.int64)
    for line in outlines:
        for (x1, y1), (x2, y2) in zip(line, np.roll(line, -1, axis=0), strict=True):
            low, high = sorted((y1, y2))
            rows = np.arange(max(0, int(np.ceil(low))), min(shape[1], int(np.ceil(high))))
            if len(rows):
                columns = np.ceil(x1 + (rows - y1) * (x2 - x1) / (y2 - y1)).astype(int)
                np.add.at(crossings, (columns.clip(0, shape[0]), rows), 1)
    mask: NDArray[np.bool_] = crossings.cumsum(axis=0)[:-1] % 2 == 1
    return mask


def drawn(made: Dataset, headers: Sequence[Dataset]) -> dict[str, NDArray[np.bool_]]:
    """The masks of all structures, (columns, rows, images) in the order of the headers."""
    read = stored(made)
    at = {header.SOPInstanceUID: index for index, header in enumerate(headers)}
    found = {}
    for roi, contours in zip(read.StructureSetROISequence, read.ROIContourSequence, strict=True):
        assert roi.ROINumber == contours.ReferencedROINumber
        lines: list[list[NDArray[np.float64]]] = [[] for _ in headers]
        for contour in contours.get("ContourSequence", ()):
            assert contour.ContourGeometricType == "CLOSED_PLANAR"
            points = np.array(contour.ContourData, np.float64).reshape(-1, 3)
            assert len(points) == contour.NumberOfContourPoints >= 3
            index = at[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
            lines[index].append(_in_image(points, headers[index]))
        shape = (headers[0].Columns, headers[0].Rows)
        found[str(roi.ROIName)] = np.stack([filled(each, shape) for each in lines], axis=2)
    return found


def _in_image(points: NDArray[np.float64], header: Dataset) -> NDArray[np.float64]:
    row, column = np.array(header.ImageOrientationPatient, float).reshape(2, 3)
    from_origin = points - np.array(header.ImagePositionPatient, float)
    assert np.abs(from_origin @ np.cross(row, column)).max() < 1e-3
    between_rows, between_columns = (float(part) for part in header.PixelSpacing)
    return np.stack([from_origin @ row / between_columns, from_origin @ column / between_rows], axis=1)


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float(2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other)))
