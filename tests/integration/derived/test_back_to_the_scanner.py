"""A real CT of a tilted gantry with two distances between slices: what was found on other grids comes back to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from pydicom import dcmread

from dcm_processor_service.derived import SourceSeries, segmentation, structure_set
from dcm_processor_service.derived.source_grid import to_source
from dcm_processor_service.imaging.volumes.read import read_volumes
from tests.shared_data import shared_folder
from tests.unit.derived.drawn import dice, drawn
from tests.unit.derived.sources import make_recipe

if TYPE_CHECKING:
    from pathlib import Path

BONE = 300  # HU


@pytest.fixture(scope="module")
def scan() -> list[Path]:
    return sorted((shared_folder("data") / "dcm_qa_ct/In/GE").glob("*.dcm"))


def test_masks_of_its_parts_and_of_an_upright_volume_come_back_to_its_own_slices(scan: list[Path]) -> None:
    headers = {header.SOPInstanceUID: header for header in (dcmread(path, stop_before_pixels=True) for path in scan)}
    source = SourceSeries.from_headers(headers.values())
    parts = read_volumes(scan, "split")
    assert len(parts) == 2
    assert all(part.is_sheared for part in parts)
    found = [to_source(part.like(part.array > BONE), source) for part in parts]
    bone = found[0].like(found[0].array | found[1].array)
    at = {each.sop_instance_uid: index for index, each in enumerate(bone.sources)}
    for part in parts:
        for index, each in enumerate(part.sources[0]):
            assert np.array_equal(bone.array[:, :, at[each.sop_instance_uid]], part.array[:, :, index] > BONE)

    own = [headers[each.sop_instance_uid] for each in bone.sources]
    for index, header in enumerate(own):
        assert np.allclose(bone.place_lps(0, 0, index), header.ImagePositionPatient, atol=1e-6)
    made = segmentation({"skull": bone}, source, make_recipe())
    places = [
        tuple(groups.PlanePositionSequence[0].ImagePositionPatient) for groups in made.PerFrameFunctionalGroupsSequence
    ]
    assert sorted(places) == sorted(tuple(header.ImagePositionPatient) for header in own)
    outlined = drawn(structure_set({"skull": bone}, source, make_recipe()), own)
    assert np.array_equal(outlined["skull"], bone.array)

    (upright,) = read_volumes(scan, "resample", max_gap_mm=10)
    assert not upright.is_sheared
    again = to_source(upright.like((upright.array > BONE).astype(np.uint8)), source)
    assert dice(again.array > 0, bone.array) > 0.85  # the values between slices were interpolated
