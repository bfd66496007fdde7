"""Parametric maps of this package and of highdicom are read as volumes with the right values, units and places."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import highdicom as hd
import numpy as np
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from dcm_processor_service.derived import MapOptions, parametric_map
from dcm_processor_service.derived.objects.highdicom_bridge import released
from dcm_processor_service.errors import InvalidSeriesError
from dcm_processor_service.imaging.series.inspection import inspect_series
from dcm_processor_service.imaging.volumes.read import read_volume, read_volumes
from dcm_processor_service.models import SeriesKind
from tests.unit.derived.sources import make_headers, make_recipe, make_source

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SHAPE = (5, 4, 3)
ADC = MapOptions("mm2/s", "Apparent Diffusion Coefficient")


def oblique() -> NDArray[np.float64]:
    """Makes an oblique grid, turned about two axes, with pixels that are not square."""
    c, s = np.cos(0.4), np.sin(0.4)
    affine = np.eye(4)
    affine[:3, :3] = np.array([[c, -s, 0], [s * c, c * c, -s], [s * s, c * s, c]]) @ np.diag([0.5, 0.75, 2.5])
    affine[:3, 3] = (-10, 20, 30)
    return affine


def values(dtype: type[np.generic]) -> NDArray[Any]:
    numbers: NDArray[Any] = np.random.default_rng(7).normal(scale=1000, size=SHAPE).astype(dtype)
    return numbers


def of_highdicom(array: NDArray[Any], folder: Path, *, maps: int = 1, slope: float = 1.0, start: float = 0.0) -> Path:
    """Makes a map with highdicom from frames (k, j, i[, map]); each map has its own unit."""
    headers = make_headers(oblique())
    for header in headers:
        for keyword in ("PatientBirthDate", "PatientSex", "AccessionNumber", "StudyDate", "StudyTime", "StudyID"):
            setattr(header, keyword, "")
        header.ReferringPhysicianName = ""
        header.file_meta = FileMetaDataset()
        header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    units = (codes.UCUM.Millimeter, codes.UCUM.Percent)
    mappings = [
        hd.pm.RealWorldValueMapping(
            lut_label=f"map {number}",
            lut_explanation="made up",
            unit=unit,
            value_range=(0, 4095) if array.dtype.kind == "u" else (-10000.0, 10000.0),
            slope=slope,
            intercept=start,
        )
        for number, unit in enumerate(units[:maps])
    ]
    made = hd.pm.ParametricMap(
        headers,
        array,
        series_instance_uid=hd.UID(),
        series_number=1,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="M",
        manufacturer_model_name="M",
        software_versions="1",
        device_serial_number="1",
        contains_recognizable_visual_features=False,
        real_world_value_mappings=mappings if maps == 1 else [[mapping] for mapping in mappings],
        voi_lut_transformations=[hd.VOILUTTransformation(window_center=0, window_width=1)],
    )
    path = folder / "map.dcm"
    made.save_as(path)
    released(made)
    return path


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, np.int32])
def test_a_map_of_our_own_comes_back_with_its_values_unit_and_place(tmp_path: Path, dtype: type[np.generic]) -> None:
    made = parametric_map(values(dtype), make_source(oblique()), make_recipe(), options=ADC)
    path = tmp_path / "map.dcm"
    made.save_as(path, enforce_file_format=True)
    assert inspect_series([path]).kind is SeriesKind.PARAMETRIC_MAP
    volume = read_volume([path])
    np.testing.assert_array_equal(volume.array, values(dtype).astype(np.float32))
    np.testing.assert_allclose(volume.affine_lps, oblique(), atol=1e-6)
    assert (volume.rescale.unit, volume.rescale.slope, volume.rescale.intercept) == ("mm2/s", 1, 0)
    assert len(volume.sources[0]) == SHAPE[2]


def test_no_value_of_a_map_stays_no_value(tmp_path: Path) -> None:
    array = values(np.float32)
    array[1, 2, 0] = np.nan
    parametric_map(array, make_source(), make_recipe(), options=ADC).save_as(tmp_path / "map.dcm")
    np.testing.assert_array_equal(read_volume([tmp_path / "map.dcm"]).array, array)


def test_the_sidecar_names_the_unit_of_a_map(tmp_path: Path) -> None:
    parametric_map(values(np.float32), make_source(), make_recipe(), options=ADC).save_as(tmp_path / "map.dcm")
    read_volume([tmp_path / "map.dcm"]).to_nifti(tmp_path / "map.nii.gz")
    assert json.loads((tmp_path / "map.json").read_text())["Units"] == "mm2/s"


def test_integers_of_a_map_become_what_its_mapping_says(tmp_path: Path) -> None:
    stored = np.random.default_rng(1).integers(0, 4095, SHAPE[::-1]).astype(np.uint16)
    volume = read_volume([of_highdicom(stored, tmp_path, slope=0.5, start=-3.0)])
    np.testing.assert_array_equal(volume.array, stored.T * 0.5 - 3)
    np.testing.assert_allclose(volume.affine_lps, oblique(), atol=1e-6)
    assert volume.rescale.unit == "mm"


def test_maps_of_two_quantities_in_one_object_are_never_one_volume(tmp_path: Path) -> None:
    array = np.stack([values(np.float32).T, values(np.float32).T + 1], axis=-1)
    path = of_highdicom(array, tmp_path, maps=2)
    with pytest.raises(InvalidSeriesError, match="2 volumes of different kinds, distinguished by LUTLabel"):
        read_volume([path])
    first, second = read_volumes([path], "split")
    assert [(volume.name, volume.rescale.unit) for volume in (first, second)] == [("map-1", "mm"), ("map-2", "%")]
    np.testing.assert_array_equal(first.array, array[..., 0].T)
    np.testing.assert_array_equal(second.array, array[..., 1].T)
