"""NIfTI files and their sidecars are read back by other libraries."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest

from dcm_processor_service.errors import InvalidNameError, NiftiConversionError
from dcm_processor_service.imaging.geometry import stack_affine
from dcm_processor_service.imaging.nifti.gradients import GradientTable, write_gradients
from dcm_processor_service.imaging.nifti.write import copy_nifti, nifti_stem, sidecar_path, write_json, write_nifti
from dcm_processor_service.imaging.volumes.interop import RGB24
from tests.unit.imaging.synthetic import all_orientations

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

NAMES = ["x.nii", "x.nii.gz", "X.NII", "X.NII.GZ"]
AFFINE = np.array([[0.0, 0.5, 0.0, 10.0], [0.75, 0.0, 0.0, -20.0], [0.0, 0.0, -2.0, 30.0], [0.0, 0.0, 0.0, 1.0]])
SHAPES = [(5, 4, 3), (5, 4, 3, 2), (5, 4), (5, 4, 1), (1, 1, 1), (5, 4, 3, 2, 2)]


def content_of(path: Path) -> bytes:
    packed = path.read_bytes()
    return gzip.decompress(packed) if path.name.lower().endswith(".gz") else packed


def read(path: Path) -> nib.nifti1.Nifti1Image:
    image: nib.nifti1.Nifti1Image = nib.nifti1.Nifti1Image.from_bytes(content_of(path))
    return image


def numbered(shape: tuple[int, ...], dtype: str = "<i2") -> NDArray[Any]:
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def backwards(array: NDArray[Any]) -> NDArray[Any]:
    return array[::-1]


@pytest.mark.parametrize("name", ["x.nii", "X.NII.GZ"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("laid", [np.ascontiguousarray, np.asfortranarray, backwards])
@pytest.mark.parametrize("dtype", ["<i2", ">i2"])
def test_voxels_come_back_whatever_their_order_in_memory(
    tmp_path: Path, name: str, shape: tuple[int, ...], laid: Callable[[NDArray[Any]], NDArray[Any]], dtype: str
) -> None:
    array = laid(numbered(shape, dtype))
    write_nifti(nib.nifti1.Nifti1Image(array, AFFINE), tmp_path / name)
    image = read(tmp_path / name)
    assert image.shape == shape
    assert np.asanyarray(image.dataobj).tolist() == array.tolist()
    assert image.affine.tolist() == AFFINE.tolist()
    assert len(content_of(tmp_path / name)) == 352 + array.nbytes
    assert (tmp_path / name).read_bytes().startswith(b"\x1f\x8b") == name.lower().endswith(".gz")


@pytest.mark.parametrize("dtype", ["u1", "i1", "<u2", "<i4", ">u4", "<f4", ">f8", "<c8"])
@pytest.mark.parametrize("name", NAMES[:2])
def test_every_type_of_number_comes_back(tmp_path: Path, name: str, dtype: str) -> None:
    array = numbered((3, 2, 2), dtype)
    write_nifti(nib.nifti1.Nifti1Image(array, AFFINE), tmp_path / name)
    loaded = np.asanyarray(read(tmp_path / name).dataobj)
    assert loaded.tolist() == array.tolist()
    assert loaded.dtype.newbyteorder("=") == array.dtype.newbyteorder("=")


@pytest.mark.parametrize("laid", [np.ascontiguousarray, np.asfortranarray])
def test_colours_come_back(tmp_path: Path, laid: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
    array = laid(numbered((3, 2, 2 * 3), "u1").reshape(3, 2, 2, 3).copy().view(RGB24)[..., 0])
    write_nifti(nib.nifti1.Nifti1Image(array, AFFINE), tmp_path / "x.nii")
    image = read(tmp_path / "x.nii")
    assert int(image.header["datatype"]) == 128
    assert np.asanyarray(image.dataobj).tolist() == array.tolist()


@pytest.mark.parametrize("laid", [np.ascontiguousarray, np.asfortranarray])
def test_a_large_image_comes_back(tmp_path: Path, laid: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
    array = laid(numbered((129, 127, 150), "<u2") % 251)
    assert array.nbytes > 4 << 20
    write_nifti(nib.nifti1.Nifti1Image(array, AFFINE), tmp_path / "x.nii.gz")
    loaded = np.asanyarray(read(tmp_path / "x.nii.gz").dataobj)
    assert np.array_equal(loaded, array)
    assert (tmp_path / "x.nii.gz").stat().st_size < array.nbytes


@pytest.mark.parametrize("little", [True, False])
def test_a_file_has_a_scale_of_one_and_the_byte_order_of_this_machine(tmp_path: Path, *, little: bool) -> None:
    header = nib.nifti1.Nifti1Header(endianness="<" if little else ">")
    image = nib.nifti1.Nifti1Image(numbered((3, 2, 2)), AFFINE, header)
    image.header.set_slope_inter(2, 7)
    image.header["vox_offset"] = 416
    image.header.set_xyzt_units("mm", "sec")
    image.header["descrip"] = b"kept"
    write_nifti(image, tmp_path / "x.nii")
    written = read(tmp_path / "x.nii").header
    raw = (tmp_path / "x.nii").read_bytes()
    assert np.frombuffer(raw[:4], "=i4")[0] == 348
    assert np.frombuffer(raw[108:120], "=f4").tolist() == [352, 1, 0]  # offset, slope, intercept
    assert raw[344:352] == b"n+1\0\0\0\0\0"
    assert (written.get_xyzt_units(), bytes(written["descrip"]).rstrip(b"\0")) == (("mm", "sec"), b"kept")
    assert image.header.get_slope_inter() == (2, 7)  # the image in memory stays as it was


def test_one_image_makes_one_file_at_any_time(tmp_path: Path) -> None:
    for name in ("a.nii.gz", "b.nii.gz"):
        write_nifti(nib.nifti1.Nifti1Image(numbered((5, 4, 3)), AFFINE), tmp_path / name)
    packed = (tmp_path / "a.nii.gz").read_bytes()
    assert packed == (tmp_path / "b.nii.gz").read_bytes()
    assert packed[4:8] == bytes(4)  # gzip header without a time
    assert not packed[3] & 8  # gzip header without a name


def image_of_texts() -> Any:
    class Texts:
        """As an image that another library made."""

        dataobj = np.array([[["a"]]])
        header = nib.nifti1.Nifti1Header()

    return Texts()


def test_what_does_not_fit_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(NiftiConversionError, match=r"<U1 and shape \(1, 1, 1\) does not fit"):
        write_nifti(image_of_texts(), tmp_path / "x.nii")
    with pytest.raises(InvalidNameError):
        write_nifti(nib.nifti1.Nifti1Image(numbered((3, 2, 2)), AFFINE), tmp_path / "x.img")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_is_packed_as_its_name_says(tmp_path: Path, name: str) -> None:
    content = bytes(nib.nifti1.Nifti1Image(numbered((50, 40, 300)), AFFINE).to_bytes())
    (tmp_path / "source.nii").write_bytes(content)
    copy_nifti(tmp_path / "source.nii", tmp_path / "new" / name)
    assert content_of(tmp_path / "new" / name) == content
    assert (tmp_path / "new" / name).read_bytes().startswith(b"\x1f\x8b") == name.lower().endswith(".gz")
    assert (tmp_path / "source.nii").read_bytes() == content


def test_a_copy_under_another_extension_is_refused(tmp_path: Path) -> None:
    (tmp_path / "source.nii").write_bytes(b"x")
    with pytest.raises(InvalidNameError):
        copy_nifti(tmp_path / "source.nii", tmp_path / "x.img")
    assert [path.name for path in tmp_path.iterdir()] == ["source.nii"]


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a.nii", "a"),
        ("a.nii.gz", "a"),
        ("A.NII.GZ", "A"),
        ("a.b.nii", "a.b"),
        ("a.nii.nii.gz", "a.nii"),
        ("ä.Nii", "ä"),
    ],
)
def test_the_stem_of_a_name(tmp_path: Path, name: str, stem: str) -> None:
    assert nifti_stem(tmp_path / name) == stem
    assert sidecar_path(tmp_path / name) == tmp_path / f"{stem}.json"
    assert sidecar_path(tmp_path / name, ".bval") == tmp_path / f"{stem}.bval"


@pytest.mark.parametrize("name", ["a.img", "a.gz", "nii", "a.nii.zip", ".nii"])
def test_other_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidNameError, match="ends in"):
        nifti_stem(tmp_path / name)


def test_json_keeps_order_and_letters(tmp_path: Path) -> None:
    write_json(tmp_path / "new" / "x.json", {"b": ["Schädel", 1.5], "a": {"c": None}})
    text = (tmp_path / "new" / "x.json").read_bytes().decode("utf-8")
    assert text == '{\n  "b": [\n    "Schädel",\n    1.5\n  ],\n  "a": {\n    "c": null\n  }\n}\n'
    assert list(json.loads(text)) == ["b", "a"]


def test_numbers_that_json_has_not_are_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_one_kind_of_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    inside = tmp_path / "file"
    image = nib.nifti1.Nifti1Image(numbered((3, 2, 2)), AFFINE)
    image.to_filename(tmp_path / "source.nii")
    table = GradientTable((0.0,), ())
    for write in (
        lambda: write_nifti(image, inside / "x.nii"),
        lambda: write_nifti(image, inside / "x.nii.gz"),
        lambda: copy_nifti(tmp_path / "source.nii", inside / "x.nii"),
        lambda: write_json(inside / "x.json", {}),
        lambda: write_gradients(table, AFFINE, inside / "x.nii"),
    ):
        with pytest.raises(NiftiConversionError):
            write()


def directions_of(path: Path) -> NDArray[np.float64]:
    return np.array([[float(word) for word in line.split(" ")] for line in path.read_text().splitlines()])


@pytest.mark.parametrize("orientation", all_orientations(), ids=str)
@pytest.mark.parametrize("sign", [1, -1])
def test_gradients_are_told_along_the_axes_of_the_image(
    tmp_path: Path, orientation: tuple[float, ...], sign: int
) -> None:
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    normal = sign * np.cross(row, column)
    affine = stack_affine(orientation, [0.5, 0.75], [1, 2, 3], 3 * normal)
    directions = np.array([[0.0, 0, 0], [1, 0, 0], [0.6, -0.8, 0], [0, 0.28, 0.96]])
    table = GradientTable((0.0, 1000.0, 2500.5, 700.0), tuple(map(tuple, directions.tolist())))
    written = write_gradients(table, affine, tmp_path / "x.nii.gz")
    assert written == [tmp_path / "x.bval", tmp_path / "x.bvec"]
    assert written[0].read_text() == "0 1000 2500.5 700\n"
    expected = np.array([directions @ row, directions @ column, directions @ normal])
    if np.linalg.det(affine[:3, :3]) > 0:  # FSL turns the first axis of an image that is not radiological
        expected[0] *= -1
    np.testing.assert_allclose(directions_of(written[1]), expected, atol=1e-6)
    assert "-0 " not in written[1].read_text()
    assert "-0\n" not in written[1].read_text()


def test_gradients_of_tilted_slices_add_up_to_the_direction(tmp_path: Path) -> None:
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0.5, 0, 0], [0, 0.5, 0], [0.9, 0, 3.0]]).T
    write_gradients(GradientTable((9.0,), ((0.6, 0.48, 0.64),)), affine, tmp_path / "x.nii")
    along = directions_of(tmp_path / "x.bvec")[:, 0] * [-1, 1, 1]
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    np.testing.assert_allclose(axes @ along, (0.6, 0.48, 0.64), atol=1e-5)


def test_weights_without_directions_are_written_alone(tmp_path: Path) -> None:
    assert write_gradients(GradientTable((0.0, 500.0), ()), AFFINE, tmp_path / "x.nii") == [tmp_path / "x.bval"]
    assert [path.name for path in tmp_path.iterdir()] == ["x.bval"]
