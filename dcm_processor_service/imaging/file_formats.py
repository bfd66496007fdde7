"""Reads and writes files that hold one value, by extension: NIfTI images, arrays, datasets, JSON and text."""

from __future__ import annotations

import gzip
import json
import zipfile
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any

import nibabel
import numpy as np
import pydicom
from nibabel.spatialimages import SpatialImage

from dcm_processor_service.codec import to_normal
from dcm_processor_service.disk import file_faults, open_to_read, write_whole
from dcm_processor_service.errors import DcmProcessorError, StoredValueError, UnsupportedValueError
from dcm_processor_service.imaging.headers.instance_file import contained

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import BinaryIO

__all__ = ["read_value", "write_value"]


def write_value(value: object, path: Path) -> None:
    """Writes a value in the format of the path's extension.

    Raises:
        UnsupportedValueError: The extension is not known, or the value does not fit it.
        LocalFileError: The file cannot be written.
    """
    writer, _reader = _format_of(path)
    with _library_faults(UnsupportedValueError, f"{path.name!r} takes no {type(value).__name__} like this one"):
        writer(value, path)


def read_value(path: Path) -> Any:
    """Reads a value into memory in the format of the path's extension; the value does not need the file afterwards.

    Raises:
        UnsupportedValueError: The extension is not known.
        StoredValueError: The content is not what the extension says, or takes more memory than there is.
        LocalFileError: The file cannot be opened.
    """
    _writer, reader = _format_of(path)
    message = (
        f"the file {path.name!r} does not hold what its extension says; store it again with save, or read its bytes"
    )
    with open_to_read(path) as source, _library_faults(StoredValueError, message):
        return reader(source)


@contextmanager
def _library_faults(kind: type[DcmProcessorError], sentence: str) -> Iterator[None]:
    """Turns any exception of a library into one error of this package, with that exception as its cause."""
    try:
        yield
    except DcmProcessorError:
        raise
    except Exception as error:
        raise kind(f"{sentence} ({type(error).__name__}, kept as the cause)") from error


def _mismatch(path: Path, wanted: str, value: object) -> UnsupportedValueError:
    return UnsupportedValueError(f"{path.name!r} takes {wanted}, not a {type(value).__name__}")


def _write_nifti(value: object, path: Path) -> None:
    if not isinstance(value, SpatialImage):
        raise _mismatch(path, "a nibabel image", value)
    with file_faults(path, "written", faults=(OSError,)):
        nibabel.save(value, path)


def _read_nifti(source: BinaryIO) -> Any:
    image = nibabel.Nifti1Image.from_bytes(source.read())
    image.dataobj[..., -1:]  # reads the last voxels, so that a cut-off file fails here and not in the callback
    return image


def _read_gzipped_nifti(source: BinaryIO) -> Any:
    return _read_nifti(BytesIO(gzip.decompress(source.read())))


def _write_array(value: object, path: Path) -> None:
    array = np.asanyarray(value)
    if array.dtype.hasobject:
        raise _mismatch(path, "an array of numbers", value)
    with write_whole(path) as sink:  # numpy would write VOLUME.NPY, if given that path, to VOLUME.NPY.npy
        np.save(sink, array, allow_pickle=False)


def _write_arrays(value: object, path: Path) -> None:
    if not isinstance(value, dict) or not all(
        isinstance(name, str) and isinstance(array, np.ndarray) for name, array in value.items()
    ):
        raise _mismatch(path, "a dictionary of arrays", value)
    if any(array.dtype.hasobject for array in value.values()):
        raise _mismatch(path, "arrays of numbers", value)
    # numpy.savez cannot store an array named "file": it takes such names as its own parameters
    with write_whole(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in value.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as sink:
                np.save(sink, array, allow_pickle=False)


def _read_array(source: BinaryIO) -> np.ndarray[Any, Any]:
    return np.lib.format.read_array(source, allow_pickle=False)  # numpy.load would accept an .npz archive as well


def _read_arrays(source: BinaryIO) -> dict[str, np.ndarray[Any, Any]]:
    with np.load(source, allow_pickle=False) as archive:
        arrays = dict(archive)
    if not all(isinstance(array, np.ndarray) for array in arrays.values()):
        raise StoredValueError("the archive holds something else than arrays; read its bytes")
    return arrays


def _write_dataset(value: object, path: Path) -> None:
    if not isinstance(value, pydicom.Dataset):
        raise _mismatch(path, "a pydicom dataset", value)
    with write_whole(path) as file, contained():  # hides pydicom's warnings, which may quote patient data
        value.save_as(file, enforce_file_format=True)


def _read_dataset(source: BinaryIO) -> pydicom.Dataset:
    with contained():
        return pydicom.dcmread(source)


def _write_json(value: object, path: Path) -> None:
    normal = to_normal(value, limited=False)  # raises an error that names the place of a value that does not fit
    try:
        text = json.dumps(normal, ensure_ascii=False, indent=2, allow_nan=False)
    except (TypeError, ValueError) as error:  # session data may hold bytes, datetimes and NaN; JSON may not
        raise UnsupportedValueError(
            f"{path.name!r} takes JSON: text, finite numbers, lists and dictionaries"
        ) from error
    _write_text(text + "\n", path)


def _write_text(value: object, path: Path) -> None:
    if not isinstance(value, str):
        raise _mismatch(path, "text", value)
    content = value.encode()
    with write_whole(path) as file:
        file.write(content)


def _read_text(source: BinaryIO) -> str:
    return source.read().decode()


_TEXT = (_write_text, _read_text)
_FORMATS: dict[str, tuple[Callable[[object, Path], None], Callable[[BinaryIO], Any]]] = {
    ".nii": (_write_nifti, _read_nifti),
    ".nii.gz": (_write_nifti, _read_gzipped_nifti),
    ".npy": (_write_array, _read_array),
    ".npz": (_write_arrays, _read_arrays),
    ".dcm": (_write_dataset, _read_dataset),
    ".json": (_write_json, json.load),
    ".txt": _TEXT,
    ".md": _TEXT,
    ".csv": _TEXT,
    ".html": _TEXT,
}


def _format_of(path: Path) -> tuple[Callable[[object, Path], None], Callable[[BinaryIO], Any]]:
    name = path.name.lower()
    for extension in sorted(_FORMATS, key=len, reverse=True):
        if name.endswith(extension):
            return _FORMATS[extension]
    raise UnsupportedValueError(
        f"{path.name!r} has no extension that save and load know ({', '.join(_FORMATS)}); use put and read for bytes"
    )
