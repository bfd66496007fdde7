"""Writes NIfTI files whole or not at all, plain or gzipped as their name says.

The library ISA-L does the gzipping, many times as fast as zlib, into files of nearly the same size. A file appears
under its name only after all of it was written, so a reader never sees half of one.
"""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
from isal import igzip, igzip_threaded

from dcm_processor_service.disk import write_whole
from dcm_processor_service.errors import InvalidNameError, NiftiConversionError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import BinaryIO

    import nibabel as nib
    from numpy.typing import NDArray

__all__ = ["copy_nifti", "nifti_stem", "sidecar_path", "write_json", "write_nifti"]

_COMPRESSION_LEVEL = 1
_THREADED_FROM_BYTES = 4 << 20
_PIECE_BYTES = 1 << 20
_PIECES_PER_IMAGE = 32
_MOST_THREADS = 4
_SUFFIXES = (".nii.gz", ".nii")


def nifti_stem(path: Path) -> str:
    """Returns the name of a NIfTI file without ``.nii`` or ``.nii.gz``.

    Raises:
        InvalidNameError: The name has neither ending.

    Example:
        >>> from pathlib import Path
        >>> nifti_stem(Path("out.nii/t1.v2.nii.gz"))
        't1.v2'
    """
    for suffix in _SUFFIXES:
        if path.name.lower().endswith(suffix) and len(path.name) > len(suffix):
            return path.name[: -len(suffix)]
    raise InvalidNameError(f"a NIfTI file name ends in .nii or .nii.gz, {path.name!r} does not: rename it")


def sidecar_path(path: Path, suffix: str = ".json") -> Path:
    """Returns the path of a file beside a NIfTI file, with the same stem and another suffix.

    Example:
        >>> from pathlib import Path
        >>> str(sidecar_path(Path("a.nii/t1.nii.gz")))
        'a.nii/t1.json'
    """
    return path.with_name(nifti_stem(path) + suffix)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a JSON file whole or not at all: in UTF-8, indented, with the keys in their order in ``content``.

    Raises:
        NiftiConversionError: The file cannot be written.
    """
    with write_whole(path, error=NiftiConversionError) as file:
        file.write((json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())


def write_nifti(image: nib.nifti1.Nifti1Image, path: Path) -> None:
    """Writes an image whole or not at all: gzipped if its name ends in ``.nii.gz``, plain if it ends in ``.nii``.

    The values of the array are written unchanged, without a scaling factor.

    Raises:
        InvalidNameError: The name has neither ending.
        NiftiConversionError: The file cannot be written, or NIfTI has no such type or shape of array.
    """
    nifti_stem(path)
    array = np.asanyarray(image.dataobj)
    header = image.header.copy()
    try:
        header.set_data_dtype(array.dtype)
        header.set_data_shape(array.shape)
    except Exception as error:
        raise NiftiConversionError(
            f"an array of {array.dtype} and shape {array.shape} does not fit NIfTI: use a type of 8 to 32 bits"
        ) from error
    header.set_slope_inter(1, 0)
    header["vox_offset"] = 352
    if header.endianness != ("<" if array.dtype.newbyteorder("=").byteorder != ">" else ">"):
        header = header.as_byteswapped()
    head = header.binaryblock + b"\0\0\0\0"
    with write_whole(path, error=NiftiConversionError) as file:
        if path.name.lower().endswith(".gz"):
            _write_gzipped(file, head, array)
        else:
            _write_parts(file, head, array)


def _write_parts(file: BinaryIO | igzip.IGzipFile, head: bytes, array: NDArray[Any]) -> None:
    file.write(head)
    # In NIfTI files the first axis varies fastest. If the array in memory is in this order, its transpose is one
    # contiguous block, and need not be copied.
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    if native.flags.f_contiguous:
        content = native.T.reshape(-1).view(np.uint8).data  # as bytes, because there is no buffer format for colours
        for begin in range(0, len(content), _PIECE_BYTES):  # small pieces, so that the compressor needs little memory
            file.write(content[begin : begin + _PIECE_BYTES])
        return
    for last in range(native.shape[-1]):
        file.write(native[..., last].tobytes(order="F"))


def _write_gzipped(file: BinaryIO, head: bytes, array: NDArray[Any]) -> None:
    if array.nbytes >= _THREADED_FROM_BYTES:
        # each thread keeps a few pieces in memory, so the pieces of a small image are small too
        piece_bytes = min(_PIECE_BYTES, array.nbytes // _PIECES_PER_IMAGE)
        threads = min(os.cpu_count() or 1, _MOST_THREADS)
        with igzip_threaded.open(
            file, "wb", compresslevel=_COMPRESSION_LEVEL, threads=threads, block_size=piece_bytes
        ) as packed:
            _write_parts(packed, head, array)
    else:
        with igzip.IGzipFile(filename="", mode="wb", compresslevel=_COMPRESSION_LEVEL, fileobj=file, mtime=0) as packed:
            _write_parts(packed, head, array)


def copy_nifti(source: Path, destination: Path) -> None:
    """Copies an uncompressed NIfTI file whole or not at all; gzips the copy if its name ends in ``.nii.gz``.

    Raises:
        InvalidNameError: The name of the copy ends neither in ``.nii`` nor in ``.nii.gz``.
        NiftiConversionError: The copy cannot be written.
    """
    nifti_stem(destination)
    with write_whole(destination, error=NiftiConversionError) as file, source.open("rb") as plain:
        if destination.name.lower().endswith(".gz"):
            with igzip_threaded.open(file, "wb", compresslevel=_COMPRESSION_LEVEL, threads=1) as packed:
                shutil.copyfileobj(plain, packed, _PIECE_BYTES)
        else:
            shutil.copyfileobj(plain, file, _PIECE_BYTES)
