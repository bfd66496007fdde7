"""What callers bring: arrays, volumes, NIfTI images and files, folders of DICOM; names of concepts and units."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest

from dcm_processor_service.derived import Code, derive_image, keyed_uid, save, source_of, voxels_of
from dcm_processor_service.derived.terminology.codes import code_item, find_code, find_unit
from dcm_processor_service.errors import DerivedObjectError, InvalidSeriesError
from dcm_processor_service.imaging.volumes.volume import Volume
from dcm_processor_service.testing import synthetic_series
from tests.unit.derived.sources import PLAIN, make_recipe, make_source

if TYPE_CHECKING:
    from pathlib import Path

ARRAY = np.arange(60, dtype=np.int16).reshape(5, 4, 3)


def test_every_form_of_voxels(tmp_path: Path) -> None:
    ras = np.diag([-0.5, -0.75, 2.5, 1.0])
    image = nib.nifti1.Nifti1Image(ARRAY, ras)
    path = tmp_path / "image.nii.gz"
    nib.nifti1.save(image, path)
    for what in (image, path, Volume(ARRAY, PLAIN)):
        found = voxels_of(what)
        assert np.array_equal(found.array, ARRAY)
        assert found.affine_lps is not None
        assert np.allclose(found.affine_lps, PLAIN)
    bare = voxels_of(ARRAY)
    assert bare.array is ARRAY
    assert bare.affine_lps is None


def test_files_that_are_no_nifti_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.nii"
    path.write_bytes(b"nothing")
    with pytest.raises(DerivedObjectError, match=r"image\.nii cannot be read as NIfTI"):
        voxels_of(path)
    colours = np.zeros((2, 2, 2), np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1"), ("A", "u1")]))
    with pytest.raises(DerivedObjectError, match="give colours as RGB24"):
        voxels_of(nib.nifti1.Nifti1Image(colours, np.eye(4)))


def test_colours_of_a_nifti_image_are_a_last_axis() -> None:
    colours = np.zeros((2, 3, 4), np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    colours["G"][1, 2, 3] = 7
    found = voxels_of(nib.nifti1.Nifti1Image(colours, np.eye(4)))
    assert found.is_color
    assert found.array.shape == (2, 3, 4, 3)
    assert found.array[1, 2, 3].tolist() == [0, 7, 0]


def test_a_folder_gives_its_series(tmp_path: Path) -> None:
    made = derive_image(ARRAY, make_source(), make_recipe())
    paths = save(made.datasets, tmp_path / "deep" / "down")
    (tmp_path / "readme.txt").write_text("not DICOM")
    source = source_of([tmp_path])
    assert [grid.shape for grid in source.grids] == [(5, 4, 3)]
    assert source_of(paths).uids == source.uids
    with pytest.raises(InvalidSeriesError):
        source_of([tmp_path / "readme.txt"])


def test_several_series_need_a_name(tmp_path: Path) -> None:
    one, other = (derive_image(ARRAY, make_source(), make_recipe(role)) for role in ("one", "other"))
    save([*one.datasets, *other.datasets], tmp_path)
    with pytest.raises(DerivedObjectError, match="name one of them"):
        source_of([tmp_path])
    assert source_of([tmp_path], one.series_instance_uid).first.SeriesInstanceUID == one.series_instance_uid
    with pytest.raises(DerivedObjectError, match="found: none"):
        source_of([tmp_path / "nowhere"] if (tmp_path / "nowhere").is_file() else [])


@pytest.mark.parametrize(
    ("name", "value"), [("liver", "10200004"), ("  LIVER ", "10200004"), ("Tumor", "108369006"), ("Spleen", "78961009")]
)
def test_concepts_are_found_by_name(name: str, value: str) -> None:
    assert find_code(name).value == value


def test_unknown_concepts_get_advice() -> None:
    with pytest.raises(DerivedObjectError, match=r"similar ones: .*'Spleen'.*Code\(value, scheme, meaning\)"):
        find_code("spleeen")
    own = Code("1", "99LAB", "Own")
    assert find_code(own) is own
    assert find_unit(own) is own
    assert find_unit("kg/m2") == Code("kg/m2", "UCUM", "kg/m2")


@pytest.mark.parametrize(
    "unit",
    ["mm2/s", "10*-6.mm2/s", "10*6/ml", "g/ml{SUVbw}", "/min", "{counts}/s", "mm[Hg]", "umol/(100.g.min)",
     "mL", "[hnsf'U]", "kBq/mL", "1/s", "m/s2", "{pixel}", "ug/l", "Cel", "s-1", "mg/dL", "[degF]", "deg", "dB", "keV"],
)  # fmt: skip
def test_units_of_ucum_are_taken(unit: str) -> None:
    assert find_unit(unit).value == unit


@pytest.mark.parametrize(
    ("unit", "nearest"),
    [("mm^3", "'mm3' is"), ("mm³", "'mm3' is"), ("percent", "'%' is"), ("cc", "'cm3' is"),
     ("bananas", "give a unit"), ("mmm", "'mm' is"), ("", None), ("ml / s", "'ml/s' is"), ("SUV", "SUVbw")],
)  # fmt: skip
def test_what_is_no_unit_is_refused_with_the_nearest(unit: str, nearest: str | None) -> None:
    if nearest is None:
        assert find_unit(unit).meaning == "no units"
        return
    with pytest.raises(DerivedObjectError, match=re.escape(nearest)):
        find_unit(unit)


def test_long_codes_go_where_the_standard_wants_them() -> None:
    assert code_item(Code("x" * 17, "99LAB", "Long")).LongCodeValue == "x" * 17
    urn = code_item(Code("urn:lex:us:federal", "", "Law"))
    assert urn.URNCodeValue == "urn:lex:us:federal"
    assert "CodingSchemeDesignator" not in urn


def test_uids_keep_the_parts_of_their_key_apart() -> None:
    assert keyed_uid("ab", "c") != keyed_uid("a", "bc") != keyed_uid("abc")
    assert keyed_uid("ä", "") == keyed_uid("ä", "")
    assert len({keyed_uid(str(number)) for number in range(1000)}) == 1000


def test_headers_of_two_patients_are_no_source(tmp_path: Path) -> None:
    (dataset, *_) = synthetic_series(slices=1)
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    dataset.PatientID = "ANOTHER-ID"
    dataset.save_as(tmp_path / "b.dcm", enforce_file_format=True)
    with pytest.raises(DerivedObjectError, match="belong to 2 patients") as refused:
        source_of([tmp_path])
    assert "ANOTHER-ID" not in str(refused.value)
