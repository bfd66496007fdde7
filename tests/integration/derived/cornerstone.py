"""What viewers built on Cornerstone find in derived objects: @cornerstonejs/adapters and dcmjs, under node."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom import dcmread

from dcm_processor_service.derived.source import frames_of_header
from tests.node_packages import ADAPTERS, node, node_modules
from tests.unit.derived.drawn import filled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tests.integration.derived.object_matrix import Made

__all__ = ["cornerstone_segments", "dcmjs_structures"]

SCRIPT = Path(__file__).with_name("cornerstone_reader.mjs")


def read(what: str, made: Made) -> Any:
    command = [node(), str(SCRIPT), str(node_modules(*ADAPTERS)), what, *map(str, made.paths)]
    command += map(str, made.source.paths)
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def planes(made: Made) -> dict[tuple[str, int], tuple[NDArray[np.float64], ...]]:
    """Where the frames of the source lie, as its headers say: origin, and the steps to the next column and row."""
    found: dict[tuple[str, int], tuple[NDArray[np.float64], ...]] = {}
    for path in made.source.paths:
        for frame in frames_of_header(dcmread(path, stop_before_pixels=True)):
            down, across = frame.pixel_spacing or (1.0, 1.0)
            row, column = np.array(frame.orientation).reshape(2, 3)
            own = np.array(frame.position), row * across, column * down
            found[frame.instance.sop_instance_uid, frame.number] = own
    return found


def assert_marked(made: Made, frames: list[dict[str, Any]]) -> None:
    """Asserts that the marked pixels of source frames are the mask's voxels."""
    volume, mask, places = made.source.volume, made.source.array, planes(made)
    assert volume is not None
    inverse, seen = np.linalg.inv(volume.affine_lps), np.zeros_like(mask)
    for frame in frames:
        origin, across, down = places[frame["instance"], frame["number"]]
        rows, columns = np.divmod(np.array(frame["pixels"]), frame["columns"])
        world = origin + np.multiply.outer(columns, across) + np.multiply.outer(rows, down)
        lands = world @ inverse[:3, :3].T + inverse[:3, 3]
        whole = np.rint(lands).astype(int)
        assert np.abs(lands - whole).max() < 0.02, "misplaced"
        assert set(frame["values"]) == {1}  # the number of the segment
        seen[tuple(whole.T)] = True
    assert np.array_equal(seen, mask)


def cornerstone_segments(kind: str, made: Made, folder: Path) -> None:
    found = read("segmentation", made)
    assert found["segments"] == ["liver"]
    assert_marked(made, found["frames"])


def dcmjs_structures(kind: str, made: Made, folder: Path) -> None:
    """Contours lie on the slices, and hold the centres of the mask's voxels and no others, even-odd."""
    (liver,) = read("structures", made)
    assert liver["name"] == "liver"
    assert len(liver["color"]) == 3
    volume, mask = made.source.volume, made.source.array
    assert volume is not None
    inverse = np.linalg.inv(volume.affine_lps)
    lines: list[list[NDArray[np.float64]]] = [[] for _ in range(mask.shape[2])]
    for contour in liver["contours"]:
        assert contour["type"] == "CLOSED_PLANAR"
        points = np.array(contour["points"]).reshape(-1, 3) @ inverse[:3, :3].T + inverse[:3, 3]
        at = round(points[0, 2])
        assert np.abs(points[:, 2] - at).max() < 0.02, "misplaced"
        assert volume.sources[0][at].sop_instance_uid in contour["images"]
        lines[at].append(points[:, :2])
    drawn = np.stack([filled(each, mask.shape[:2]) for each in lines], axis=2)
    assert np.array_equal(drawn, mask)
