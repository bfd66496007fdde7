"""Reading and converting compressed series: a part of the synthetic CT, encoded without loss.

The bound of each row is the decoding alone, in as many processes as there are processors. SimpleITK decodes JPEG 2000
in threads of its own, so it uses several processors, too.
"""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import SimpleITK as sitk  # noqa: N813 its own name for itself
from dcm2niix import bin as dcm2niix_program
from pydicom import dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.encoders.base import get_encoder
from pydicom.uid import UID, JPEG2000Lossless, JPEGLSLossless, RLELossless

from dcm_processor_service.imaging.nifti.convert import AutoConverter
from dcm_processor_service.imaging.series.order.slice_order import order_files
from dcm_processor_service.imaging.volumes.read import read_volume
from tests.benchmarks.imaging_rows import fresh
from tests.benchmarks.measuring import MIB, Row, Way, process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["compressed_rows"]

SLICES = 100


def compressed_rows(paths: list[Path], scratch: Path) -> Iterator[Row]:
    """Yields the rows over compressed series; ours decodes in processes, and compares a part with a second decoder."""
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as processes:
        yield from _rows(paths, scratch, processes)


def _rows(paths: list[Path], scratch: Path, processes: ProcessPoolExecutor) -> Iterator[Row]:
    chosen = paths[:SLICES]
    jpeg_ls = encoded(chosen, fresh(scratch / "jpeg-ls"), JPEGLSLossless, imagecodecs.jpegls_encode)
    size = f"{len(chosen)} x 512 x 512 of 12 bits, {sum(path.stat().st_size for path in jpeg_ls) / MIB:.0f} MiB"

    def dcm2niix(files: list[Path]) -> Any:
        out = fresh(scratch / "dcm2niix")
        return process([dcm2niix_program, "-f", "x", "-b", "n", "-z", "n", "-o", out, files[0].parent])

    yield Row(
        "jpeg-ls",
        f"converting JPEG-LS files to .nii, {size}",
        Way(
            "native engine",
            lambda: AutoConverter().convert(jpeg_ls, fresh(scratch / "ours") / "x.nii", engine="native"),
        ),
        Way("dcm2niix -z n (a process)", lambda: dcm2niix(jpeg_ls)),
        decoding_alone(jpeg_ls, "jpegls_decode", processes),
        target="0.77",
    )
    rle = encoded(chosen, fresh(scratch / "rle"), RLELossless, as_rle)
    size = f"{len(chosen)} x 512 x 512 of 12 bits, {sum(path.stat().st_size for path in rle) / MIB:.0f} MiB"
    yield Row(
        "rle",
        f"RLE files to .nii, {size}",
        Way("native engine", lambda: AutoConverter().convert(rle, fresh(scratch / "ours") / "x.nii", engine="native")),
        Way("dcm2niix -z n (a process)", lambda: dcm2niix(rle)),
    )
    jpeg_2000 = encoded(chosen, fresh(scratch / "jpeg-2000"), JPEG2000Lossless, as_jpeg_2000)
    size = f"{len(chosen)} x 512 x 512 of 12 bits, {sum(path.stat().st_size for path in jpeg_2000) / MIB:.0f} MiB"
    yield Row(
        "jpeg-2000",
        f"reading JPEG 2000 files into voxels in memory, {size}",
        Way("read_volume", lambda: read_volume(jpeg_2000)),
        Way("SimpleITK ImageSeriesReader", lambda: by_simpleitk(jpeg_2000)),
        decoding_alone(jpeg_2000, "jpeg2k_decode", processes),
        target="0.67",
    )


def encoded(
    paths: list[Path], folder: Path, syntax: str, encode: Callable[[NDArray[Any]], bytes | bytearray]
) -> list[Path]:
    """Writes the files once more, encoded; in slice order."""
    for path in paths:
        ds = dcmread(path)
        ds.PixelRepresentation = 0
        content = bytes(encode(ds.pixel_array & np.uint16(0xFFF)))
        ds.PixelData = encapsulate([content])
        ds["PixelData"].VR = "OB"
        ds["PixelData"].is_undefined_length = True
        ds.file_meta.TransferSyntaxUID = UID(syntax)
        ds.save_as(folder / path.name)
    return order_files(sorted(folder.iterdir()))


def decoding_alone(paths: list[Path], decoder: str, processes: ProcessPoolExecutor) -> Way:
    """Returns the way that decodes the frames of files, which are in memory, and drops their values."""
    frames = [next(generate_frames(dcmread(path).PixelData, number_of_frames=1)) for path in paths]
    share = -(-len(frames) // (os.cpu_count() or 1))
    shares = [frames[start : start + share] for start in range(0, len(frames), share)]
    return Way(f"{decoder} alone", lambda: list(processes.map(decode_all, [decoder] * len(shares), shares)))


def decode_all(decoder: str, frames: list[bytes]) -> None:
    for frame in frames:
        getattr(imagecodecs, decoder)(frame)


def as_jpeg_2000(pixels: NDArray[Any]) -> bytes | bytearray:
    found: bytes | bytearray = imagecodecs.jpeg2k_encode(
        pixels, codecformat="j2k", level=0, reversible=True, bitspersample=12
    )
    return found


def as_rle(pixels: NDArray[Any]) -> bytes:
    rows, columns = pixels.shape
    return get_encoder(RLELossless).encode(
        pixels,
        rows=rows,
        columns=columns,
        number_of_frames=1,
        samples_per_pixel=1,
        bits_allocated=16,
        bits_stored=12,
        pixel_representation=0,
        photometric_interpretation="MONOCHROME2",
    )


def by_simpleitk(paths: list[Path]) -> Any:
    """What a script does."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(path) for path in paths])
    return reader.Execute()
