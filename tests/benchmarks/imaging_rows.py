"""Reading, converting, looking at headers, deriving: a synthetic CT of 300 x 512 x 512."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from dcm2niix import bin as dcm2niix_program
from isal import igzip_threaded
from pydicom import dcmread
from pydicom.uid import UID

from dcm_processor_service import Producer, Recipe
from dcm_processor_service.derived import make, save
from dcm_processor_service.imaging.nifti.convert import AutoConverter
from dcm_processor_service.imaging.series.heads import read_headers
from dcm_processor_service.imaging.series.inspection import inspect_series
from dcm_processor_service.imaging.series.order.slice_order import order_files
from dcm_processor_service.imaging.volumes.read import read_volume
from dcm_processor_service.models.derived import ImageOptions, SegmentationOptions
from tests.benchmarks.bench_imaging import CT
from tests.benchmarks.measuring import MIB, Row, Way, process
from tests.unit.imaging.synthetic import single_frame

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["imaging_rows", "series_folder"]

GZIP_LEVEL, GZIP_THREADS = 1, min(os.cpu_count() or 1, 4)  # as imaging/nifti/write.py has them
SEGMENTS = ("liver", "spleen", "left kidney", "right kidney", "pancreas")


@contextmanager
def series_folder() -> Iterator[list[Path]]:
    """Writes the CT; yields its files in slice order."""
    with tempfile.TemporaryDirectory(prefix="benchmark-ct-") as folder:
        single_frame(CT, Path(folder))
        yield order_files(sorted(Path(folder).iterdir()))


def imaging_rows(paths: list[Path], scratch: Path) -> Iterator[Row]:
    """Yields the rows over the files of one series."""
    source = paths[0].parent
    volume = read_volume(paths)
    size = f"{len(paths)} x 512 x 512, {volume.array.nbytes / MIB:.0f} MiB"
    buffer = bytearray(volume.array.nbytes // len(paths))

    def read_bytes() -> None:
        for path in paths:
            with path.open("rb") as file:
                file.readinto(buffer)

    def dcm2niix(*options: str) -> Any:
        out = fresh(scratch / "dcm2niix")
        return process([dcm2niix_program, "-f", "x", "-b", "n", *options, "-o", out, source])

    def ours(name: str) -> None:
        AutoConverter().convert(paths, fresh(scratch / "ours") / name, engine="native")

    raw = volume.array.tobytes(order="F")

    def compress() -> None:
        with igzip_threaded.open(
            fresh(scratch / "bound") / "x.gz", "wb", compresslevel=GZIP_LEVEL, threads=GZIP_THREADS
        ) as file:
            file.write(raw)

    def write() -> None:
        (fresh(scratch / "bound") / "x.nii").write_bytes(raw)

    yield Row(
        "read",
        f"reading files into voxels in memory, {size}",
        Way("read_volume", lambda: read_volume(paths)),
        Way("pydicom, a stack by hand", lambda: by_hand(paths)),
        Way("file bytes into one buffer", read_bytes),
    )
    yield Row(
        "nii",
        f"converting files to .nii, {size}",
        Way("native engine", lambda: ours("x.nii")),
        Way("dcm2niix -z n (a process)", lambda: dcm2niix("-z", "n")),
        Way("the voxels' bytes to disk", write),
    )
    ours("x.nii.gz")
    own_bytes = (scratch / "ours" / "x.nii.gz").stat().st_size / MIB
    dcm2niix("-z", "i", "-1")
    its_bytes = next((scratch / "dcm2niix").glob("*.gz")).stat().st_size / MIB
    yield Row(
        "nii.gz",
        f"converting files to .nii.gz, {size}. Ours writes {own_bytes:.0f} MiB by ISA-L at level {GZIP_LEVEL} in "
        f"{GZIP_THREADS} threads; dcm2niix writes {its_bytes:.0f} MiB at level 1 in one thread",
        Way("native engine", lambda: ours("x.nii.gz")),
        Way("dcm2niix -z i -1 (a process)", lambda: dcm2niix("-z", "i", "-1")),
        Way("the voxels' bytes through ISA-L to disk", compress),
        rounds=3,
    )
    yield Row(
        "headers",
        f"reading the headers of {len(paths)} files on disk; ours sorts them in slice order, the alternative does not",
        Way("read_headers", lambda: read_headers(paths)),
        Way("pydicom, stop_before_pixels", lambda: [dcmread(path, stop_before_pixels=True) for path in paths]),
        target="1.2",
        rounds=9,
    )
    yield Row(
        "inspect",
        f"inspecting a series of {len(paths)} files on disk",
        Way("inspect_series", lambda: inspect_series(paths)),
    )
    yield from derived_rows(paths, volume, scratch)


def derived_rows(paths: list[Path], volume: Any, scratch: Path) -> Iterator[Row]:
    """Yields the rows of what becomes DICOM."""
    how = Recipe(Producer("benchmark", "1"), role="half")
    half = volume.like((volume.array // 2).astype(np.int16))
    labels = np.zeros(volume.shape, np.uint8)
    for number in range(len(SEGMENTS)):
        labels[60 * number + 50 : 60 * number + 100, 100:400, len(paths) // 10 : -len(paths) // 10] = number + 1
    names = dict(enumerate(SEGMENTS, start=1))

    def derive() -> None:
        save(make.make_image(half, paths, how, ImageOptions(), None), fresh(scratch / "derived"))

    def loop() -> None:
        folder = fresh(scratch / "derived")
        for number, path in enumerate(paths):
            dataset = dcmread(path)
            dataset.PixelData = np.ascontiguousarray(half.array[:, :, number].T).tobytes()
            dataset.SOPInstanceUID = f"2.25.1{number}"
            dataset.file_meta.MediaStorageSOPInstanceUID = UID(dataset.SOPInstanceUID)
            dataset.SeriesInstanceUID = "2.25.2"
            dataset.save_as(folder / f"{number}.dcm", enforce_file_format=True)

    yield Row(
        "derive",
        f"making and saving a derived series of {len(paths)} CT instances. The loop copies the header and changes "
        "three UIDs. Ours writes references, derivation and producer, and checks each object. Neither waits for the "
        "disk",
        Way("derive and save", derive),
        Way("a plain pydicom loop", loop),
        target="2",
        rounds=2,
    )
    yield Row(
        "seg",
        f"making a SEG with {len(SEGMENTS)} segments from a label map, {len(paths)} x 512 x 512",
        Way(
            "derive.segmentation",
            lambda: make.make_segmentation(labels, paths, how, SegmentationOptions(), names),
        ),
        Way("plain highdicom", lambda: plain_highdicom(paths, labels)),
        target="1.2",
        rounds=5,
    )


def by_hand(paths: list[Path]) -> Any:
    """What a script does: a dataset each, their pixels in one array, rescaled."""
    datasets = [dcmread(path) for path in paths]
    slope, intercept = float(datasets[0].RescaleSlope), float(datasets[0].RescaleIntercept)
    return np.stack([dataset.pixel_array for dataset in datasets]).astype(np.int16) * np.int16(slope) + np.int16(
        intercept
    )


def plain_highdicom(paths: list[Path], labels: Any) -> Any:
    """As its documentation has it, from headers on disk and a label map."""
    import highdicom
    from pydicom.sr.codedict import codes

    headers = [dcmread(path, stop_before_pixels=True) for path in paths]
    for header in headers:
        for keyword in (
            *("PatientBirthDate", "AccessionNumber", "StudyID", "StudyDate", "StudyTime"),
            *("ReferringPhysicianName", "PatientSex", "PatientName", "PatientID"),
        ):
            if keyword not in header:
                setattr(header, keyword, "")
    algorithm = highdicom.AlgorithmIdentificationSequence("benchmark", codes.cid7162.ArtificialIntelligence, "1")
    described = [
        highdicom.seg.SegmentDescription(
            number,
            name,
            codes.SCT.Organ,
            codes.SCT.Liver,
            highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm,
        )
        for number, name in enumerate(SEGMENTS, start=1)
    ]
    frames = np.ascontiguousarray(labels.transpose(2, 1, 0))
    return highdicom.seg.Segmentation(
        headers, frames, "BINARY", described, "2.25.3", 1, "2.25.4", 1, "maker", "model", "1", "1"
    )


def fresh(folder: Path) -> Path:
    """Returns a folder that is empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
