"""Every kind of derived object from real sources, for readers that share nothing with the package."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import distribution
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
from pydicom import dcmread
from pydicom.data import get_testdata_file

from dcm_processor_service import Finding, Volume
from dcm_processor_service.errors import DcmProcessorError, InvalidSeriesError
from dcm_processor_service.imaging.volumes.read import read_volumes
from dcm_processor_service.testing import fake_context
from tests.shared_data import shared_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from pydicom import Dataset

__all__ = [
    "KINDS",
    "PDF",
    "SOURCES",
    "VOLUME_ML",
    "Made",
    "Source",
    "assert_same_voxels",
    "cells",
    "dcmqi",
    "nifti",
    "run",
    "shared",
    "value_of",
]

PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
VOLUME_ML = 1520.5


def packaged(name: str) -> list[Path]:
    return [Path(str(get_testdata_file(name)))]


def shared(folder: str, pattern: str, most: int | None = None) -> list[Path]:
    return sorted((shared_folder("data") / folder).glob(pattern))[:most]


@cache
def _folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory()  # removed when the process ends


def without_colours(name: str) -> list[Path]:
    """Says of an object with a supplemental palette that all its values are grey: otherwise it is no volume."""
    ds = dcmread(packaged(name)[0])
    ds.PixelPresentation = "MONOCHROME"
    path = Path(_folder().name) / name
    ds.save_as(path)
    return [path]


SOURCES: dict[str, Callable[[], list[Path]]] = {
    "CT, one slice": lambda: packaged("CT_small.dcm"),
    "CT, GE, tilted gantry": lambda: shared("dcm_qa_ct/In/GE", "*.dcm", 5),
    "CT, enhanced": lambda: without_colours("eCT_Supplemental.dcm"),
    "MR, GE, 4D": lambda: shared("dcm_qa_nih/In/20180918GE/mr_0004", "*.dcm", 30),
    "MR, Siemens XA, enhanced": lambda: shared("dcm_qa_enh/In/Siemens/XA10", "*.dcm"),
    "MR, Philips, enhanced": lambda: shared("dcm_qa_enh/In/Philips", "*.dcm"),
    "RT dose": lambda: packaged("rtdose.dcm"),
    "CR": lambda: packaged("RG3_UNCI.dcm"),
    "US, colour": lambda: packaged("US1_UNCI.dcm"),
}


@dataclass(frozen=True)
class Source:
    """A real series, and a result on it."""

    name: str
    paths: tuple[Path, ...]

    @cached_property
    def headers(self) -> list[Dataset]:
        return [dcmread(path, stop_before_pixels=True) for path in self.paths]

    @cached_property
    def volume(self) -> Volume | None:
        """The first volume; None where no image has a place in the patient."""
        try:
            return read_volumes(self.paths, "split")[0]
        except InvalidSeriesError:
            return None

    @cached_property
    def array(self) -> NDArray[np.bool_]:
        """A mask without any symmetry, in half of the slices."""
        if self.volume is None:
            shape: tuple[int, ...] = (self.headers[0].Columns, self.headers[0].Rows)
        else:
            shape = self.volume.shape[:3]
        mask = np.zeros(shape, bool)
        i, j = shape[0] // 4, shape[1] // 3
        mask[i : 2 * i + 1, j : j + shape[1] // 4 + 2] = True
        mask[i, j] = False
        if mask.ndim > 2:
            mask[:, :, max(1, shape[2] // 2) :] = False
        return mask

    @property
    def picture(self) -> Any:
        """What the masks are drawn on: the first volume, or a grey one."""
        if self.volume is None:
            return np.full(self.array.shape, 100, np.uint8)
        voxels = self.volume.array
        return self.volume.like(voxels[..., 0] if voxels.ndim > 3 else voxels)

    def result(self, values: NDArray[Any]) -> Any:
        return values if self.volume is None else self.volume.like(values)


KINDS: dict[str, Callable[[Any, Source], Any]] = {
    "image": lambda derive, source: derive(
        source.result(source.array.astype(np.int16) * 7), like=source.headers, role="image", units="1"
    ),
    "segmentation": lambda derive, source: derive.segmentation(
        {"liver": source.result(source.array)}, like=source.headers
    ),
    "fractional segmentation": lambda derive, source: derive.segmentation(
        {"liver": source.result(source.array * 0.6)}, like=source.headers, role="fractions"
    ),
    "structure set": lambda derive, source: derive.rtstruct(
        {"liver": source.result(source.array)}, like=source.headers
    ),
    "overlay": lambda derive, source: derive.overlay(
        source.picture, {"liver": source.result(source.array)}, like=source.headers
    ),
    "parametric map": lambda derive, source: derive.parametric_map(
        source.result(source.array.astype(np.float32) * 1.5), like=source.headers, role="map"
    ),
    "measurement report": lambda derive, source: derive.measurement_report(
        {"liver": Finding({"Volume": (VOLUME_ML, "ml")})}, like=source.headers
    ),
    "text report": lambda derive, source: derive.text_report("No nodules.", like=source.headers),
    "PDF": lambda derive, source: derive.pdf(PDF, like=source.headers),
}


@dataclass(frozen=True)
class Made:
    """What became of a kind from a source: files, or the reason why not."""

    source: Source
    paths: tuple[Path, ...] = ()
    refusal: str = ""


def cells(folder: Path) -> dict[tuple[str, str], Made]:
    """Makes every kind from every source."""
    found = {}
    for name, files in SOURCES.items():
        source = Source(name, tuple(files()))
        derive = fake_context().session.dicom.derive
        for kind, make in KINDS.items():
            try:
                result = make(derive, source)
            except DcmProcessorError as error:
                found[kind, name] = Made(source, refusal=str(error))
                continue
            target = folder / f"{len(found)}"
            paths = derive.save(result if isinstance(result, list) else [result], target)
            found[kind, name] = Made(source, tuple(paths))
    return found


def assert_same_voxels(made: Made, array: NDArray[Any], affine_lps: NDArray[np.float64], value: float = 1.0) -> None:
    """Asserts that an array holds the value where the mask is, to a hundredth of a voxel, and nowhere else."""
    mask, volume = made.source.array, made.source.volume
    assert volume is not None
    indices = np.argwhere(mask)
    world = indices @ volume.affine_lps[:3, :3].T + volume.affine_lps[:3, 3]
    inverse = np.linalg.inv(affine_lps)
    lands = world @ inverse[:3, :3].T + inverse[:3, 3]
    whole = np.rint(lands).astype(int)
    thick = [axis for axis in range(3) if array.shape[axis] > 1]  # one slice may be as thick as anyone likes
    assert np.abs(lands - whole)[:, thick].max() < 0.02, "misplaced"
    values = array[tuple(whole.T)]
    assert np.allclose(values, value, atol=0.003)
    assert np.count_nonzero(array) == len(indices)


def run(*command: Any) -> subprocess.CompletedProcess[str]:
    ran = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, errors="replace", timeout=60, check=False
    )
    assert ran.returncode == 0, f"ended with {ran.returncode}: {ran.stderr}"
    return ran


def dcmqi(program: str, *arguments: Any) -> None:
    """Runs a program of dcmqi, which may say ERROR and end with 0."""
    binary = Path(str(distribution("dcmqi").locate_file(f"dcmqi/bin/{program}")))
    ran = run(binary, *arguments)
    assert "ERROR" not in ran.stdout + ran.stderr, ran.stdout + ran.stderr


def nifti(path: Path) -> tuple[NDArray[Any], NDArray[np.float64]]:
    image = nib.nifti1.load(path)
    return np.asanyarray(image.dataobj), np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.asarray(image.affine)


def value_of(kind: str) -> float:
    """What the mask's voxels have in an object of a kind."""
    return {"fractional segmentation": 0.6, "parametric map": 1.5, "image": 7.0}.get(kind, 1.0)
