"""Every kind of derived object from real sources, before readers that share nothing with the package."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

import highdicom as hd
import nibabel as nib
import numpy as np
from pydicom import dcmread
from pydicom.data import get_testdata_file
from scipy import ndimage

from dcm_processor_service import Finding, Volume
from dcm_processor_service.derived.objects.highdicom_bridge import released
from dcm_processor_service.derived.reading.measurements import read_measurements
from dcm_processor_service.derived.reading.report_text import read_documents, read_text
from dcm_processor_service.derived.reading.segments import read_segments
from dcm_processor_service.errors import DcmProcessorError, InvalidSeriesError
from dcm_processor_service.imaging.volumes.read import read_volumes
from dcm_processor_service.testing import fake_context
from tests.archives import program
from tests.shared_data import shared_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from pydicom import Dataset

__all__ = ["KINDS", "LIMITS", "READERS", "SOURCES", "Made", "cells", "table"]

PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
VOLUME_ML = 1520.5


def packaged(name: str) -> list[Path]:
    return [Path(str(get_testdata_file(name)))]


def shared(folder: str, pattern: str, most: int | None = None) -> list[Path]:
    return sorted((shared_folder("data") / folder).glob(pattern))[:most]


SOURCES: dict[str, Callable[[], list[Path]]] = {
    "CT, one slice": lambda: packaged("CT_small.dcm"),
    "CT, GE, tilted gantry": lambda: shared("dcm_qa_ct/In/GE", "*.dcm", 5),
    "CT, enhanced": lambda: packaged("eCT_Supplemental.dcm"),
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


def table(found: dict[tuple[str, str], Made]) -> str:
    """The table of the documentation: kind by source, made or the number of the reason why not."""
    reasons = list(dict.fromkeys(made.refusal for made in found.values() if made.refusal))
    lines = [f"| | {' | '.join(KINDS)} |", f"|---|{'---|' * len(KINDS)}"]
    for name in SOURCES:
        row = [found[kind, name] for kind in KINDS]
        words = [f"refused ({reasons.index(made.refusal) + 1})" if made.refusal else "made" for made in row]
        lines.append(f"| {name} | {' | '.join(words)} |")
    lines += ["", *(f"{number}. {reason}" for number, reason in enumerate(reasons, start=1))]
    return "\n".join(lines).rstrip()


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


def own_images(kind: str, made: Made, folder: Path) -> None:
    if made.source.volume is None:
        values = dcmread(made.paths[0]).pixel_array.T
        assert np.array_equal(values, made.source.array * 7)
        return
    for volume in read_volumes(made.paths, "largest"):
        assert_same_voxels(made, volume.array, volume.affine_lps, value_of(kind))


def own_segments(kind: str, made: Made, folder: Path) -> None:
    (liver,) = read_segments(made.paths)
    if made.source.volume is None:
        assert np.allclose(liver.pixels(), made.source.array * value_of(kind), atol=0.003)
        return
    mask = liver.mask()
    assert_same_voxels(made, mask.array, mask.affine_lps, value_of(kind))
    assert liver.code is not None
    assert liver.code.meaning == "Liver"


def own_on_source(kind: str, made: Made, folder: Path) -> None:
    if made.source.volume is None:
        return  # there is no place for it
    (liver,) = read_segments(made.paths, made.source.volume)
    assert np.allclose(liver.mask().array, made.source.array * value_of(kind), atol=0.003)


def own_structures(kind: str, made: Made, folder: Path) -> None:
    (liver,) = read_segments(made.paths, made.source.volume)
    assert np.array_equal(liver.mask().array, made.source.array)
    assert liver.code is not None
    assert liver.code.meaning == "Liver"


def dcmtk_structures(kind: str, made: Made, folder: Path) -> None:
    ran = run("drtdump", *made.paths)
    assert "RT Structure Set object" in ran.stdout
    assert not [line for line in ran.stderr.splitlines() if line.startswith(("E:", "F:"))]


def has_color(pixels: NDArray[Any]) -> NDArray[np.bool_]:
    differs: NDArray[np.bool_] = pixels.max(axis=2).astype(int) - pixels.min(axis=2) > 60
    return differs


def pydicom_colors(kind: str, made: Made, folder: Path) -> None:
    """The outline lies at the edge of the mask, on the plane of each slice; small pictures are enlarged."""
    for path in made.paths:
        picture = dcmread(path)
        inside = in_picture(picture, made.source)
        colored = has_color(picture.pixel_array)[: inside.shape[0], : inside.shape[1]]
        inner, outer = ndimage.binary_erosion(inside, iterations=3), ndimage.binary_dilation(inside, iterations=3)
        assert bool((colored & outer & ~inner).any()) == bool(inside.any())


def in_picture(picture: Dataset, source: Source) -> NDArray[np.bool_]:
    """Returns which of a picture's pixels lie within the mask, rows first."""
    if source.volume is None:
        turned: NDArray[np.bool_] = source.array.T
        return turned
    row, column = np.array(picture.ImageOrientationPatient, dtype=float).reshape(2, 3)
    down, across = map(float, picture.PixelSpacing)
    rows, columns = np.mgrid[: picture.Rows, : picture.Columns]
    world = np.array(picture.ImagePositionPatient, dtype=float) + np.multiply.outer(columns * across, row)
    world = world + np.multiply.outer(rows * down, column)
    inverse = np.linalg.inv(source.volume.affine_lps)
    lands = world @ inverse[:3, :3].T + inverse[:3, 3]
    whole = np.rint(lands).astype(int)
    assert np.abs(lands - whole)[..., 2].max() < 0.02, "misplaced"
    found: NDArray[np.bool_] = (whole >= 0).all(axis=-1) & (whole < source.array.shape).all(axis=-1)
    found[found] = source.array[tuple(whole[found].T)]
    return found


def dcmtk_colors(kind: str, made: Made, folder: Path) -> None:
    run("dcm2pnm", "--write-raw-pnm", made.paths[0], folder / "out.ppm")
    header, _, _ = (folder / "out.ppm").read_bytes().partition(b"\n")
    assert header == b"P6"  # in colours


def highdicom_image(kind: str, made: Made, folder: Path) -> None:
    path = made.paths[0]
    read: Any = hd.imread(path) if "map" in kind else hd.seg.segread(path)
    try:
        volume = read.get_volume() if "map" in kind else read.get_volume(combine_segments=False)
    finally:
        released(read)
    array = np.asarray(volume.array)
    array = array[..., 0] if array.ndim > 3 else array
    # highdicom counts slices, rows, columns
    assert_same_voxels(made, array.transpose(2, 1, 0), np.asarray(volume.affine)[:, [2, 1, 0, 3]], value_of(kind))


def dcmqi_image(kind: str, made: Made, folder: Path) -> None:
    program = "paramap2itkimage" if kind == "parametric map" else "segimage2itkimage"
    dcmqi(program, "--inputDICOM", made.paths[0], "--outputDirectory", folder, "-t", "nifti", "--prefix", "p")
    (written,) = folder.glob("*.nii.gz")
    array, affine = nifti(written)
    scale = 255 if kind == "fractional segmentation" and array.max() > 1 else 1
    assert_same_voxels(made, array / scale, affine, value_of(kind))


def own_measurements(kind: str, made: Made, folder: Path) -> None:
    assert read_measurements(made.paths)["liver"].measurements == {"Volume": (VOLUME_ML, "ml")}


def highdicom_measurements(kind: str, made: Made, folder: Path) -> None:
    report = hd.sr.srread(made.paths[0])
    (group,) = report.content.get_image_measurement_groups()  # type: ignore[attr-defined]
    (measurement,) = group.get_measurements()
    assert (measurement.value, measurement.unit.value, group.finding_type.meaning) == (VOLUME_ML, "ml", "Liver")


def dcmqi_measurements(kind: str, made: Made, folder: Path) -> None:
    target = folder / "report.json"
    dcmqi("tid1500reader", "--inputDICOM", made.paths[0], "--outputMetadata", target)
    (group,) = json.loads(target.read_text(encoding="utf-8"))["Measurements"]
    (item,) = group["measurementItems"]
    assert (float(item["value"]), item["units"]["CodeValue"]) == (VOLUME_ML, "ml")
    assert group["Finding"]["CodeMeaning"] == "Liver"


def dcmtk_report(kind: str, made: Made, folder: Path) -> None:
    ran = run(program("dsrdump"), *made.paths)
    assert f'"{VOLUME_ML:g}"' in ran.stdout or '"No nodules."' in ran.stdout
    assert not [line for line in ran.stderr.splitlines() if line.startswith(("E:", "F:"))]


def own_text(kind: str, made: Made, folder: Path) -> None:
    assert "Finding: No nodules." in read_text(made.paths)


def own_document(kind: str, made: Made, folder: Path) -> None:
    assert read_documents(made.paths) == (PDF,)


def dcmtk_document(kind: str, made: Made, folder: Path) -> None:
    run(program("dcm2pdf"), made.paths[0], folder / "out.pdf")
    assert (folder / "out.pdf").read_bytes().rstrip(b"\0") == PDF


def dcmtk_elements(kind: str, made: Made, folder: Path) -> None:
    for path in made.paths:
        ran = run(program("dcmdump"), "--quiet", path)
        assert "SOPInstanceUID" in ran.stdout


READERS: dict[tuple[str, str], Callable[[str, Made, Path], None]] = {
    ("image", "dcm-processor-service"): own_images,
    ("image", "dcmdump"): dcmtk_elements,
    ("segmentation", "dcm-processor-service"): own_segments,
    ("segmentation", "dcm-processor-service, like="): own_on_source,
    ("segmentation", "highdicom"): highdicom_image,
    ("segmentation", "dcmqi"): dcmqi_image,
    ("segmentation", "dcmdump"): dcmtk_elements,
    ("fractional segmentation", "dcm-processor-service"): own_segments,
    ("fractional segmentation", "dcm-processor-service, like="): own_on_source,
    ("fractional segmentation", "highdicom"): highdicom_image,
    ("fractional segmentation", "dcmqi"): dcmqi_image,
    ("structure set", "dcm-processor-service, like="): own_structures,
    ("structure set", "drtdump"): dcmtk_structures,
    ("overlay", "pydicom"): pydicom_colors,
    ("overlay", "dcm2pnm"): dcmtk_colors,
    ("parametric map", "dcm-processor-service"): own_images,
    ("parametric map", "highdicom"): highdicom_image,
    ("parametric map", "dcmqi"): dcmqi_image,
    ("parametric map", "dcmdump"): dcmtk_elements,
    ("measurement report", "dcm-processor-service"): own_measurements,
    ("measurement report", "highdicom"): highdicom_measurements,
    ("measurement report", "dcmqi"): dcmqi_measurements,
    ("measurement report", "dsrdump"): dcmtk_report,
    ("text report", "dcm-processor-service"): own_text,
    ("text report", "dsrdump"): dcmtk_report,
    ("PDF", "dcm-processor-service"): own_document,
    ("PDF", "dcm2pdf"): dcmtk_document,
}
"""By kind and reader, with what the reader has to find."""

TILTED = "CT, GE, tilted gantry"
NOWHERE = ("CR", "US, colour")
SEGMENTATIONS = ("segmentation", "fractional segmentation")

LIMITS: dict[tuple[str, str, str], str] = {
    **{(kind, "highdicom", TILTED): "do not form a regularly" for kind in (*SEGMENTATIONS, "parametric map")},
    **{(kind, "highdicom", source): "no such column" for kind in SEGMENTATIONS for source in NOWHERE},
    **{(kind, "dcmqi", TILTED): "is outside image geometry" for kind in SEGMENTATIONS},
    **{(kind, "dcmqi", source): "Failed to get image directions" for kind in SEGMENTATIONS for source in NOWHERE},
    **{("parametric map", "dcmqi", source): "ended with -11" for source in ("CT, one slice", "RT dose")},
    ("parametric map", "dcmqi", TILTED): "misplaced",
    ("measurement report", "dcmqi", "RT dose"): "Measurements",
    ("measurement report", "dsrdump", "RT dose"): "unknown image SOP class",
    ("text report", "dsrdump", "RT dose"): "unknown image SOP class",
}  # fmt: skip
"""What a reader is known not to read, by kind, reader and source, with what it says.

highdicom and dcmqi read no stack whose slices are off their normal as a volume (of a map, dcmqi writes one without the
tilt), and nothing without a place; dcmqi crashes over a map without an anatomic region, which these sources do not
name; DCMTK takes RT dose for no image.
"""
