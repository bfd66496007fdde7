"""Files that hold one value, by extension: NIfTI images, arrays, datasets, JSON and text."""

from __future__ import annotations

import gzip
import json
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import nibabel
import numpy as np
import pydicom
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError, SpatialImage
from nibabel.wrapstruct import WrapStructError
from pydicom.errors import InvalidDicomError

from dcm_processor_service.codec import to_normal
from dcm_processor_service.errors import StoredValueError, UnsupportedValueError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["read_value", "write_value"]


_DAMAGE = (
    ValueError,
    EOFError,
    OSError,
    KeyError,
    AttributeError,
    NotImplementedError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    ImageFileError,
    HeaderDataError,
    WrapStructError,
    InvalidDicomError,
)
"""What the libraries below raise over damaged content."""


def write_value(value: object, path: Path) -> None:
    """Writes a value as the extension says.

    Raises:
        UnsupportedValueError: The extension is none of those known, or the value does not fit it.
    """
    writer, _reader = _format_of(path)
    try:
        writer(value, path)
    except UnsupportedValueError:
        raise
    except (ValueError, TypeError, AttributeError, KeyError, HeaderDataError) as error:
        raise UnsupportedValueError(
            f"{path.name!r} takes no {type(value).__name__} like this one: writing it ended in a "
            f"{type(error).__name__}, kept as the cause"
        ) from error


def read_value(path: Path) -> Any:
    """Reads a value that does not depend on the file afterwards.

    Raises:
        UnsupportedValueError: The extension is none of those known.
        StoredValueError: The content is not what the extension says.
    """
    _writer, reader = _format_of(path)
    try:
        return reader(path)
    except _DAMAGE as error:
        raise StoredValueError(
            f"the file {path.name!r} does not hold what its extension says; store it again with save, or read its bytes"
        ) from error


def _mismatch(path: Path, wanted: str, value: object) -> UnsupportedValueError:
    return UnsupportedValueError(f"{path.name!r} takes {wanted}, not a {type(value).__name__}")


def _write_nifti(value: object, path: Path) -> None:
    if not isinstance(value, SpatialImage):
        raise _mismatch(path, "a nibabel image", value)
    nibabel.save(value, path)


def _read_nifti(path: Path) -> Any:
    content = path.read_bytes()
    if path.suffix.lower() == ".gz":
        content = gzip.decompress(content)
    image = nibabel.Nifti1Image.from_bytes(content)
    image.dataobj[..., -1:]  # the last voxels: content that was cut off shows here, not when the callback computes
    return image


def _write_array(value: object, path: Path) -> None:
    array = np.asanyarray(value)
    if array.dtype.hasobject:
        raise _mismatch(path, "an array of numbers", value)
    with path.open("wb") as sink:  # given a path, numpy would add an extension to VOLUME.NPY
        np.save(sink, array, allow_pickle=False)


def _write_arrays(value: object, path: Path) -> None:
    if not isinstance(value, dict) or not all(
        isinstance(name, str) and isinstance(array, np.ndarray) for name, array in value.items()
    ):
        raise _mismatch(path, "a dictionary of arrays", value)
    if any(array.dtype.hasobject for array in value.values()):
        raise _mismatch(path, "arrays of numbers", value)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:  # numpy's own has names that it takes for itself
        for name, array in value.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as sink:
                np.save(sink, array, allow_pickle=False)


def _read_arrays(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    with path.open("rb") as source, np.load(source, allow_pickle=False) as arrays:
        return dict(arrays)


def _write_dataset(value: object, path: Path) -> None:
    if not isinstance(value, pydicom.Dataset):
        raise _mismatch(path, "a pydicom dataset", value)
    value.save_as(path, enforce_file_format=True)


def _write_json(value: object, path: Path) -> None:
    normal = to_normal(value, limited=False)  # its refusal names the place
    try:
        text = json.dumps(normal, ensure_ascii=False, indent=2, allow_nan=False)
    except (TypeError, ValueError) as error:  # bytes, moments and NaN are session data but not JSON
        raise UnsupportedValueError(
            f"{path.name!r} takes JSON: text, finite numbers, lists and dictionaries"
        ) from error
    path.write_text(text + "\n", encoding="utf-8")


def _write_text(value: object, path: Path) -> None:
    if not isinstance(value, str):
        raise _mismatch(path, "text", value)
    path.write_bytes(value.encode())


def _read_text(path: Path) -> str:
    return path.read_bytes().decode()


_TEXT = (_write_text, _read_text)
_FORMATS: dict[str, tuple[Callable[[object, Path], None], Callable[[Path], Any]]] = {
    ".nii": (_write_nifti, _read_nifti),
    ".nii.gz": (_write_nifti, _read_nifti),
    ".npy": (_write_array, lambda path: np.load(path, allow_pickle=False)),
    ".npz": (_write_arrays, _read_arrays),
    ".dcm": (_write_dataset, pydicom.dcmread),
    ".json": (_write_json, lambda path: json.loads(path.read_text(encoding="utf-8"))),
    ".txt": _TEXT,
    ".md": _TEXT,
    ".csv": _TEXT,
    ".html": _TEXT,
}


def _format_of(path: Path) -> tuple[Callable[[object, Path], None], Callable[[Path], Any]]:
    name = path.name.lower()
    for extension in sorted(_FORMATS, key=len, reverse=True):
        if name.endswith(extension):
            return _FORMATS[extension]
    raise UnsupportedValueError(
        f"{path.name!r} has no extension that save and load know ({', '.join(_FORMATS)}); use put and read for bytes"
    )
