"""Converts DICOM to NIfTI with dcm2niix, mainly mosaics and diffusion, which it can read from every vendor.

An exit code of 0 proves little: dcm2niix converts series that it should refuse, and writes by-products beside the
image. So this module compares the number, place and values of the written slices with the series, and ignores
by-products. dcm2niix prints patient attributes, so its output is discarded. It writes uncompressed files, which ISA-L
then compresses in a tenth of the time that dcm2niix's own gzip would take.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np

from dcm_processor_service.errors import InvalidSeriesError, NiftiConversionError
from dcm_processor_service.imaging.frames.vendor import is_uih_grid
from dcm_processor_service.imaging.nifti.comparison import difference_from_series
from dcm_processor_service.imaging.nifti.dcm2niix_image import Dcm2niixImage
from dcm_processor_service.imaging.nifti.dcm2niix_times import set_times
from dcm_processor_service.imaging.nifti.grids import difference_from_grids
from dcm_processor_service.imaging.nifti.task import DECODED_BY_PROGRAMS, NATIVE_ONLY
from dcm_processor_service.imaging.nifti.write import copy_nifti, sidecar_path, write_json
from dcm_processor_service.imaging.series.policies import refusal
from dcm_processor_service.models import SeriesKind
from dcm_processor_service.models.images.nifti import NiftiFiles, NiftiVolume

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dcm_processor_service.imaging.nifti.task import ConversionTask
    from dcm_processor_service.models import SeriesReport

__all__ = ["check_against_series", "convert", "run_dcm2niix"]

_STEM = "volume"
_SPACING_PART = 0.01
# names of by-products: images that were resampled to even steps (Eq) or an upright grid (Tilt), and drawn regions (ROI)
_BY_PRODUCT = re.compile(r"_(Eq|Tilt|ROI)\d*(_|$|\d)", re.IGNORECASE)
_ARGUMENTS = ("-f", _STEM, "-z", "n", "-b", "y", "-ba", "y", "-x", "i", "-w", "2", "-d", "0", "-g", "i")


# codes of findings about several images in one series, which dcm2niix separates itself
_SPLITS_BY_ITSELF = frozenset(
    {"LOCALIZER", "MIXED_FORMAT", "MIXED_ORIENTATION", "MIXED_SIZE", "MULTI_VOLUME", "SINGLE_SLICE"}
)


def convert(task: ConversionTask, reason: str) -> NiftiFiles:
    """Converts a series with dcm2niix, and writes those of the images that the policy chooses.

    Raises:
        InvalidSeriesError: The policy refuses the series, or dcm2niix makes several images of it, which the policy does
            not allow; the error has the report.
        NiftiConversionError: dcm2niix is not installed, failed or took too long, or its images differ from the series.
    """
    report = task.inspection.report
    allowed = DECODED_BY_PROGRAMS | (_SPLITS_BY_ITSELF if task.policy in {"split", "largest"} else frozenset())
    refused = [finding for finding in report.findings if finding.blocking and finding.code not in allowed]
    refused += [finding for finding in report.findings if finding.code in NATIVE_ONLY]
    if refused or not report.frame_count:
        raise refusal(report, refused)
    with _checked_images(task) as made:
        images = made
        if task.policy == "largest":
            images = (max(images, key=lambda image: math.prod(image.shape)),)
        elif len(images) > 1 and task.policy != "split":
            raise InvalidSeriesError(
                f"series {report.series_instance_uid} is refused: dcm2niix makes {len(images)} images of it "
                f"({', '.join(image.name for image in images)}): convert with policy split or largest",
                report,
            )
        return _keep(images, task, reason)


@contextmanager
def _checked_images(task: ConversionTask) -> Iterator[tuple[Dcm2niixImage, ...]]:
    """Yields the images of dcm2niix, which were compared with the series; runs dcm2niix unless it ran already."""
    if task.read_by_dcm2niix:
        yield task.read_by_dcm2niix
        return
    parent = task.destination.parent
    parent.mkdir(parents=True, exist_ok=True)
    report = task.inspection.report
    with tempfile.TemporaryDirectory(dir=parent, prefix=".dcm2niix-") as folder:
        images = run_dcm2niix(task.image_paths, Path(folder), report, task.timeout_s, task.dcm2niix_program)
        check_against_series(images, task)
        yield images


def check_against_series(images: Sequence[Dcm2niixImage], task: ConversionTask, *, whole: bool = False) -> None:
    """Compares place and values of images with the headers and pixels of the series.

    Args:
        images: Images that dcm2niix made of the series.
        task: Conversion of the series.
        whole: Whether every voxel is compared; otherwise only a sample is.

    Raises:
        InvalidSeriesError: The series is a mosaic whose layout is not known, so that nothing can be compared.
        NiftiConversionError: An image differs, or dcm2niix wrote no b-values for a diffusion series.
    """
    uid = task.inspection.report.series_instance_uid
    are_grids = not whole and any(is_uih_grid(instance.header) for instance in task.inspection.instances)
    for image in images:
        values = nib.nifti1.Nifti1Image.from_filename(image.path).dataobj
        if are_grids:
            differs = difference_from_grids(values, image.affine_ras, task, alone=len(images) == 1)
        else:
            any_order = bool(image.gradients)
            differs = difference_from_series(values, image.affine_ras, task, whole=whole, any_order=any_order)
        if differs:
            raise NiftiConversionError(
                f"dcm2niix made another image of series {uid} than its headers say: {differs}; its result is not "
                "used, try the engine native"
            )
        if task.inspection.report.is_diffusion and _volumes(image) > 1 and not image.gradients:
            raise NiftiConversionError(
                f"dcm2niix found no b-values for series {uid}, which is diffusion: its result is not used, try the "
                "engine native"
            )


def _keep(images: Sequence[Dcm2niixImage], task: ConversionTask, reason: str) -> NiftiFiles:
    several = len(images) > 1
    sidecars: list[Path] = []
    volumes = []
    for number, image in enumerate(images, start=1):
        name = (image.name or str(number)) if several else ""
        target = task.named_destination(name) if several else task.destination
        metadata = image.metadata if several else set_times(image, task)
        copy_nifti(image.path, target)
        if task.sidecar == "bids":
            sidecars.append(sidecar_path(target))
            write_json(sidecars[-1], metadata)
        elif task.sidecar == "simplified":
            sidecars.append(task.write_header_sidecar(target))
        for gradient in image.gradients:
            sidecars.append(sidecar_path(target, gradient.suffix))
            gradient.replace(sidecars[-1])
        volumes.append(NiftiVolume(target, name, image.shape, image.affine_ras))
    paths = tuple(volume.path for volume in volumes)
    return NiftiFiles(paths, "dcm2niix", reason, tuple(sidecars), tuple(volumes), task.inspection.report)


def run_dcm2niix(
    paths: Sequence[Path], folder: Path, report: SeriesReport, timeout_s: float, program: str = ""
) -> tuple[Dcm2niixImage, ...]:
    """Runs dcm2niix, checks number and spacing of the slices that it wrote, and returns its images in stable order.

    Args:
        paths: The image files of one series.
        folder: Temporary folder for the result, which the caller removes.
        report: Report of the inspection.
        timeout_s: Seconds after which dcm2niix is stopped.
        program: Path of a dcm2niix to run instead of the installed one; empty for the installed one.

    Raises:
        NiftiConversionError: dcm2niix is not installed, failed or took too long, or wrote other slices.
    """
    uid = report.series_instance_uid
    out = folder / "out"
    out.mkdir()
    with _inputs(paths, folder) as inputs:
        _execute([program or _program(), *_ARGUMENTS, "-o", str(out), str(inputs)], uid, timeout_s)
    images = tuple(_images(out))
    if not images:
        raise NiftiConversionError(f"dcm2niix gave no image for series {uid}: try the engine native")
    _check_count(images, report)
    _check_places(images, report)
    return images


@contextmanager
def _inputs(paths: Sequence[Path], folder: Path) -> Iterator[Path]:
    """Yields a folder that holds only the given files, because dcm2niix reads whole folders.

    It is the files' own folder if that holds no other files; otherwise a new one with a link to each file. The names
    in it end in .dcm: dcm2niix skips some other names, such as hidden ones, and reads some as other formats.
    """
    own = paths[0].parent
    if set(paths) == set(own.iterdir()) and all(path.name.endswith(".dcm") for path in paths):
        yield own
        return
    with tempfile.TemporaryDirectory(dir=folder, prefix="in-") as inputs:
        for number, path in enumerate(paths):
            (Path(inputs) / f"{number:06}.dcm").symlink_to(path.resolve())
        yield Path(inputs)


def _program() -> str:
    try:
        from dcm2niix import bin as program
    except ImportError as error:
        raise NiftiConversionError("dcm2niix is not installed: install it with pip install dcm2niix") from error
    return str(program)


def _execute(command: list[str], uid: str, timeout_s: float) -> None:
    try:
        finished = subprocess.run(  # noqa: S603 a trusted program, and arguments that are built here
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired as error:
        raise NiftiConversionError(
            f"dcm2niix took longer than {timeout_s:g} s for series {uid} and was stopped: allow it more time"
        ) from error
    except OSError as error:
        raise NiftiConversionError(f"dcm2niix cannot be run here ({type(error).__name__}): reinstall it") from error
    if finished.returncode != 0:
        raise NiftiConversionError(
            f"dcm2niix failed on series {uid} with exit code {finished.returncode}: try native or dicom2nifti"
        )


def _images(folder: Path) -> Iterator[Dcm2niixImage]:
    for path in sorted(folder.glob("*.nii")):
        name = path.name[len(_STEM) : -len(".nii")]
        if _BY_PRODUCT.search(name):
            continue
        image = nib.nifti1.Nifti1Image.from_filename(path)
        beside = path.with_suffix(".json")
        metadata = json.loads(beside.read_text("utf-8", errors="replace")) if beside.is_file() else {}
        gradients = tuple(one for suffix in (".bval", ".bvec") if (one := path.with_suffix(suffix)).is_file())
        affine = tuple(tuple(float(value) for value in row) for row in image.affine)
        yield Dcm2niixImage(name.strip("_"), path, tuple(image.shape), affine, metadata, gradients)


def _check_count(images: Sequence[Dcm2niixImage], report: SeriesReport) -> None:
    """Compares the number of written slices with the headers; for mosaics, the number of volumes."""
    is_mosaic = report.kind is SeriesKind.MOSAIC
    written = sum(_volumes(image) * (1 if is_mosaic else _slices(image)) for image in images)
    if written != report.frame_count:
        what = "volumes" if is_mosaic else "slices"
        raise NiftiConversionError(
            f"dcm2niix wrote {written} {what} of series {report.series_instance_uid}, whose headers declare "
            f"{report.frame_count}: its result is not used, try the engine native"
        )


def _check_places(images: Sequence[Dcm2niixImage], report: SeriesReport) -> None:
    """Compares the spacing of the images with the headers; images of mosaics must only have several slices."""
    if report.kind is SeriesKind.MOSAIC:
        fits = all(_slices(image) > 1 for image in images)
    else:
        known = [sorted(part.spacing_mm) for part in report.parts if part.shape[2] > 1]
        written = [sorted(_spacing_mm(image)) for image in images if _slices(image) > 1]
        fits = all(any(np.allclose(one, other, rtol=_SPACING_PART) for other in known) for one in written)
    if not fits:
        raise NiftiConversionError(
            f"dcm2niix placed the slices of series {report.series_instance_uid} not where its headers say: its "
            "result is not used, try the engine native"
        )


def _spacing_mm(image: Dcm2niixImage) -> list[float]:
    return [float(length) for length in np.linalg.norm(np.array(image.affine_ras)[:3, :3], axis=0)]


def _slices(image: Dcm2niixImage) -> int:
    return image.shape[2] if len(image.shape) > 2 else 1  # noqa: PLR2004 the third axis


def _volumes(image: Dcm2niixImage) -> int:
    return image.shape[3] if len(image.shape) > 3 else 1  # noqa: PLR2004 the fourth axis
