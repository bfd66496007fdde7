"""``files.save`` and ``files.load``: each extension accepts one kind of value, and refuses others with one error."""

from __future__ import annotations

import gzip
import io
from typing import TYPE_CHECKING, Any

import nibabel
import numpy as np
import pydicom
import pytest
from pydantic import BaseModel

from dcm_processor_service.errors import LocalFileError, StoredValueError, UnsupportedValueError
from dcm_processor_service.imaging.file_formats import write_value
from dcm_processor_service.testing import fake_context, synthetic_series

if TYPE_CHECKING:
    from pathlib import Path

    from dcm_processor_service.session.files import Files


class Finding(BaseModel):
    label: str


@pytest.fixture
def files() -> Files:
    return fake_context().session.files


AFFINE = np.array([[-2.0, 0, 0, 10], [0, 0, 3, 20], [0, 4, 0, 30], [0, 0, 0, 1]])


def image(dtype: Any = np.int16) -> nibabel.Nifti1Image:
    return nibabel.Nifti1Image(np.arange(24, dtype=dtype).reshape(2, 3, 4), AFFINE)


@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz", "V.NII", "V.NII.GZ", "masks/v.1.nii.gz"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_an_image_comes_back_with_its_geometry(files: Files, name: str, dtype: Any) -> None:
    files.save(name, image(dtype))
    assert (files.read(name)[:2] == b"\x1f\x8b") == name.lower().endswith(".gz")
    loaded = files.load(name)
    assert np.array_equal(np.asanyarray(loaded.dataobj), image(dtype).dataobj)
    assert np.array_equal(loaded.affine, AFFINE)
    assert loaded.get_data_dtype() == dtype
    files.delete(name)
    assert loaded.get_fdata().sum() == sum(range(24))  # the image does not need the file any more


@pytest.mark.parametrize("name", ["a.npy", "A.NPY"])
@pytest.mark.parametrize(
    "value", [np.arange(6).reshape(2, 3), np.array(3.5), np.array([True]), np.zeros((0, 2)), [1, 2]]
)
def test_an_array_comes_back(files: Files, name: str, value: Any) -> None:
    files.save(name, value)
    loaded = files.load(name)
    assert np.array_equal(loaded, value)
    assert loaded.dtype == np.asanyarray(value).dtype


@pytest.mark.parametrize("name", ["a.npz", "A.NPZ"])
def test_arrays_come_back_whatever_their_names(files: Files, name: str) -> None:
    arrays = {key: np.arange(3) for key in ("x", "file", "args", "allow_pickle", "a b", "größe", "arr_0", "x.npy")}
    files.save(name, arrays)
    loaded = files.load(name)
    assert {key: array.tolist() for key, array in loaded.items()} == {key: [0, 1, 2] for key in arrays}
    files.save("empty.npz", {})
    assert files.load("empty.npz") == {}


def test_a_dataset_comes_back(files: Files) -> None:
    (dataset,) = synthetic_series(slices=1)
    stored = files.save("d.dcm", dataset)
    assert stored.content_type == "application/dicom"
    loaded = files.load("d.dcm")
    files.delete("d.dcm")
    assert np.array_equal(loaded.pixel_array, dataset.pixel_array)
    assert loaded.SOPInstanceUID == dataset.SOPInstanceUID


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ({"ü": [1, None, 0.5, True, "x"]}, {"ü": [1, None, 0.5, True, "x"]}),
        ([Finding(label="cyst")], [{"label": "cyst"}]),
        (np.arange(3), [0, 1, 2]),
        ("text", "text"),
        (None, None),
    ],
)
def test_json_comes_back(files: Files, value: object, read: object) -> None:
    assert files.save("j.json", value).content_type in {"application/json", "text/plain"}
    assert files.load("j.json") == read


def test_json_is_written_for_people(files: Files) -> None:
    files.save("j.json", {"b": ["ü"], "a": 1})
    assert files.read("j.json").decode("utf-8") == '{\n  "b": [\n    "ü"\n  ],\n  "a": 1\n}\n'


def test_json_has_no_limit_of_a_document(files: Files) -> None:
    large = np.zeros(30_000)
    files.save("large.json", {"values": large})
    assert len(files.load("large.json")["values"]) == 30_000
    text = "x" * (17 * 1024 * 1024)
    files.save("large.json", text)
    assert files.load("large.json") == text


@pytest.mark.parametrize("name", ["t.txt", "t.md", "t.csv", "t.html", "T.TXT"])
@pytest.mark.parametrize("text", ["", "Grüße\r\n\n", "山田\0"])
def test_text_comes_back_to_the_character(files: Files, name: str, text: str) -> None:
    files.save(name, text)
    assert files.load(name) == text
    assert files.read(name) == text.encode()


def incomplete() -> pydicom.Dataset:
    dataset = pydicom.Dataset()
    dataset.PatientID = "SECRET"
    return dataset


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("a.nii", [1], "'a.nii' takes a nibabel image, not a list"),
        ("a.nii.gz", np.zeros((2, 2, 2)), "takes a nibabel image, not a ndarray"),
        ("a.npy", [object()], "takes an array of numbers"),
        ("a.npy", [[1], [1, 2]], "takes no list like this one"),
        ("a.npy", None, "takes an array of numbers"),
        ("a.npz", np.zeros(3), "takes a dictionary of arrays"),
        ("a.npz", {"x": [1]}, "takes a dictionary of arrays"),
        ("a.npz", {1: np.zeros(1)}, "takes a dictionary of arrays"),
        ("a.npz", {"x": np.array([None])}, "takes arrays of numbers"),
        ("a.dcm", {}, "takes a pydicom dataset, not a dict"),
        ("a.dcm", incomplete(), "takes no Dataset like this one"),
        ("a.json", b"x", "takes JSON"),
        ("a.json", [float("nan")], "takes JSON"),
        ("a.json", {"a": object()}, r"value['a'] is a object"),
        ("a.txt", 1, "takes text, not a int"),
        ("a.txt", b"x", "takes text, not a bytes"),
        ("a.txt", "\ud800", "takes no str like this one"),
        ("a.odd", "x", "no extension that save and load know (.nii, .nii.gz"),
        ("nii", image(), "no extension"),
    ],
    ids=lambda item: item if isinstance(item, str) else type(item).__name__,
)
def test_what_does_not_fit_is_refused_by_one_kind_of_error(
    files: Files, name: str, value: object, sentence: str
) -> None:
    with pytest.raises(UnsupportedValueError) as caught:
        files.save(name, value)
    assert sentence in str(caught.value)
    assert "SECRET" not in str(caught.value)
    assert files.list() == []


def cut_image() -> bytes:
    return bytes(image().to_bytes()[:-4])


def cut_gzip() -> bytes:
    return gzip.compress(image().to_bytes(), mtime=0)[:-20]


def bad_gzip() -> bytes:
    content = bytearray(gzip.compress(np.random.default_rng(0).bytes(5000), mtime=0))
    content[100:200] = bytes(100)
    return bytes(content)


def cut_array() -> bytes:
    content = io.BytesIO()
    np.save(content, np.arange(100))
    return content.getvalue()[:-8]


def cut_archive() -> bytes:
    content = io.BytesIO()
    np.savez_compressed(content, a=np.arange(100))
    return content.getvalue()[:-30]


def damaged_archive() -> bytes:
    content = io.BytesIO()
    np.savez(content, a=np.arange(100))
    return content.getvalue().replace(b"descr", b"dexcr")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.nii", b""),
        ("a.nii", b"no image"),
        ("a.nii", bytes(348)),
        ("a.nii", cut_image()),
        ("a.nii", gzip.compress(image().to_bytes(), mtime=0)),
        ("a.nii.gz", image().to_bytes()),
        ("a.nii.gz", cut_gzip()),
        ("a.nii.gz", bad_gzip()),
        ("a.nii.gz", gzip.compress(b"no image", mtime=0)),
        ("a.nii.gz", gzip.compress(cut_image(), mtime=0)),
        ("a.npy", b""),
        ("a.npy", b"no array"),
        ("a.npy", cut_array()),
        ("a.npy", b"\x93NUMPY\x01\x00\xff\xff{"),
        ("a.npz", b""),
        ("a.npz", b"PK\x03\x04no archive"),
        ("a.npz", cut_archive()),
        ("a.npz", damaged_archive()),
        ("a.dcm", b""),
        ("a.dcm", b"no DICOM"),
        ("a.json", b""),
        ("a.json", b"\xff"),
        ("a.json", b"{"),
        ("a.txt", b"\xff"),
    ],
)
def test_damaged_content_is_reported_by_one_kind_of_error(files: Files, name: str, content: bytes) -> None:
    files.put(name, content)
    with pytest.raises(StoredValueError, match="does not hold what its extension says") as caught:
        files.load(name)
    assert caught.value.__cause__ is not None


def test_nothing_is_ever_unpickled(files: Files) -> None:
    content = io.BytesIO()
    np.save(content, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    files.put("a.npy", content.getvalue())
    with pytest.raises(StoredValueError):
        files.load("a.npy")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("a.nii", image()),
        ("a.nii.gz", image()),
        ("a.npy", [1]),
        ("a.npz", {"a": np.zeros(2)}),
        ("a.dcm", synthetic_series(slices=1)[0]),
        ("a.json", [1]),
        ("a.txt", "x"),
    ],
    ids=["nii", "nii.gz", "npy", "npz", "dcm", "json", "txt"],
)
def test_a_file_that_cannot_be_written_says_so(tmp_path: Path, name: str, value: object) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LocalFileError, match="cannot be written"):
        write_value(value, tmp_path / "file" / name)
