"""Structures of real scans as outlines and back: heads, brains and bones, with holes and specks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from pydicom import dcmread
from scipy import ndimage

from dcm_processor_service.derived import SourceSeries, save, structure_set, validate
from dcm_processor_service.imaging.volumes.read import read_volumes
from tests.integration.derived.test_outside_validator import complaints
from tests.shared_data import shared_folder
from tests.unit.derived.drawn import dice, drawn
from tests.unit.derived.sources import make_recipe

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("folder", ["dcm_qa_ct/In/GE", "dcm_qa_nih/In/20180918GE/mr_0004"])
def test_structures_of_a_scan_come_back_from_their_outlines(folder: str, tmp_path: Path) -> None:
    paths = sorted((shared_folder("data") / folder).glob("*.dcm"))[:12]
    volume = read_volumes(paths, "split")[0]
    array = volume.array[..., 0] if volume.array.ndim == 4 else volume.array
    smooth = ndimage.gaussian_filter(array.astype(np.float32), (1.5, 1.5, 0))
    masks = {name: volume.like(smooth > np.percentile(smooth, part)) for name, part in (("head", 60), ("skull", 97))}
    headers = {header.SOPInstanceUID: header for header in (dcmread(path, stop_before_pixels=True) for path in paths)}
    made = structure_set(masks, SourceSeries.from_headers(headers.values()), make_recipe())
    assert [each for each in validate(made) if each.about == "object"] == []
    own = [headers[source.sop_instance_uid] for source in volume.sources[0]]
    found = drawn(made, own)
    for name, mask in masks.items():
        assert mask.array.any()
        assert dice(found[name], mask.array) == 1
    (path,) = save([made], tmp_path)
    of_the_source = ("Illegal root for UID", "DeidentificationMethod")
    assert [each for each in complaints(path) if not any(flaw in each for flaw in of_the_source)] == []
