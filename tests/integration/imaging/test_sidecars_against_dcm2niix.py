"""Values that are in the sidecars of both the native engine and dcm2niix are the same, in the patient.

dcm2niix turns the rows of an image over, so directions are compared as directions in the patient, and slice times at
the slice's place.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest

from dcm_processor_service.imaging.geometry import convert_frame
from dcm_processor_service.imaging.nifti.comparison import placement
from dcm_processor_service.imaging.nifti.engine_dcm2niix import run_dcm2niix
from dcm_processor_service.imaging.nifti.sidecar import sidecar_content
from dcm_processor_service.imaging.series.inspection import examine
from dcm_processor_service.imaging.volumes.read import volumes_of
from dcm_processor_service.models.images.limits import Limits
from tests.integration.imaging.test_reference_sets import MOSAIC, NIH, files

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from dcm_processor_service import Volume
    from dcm_processor_service.imaging.nifti.dcm2niix_image import Dcm2niixImage

READOUT = {"PhaseEncodingDirection", "EffectiveEchoSpacing", "TotalReadoutTime", "SliceTiming"}
ESTIMATED = {"PhaseEncodingAxis", "EstimatedEffectiveEchoSpacing", "EstimatedTotalReadoutTime"}
SETS = {
    **{f"{NIH}{number}": READOUT for number in (4, 5, 6, 7)},
    **{f"{MOSAIC}{number}": READOUT for number in (3, 4, 5, 6)},
    "dcm_qa_enh/In/Siemens/XA10": READOUT | {"MultibandAccelerationFactor"},
    "dcm_qa_agfa/Siemens": READOUT,
    "dcm_qa_agfa/Agfa": READOUT,
    "dcm_qa_philips_dwi/In/cl/DICOM": ESTIMATED,
}
"""For each data set, the fields that its headers support."""

IN_THE_PATIENT = {"PhaseEncodingDirection": "a direction", "PhaseEncodingAxis": "a line", "SliceTiming": "at places"}
WRITTEN_OTHERWISE = {
    "ConversionSoftware": "each its own",
    "ConversionSoftwareVersion": "each its own",
    "ImageType": "dcm2niix adds words of its own",
    "Manufacturer": "dcm2niix shortens it",
}
ONE_TICK_S = 0.00251
"""By how much slice times differ between volumes of a Siemens scan; dcm2niix uses those of the first or the second."""

DIRECTIONS = {
    "3": (0, 1, 0),
    "4": (0, -1, 0),
    "5": (1, 0, 0),
    "6": (-1, 0, 0),
}
"""Phase encoding directions, LPS, of the Siemens scans in dcm_qa_nih that are named AP, PA, RL and LR."""


class Both(NamedTuple):
    own: Volume
    other: Dcm2niixImage

    @property
    def fields(self) -> Mapping[str, Any]:
        return sidecar_content(self.own, "bids")

    @property
    def other_affine_lps(self) -> NDArray[np.float64]:
        return convert_frame(np.array(self.other.affine_ras), "RAS", "LPS")


@pytest.fixture(scope="module")
def read_by_both(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Both]:
    """Converts a folder with both engines, only once."""
    return cache(lambda folder: _read_by_both(folder, tmp_path_factory.mktemp("both")))


def _read_by_both(folder: str, tmp_path: Path) -> Both:
    paths = [path for path in files(folder, tmp_path) if not path.name.startswith(("DICOMDIR", "PS_", "XX_"))]
    inspection = examine(paths, Limits())
    work = tmp_path / "work"
    work.mkdir()
    images = run_dcm2niix(paths, work, inspection.report, 100)
    [both] = [Both(*pair) for pair in zip(volumes_of(inspection, "split"), images, strict=True)]
    return both


def in_the_patient(said: str, affine_lps: NDArray[np.float64]) -> NDArray[np.float64]:
    column = affine_lps[:3, "ijk".index(said[0])] * (-1 if said.endswith("-") else 1)
    direction: NDArray[np.float64] = column / np.linalg.norm(column)
    return direction


def times_of(both: Both) -> list[float]:
    """Returns the slice times of dcm2niix, in the order of our slices."""
    times: list[float] = both.other.metadata["SliceTiming"]
    own = both.own
    place = placement(both.other_affine_lps, both.other.shape, own.affine_lps, own.shape)
    assert place is not None
    assert place.order[2] == 2
    return times[::-1] if place.flipped[2] else times


@pytest.mark.parametrize("folder", SETS)
def test_fields_in_both_sidecars_are_the_same(read_by_both: Callable[[str], Both], folder: str) -> None:
    both = read_by_both(folder)
    fields, others = both.fields, both.other.metadata
    assert SETS[folder] <= fields.keys()
    for name in fields.keys() & others.keys() - WRITTEN_OTHERWISE.keys() - IN_THE_PATIENT.keys():
        own, other = fields[name], others[name]
        if isinstance(own, int | float) or (isinstance(own, list) and not isinstance(own[0], str)):
            np.testing.assert_allclose(own, other, rtol=1e-5, atol=1e-6, err_msg=name)
        else:
            assert own == (other.split("\\") if isinstance(own, list) else other), name
    for name in IN_THE_PATIENT:
        assert (name in fields) == (name in others), name
    if "SliceTiming" in fields:
        np.testing.assert_allclose(fields["SliceTiming"], times_of(both), atol=ONE_TICK_S)
    if "PhaseEncodingDirection" in fields:
        own_direction = in_the_patient(fields["PhaseEncodingDirection"], both.own.affine_lps)
        other_direction = in_the_patient(others["PhaseEncodingDirection"], both.other_affine_lps)
        np.testing.assert_allclose(own_direction, other_direction, atol=1e-5)
    if "PhaseEncodingAxis" in fields:
        own_line = in_the_patient(fields["PhaseEncodingAxis"], both.own.affine_lps)
        other_line = in_the_patient(others["PhaseEncodingAxis"], both.other_affine_lps)
        assert abs(own_line @ other_line) == pytest.approx(1)


@pytest.mark.parametrize("number", DIRECTIONS)
def test_phase_runs_as_the_name_of_the_scan_says(read_by_both: Callable[[str], Both], number: str) -> None:
    both = read_by_both(f"{MOSAIC}{number}")
    direction = in_the_patient(both.fields["PhaseEncodingDirection"], both.own.affine_lps)
    np.testing.assert_allclose(direction, DIRECTIONS[number], atol=1e-5)


@pytest.mark.parametrize("axes", ["RAS", "LPI", "SRA"])
@pytest.mark.parametrize("folder", [f"{NIH}6", f"{MOSAIC}5"])
def test_a_turned_volume_says_the_same_along_its_own_axes(
    read_by_both: Callable[[str], Both], folder: str, axes: str
) -> None:
    both = read_by_both(folder)
    turned = both.own.reorient(axes)
    before, after = both.fields, sidecar_content(turned, "bids")
    slices = "ijk"[turned.slice_axis]
    assert after.get("SliceEncodingDirection", "k") == slices
    same_way = both.own.affine_lps[:3, 2] @ turned.affine_lps[:3, turned.slice_axis] > 0
    assert after["SliceTiming"] == (before["SliceTiming"] if same_way else before["SliceTiming"][::-1])
    np.testing.assert_allclose(
        in_the_patient(after["PhaseEncodingDirection"], turned.affine_lps),
        in_the_patient(before["PhaseEncodingDirection"], both.own.affine_lps),
        atol=1e-5,
    )
    assert after["TotalReadoutTime"] == before["TotalReadoutTime"]


def test_a_resampled_volume_keeps_the_direction_and_no_line_or_slice(read_by_both: Callable[[str], Both]) -> None:
    both = read_by_both(f"{MOSAIC}3")
    fields = sidecar_content(both.own.resample(4.0), "bids")
    assert fields["PhaseEncodingDirection"] == both.fields["PhaseEncodingDirection"]
    assert not {"EffectiveEchoSpacing", "TotalReadoutTime", "SliceTiming"} & fields.keys()


def test_each_part_of_a_field_map_has_the_attributes_of_its_own_frames(tmp_path: Path) -> None:
    paths = files("dcm_qa_enh/In/Philips", tmp_path)
    volumes = volumes_of(examine(paths, Limits()), "split")
    field_map, magnitude = (sidecar_content(volume, "bids") for volume in volumes)
    assert magnitude["EchoTime"] == 0.00152
    assert "Units" not in magnitude
    assert field_map["Units"] == "Hz"
    assert "EchoTime" not in field_map  # the value is 0 in that sidecar
    assert "EchoTime" not in sidecar_content(volumes[0].resample(5.0), "bids")
    assert sidecar_content(volumes[1].resample(5.0), "bids")["RepetitionTime"] == magnitude["RepetitionTime"]
