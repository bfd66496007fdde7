"""The colours of palettes and of uncompressed YBR are those that DCMTK shows."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from tests.archives import program
from tests.unit.imaging.test_palettes import ALL_TABLES, Tables, check_colours, palette_series, ybr_series

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def by_dcmtk(path: Path) -> NDArray[np.uint8]:
    """Shape (rows, columns, 3)."""
    target = path.with_suffix(".ppm")
    subprocess.run([program("dcm2pnm"), "--write-raw-pnm", str(path), str(target)], check=True, capture_output=True)
    with Image.open(target) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("tables", ALL_TABLES, ids=repr)
def test_a_palette_has_the_same_colours(tmp_path: Path, tables: Tables, bits: int) -> None:
    check_colours(palette_series(tmp_path, tables, bits=bits), tmp_path, by_dcmtk)


@pytest.mark.parametrize(("kind", "planar"), [("YBR_FULL", 0), ("YBR_FULL", 1), ("YBR_FULL_422", 0)])
def test_uncompressed_ybr_has_the_same_colours_up_to_rounding(tmp_path: Path, kind: str, planar: int) -> None:
    check_colours(ybr_series(tmp_path, kind, planar), tmp_path, by_dcmtk, off=2)
