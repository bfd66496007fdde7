"""Readers of derived objects, and what each has to find: this package, highdicom, dcmqi, DCMTK, pydicom."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import highdicom as hd
import numpy as np
from pydicom import dcmread
from scipy import ndimage

from dcm_processor_service.derived.objects.highdicom_bridge import released
from dcm_processor_service.derived.reading.measurements import read_measurements
from dcm_processor_service.derived.reading.report_text import read_documents, read_text
from dcm_processor_service.derived.reading.segments import read_segments
from dcm_processor_service.imaging.volumes.read import read_volumes
from tests.archives import program
from tests.integration.derived.cornerstone import cornerstone_segments, dcmjs_structures
from tests.integration.derived.object_matrix import (
    PDF,
    VOLUME_ML,
    Made,
    Source,
    assert_same_voxels,
    dcmqi,
    nifti,
    run,
    value_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray
    from pydicom import Dataset

__all__ = ["READERS"]


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
    said = [line for line in ran.stderr.splitlines() if line.startswith(("W:", "E:", "F:"))]
    written = dcmread(made.paths[0]).ContributingEquipmentSequence[-1].ContributionDateTime
    if str(written).endswith("+0000"):  # UTC, which DCMTK 3.6.7 takes for no offset; PS3.5, section 6.2 allows it
        said = [line for line in said if "ContributionDateTime" not in line]
    source = dcmread(made.source.paths[0], stop_before_pixels=True)  # whose flaw is not a fault of the result
    if source.get("PatientIdentityRemoved") == "YES" and not source.get("DeidentificationMethod"):
        said = [line for line in said if "DeidentificationMethod" not in line]
    assert said == []


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
    ("segmentation", "cornerstone adapters"): cornerstone_segments,
    ("segmentation", "dcmdump"): dcmtk_elements,
    ("fractional segmentation", "dcm-processor-service"): own_segments,
    ("fractional segmentation", "dcm-processor-service, like="): own_on_source,
    ("fractional segmentation", "highdicom"): highdicom_image,
    ("fractional segmentation", "dcmqi"): dcmqi_image,
    ("fractional segmentation", "cornerstone adapters"): cornerstone_segments,
    ("structure set", "dcm-processor-service, like="): own_structures,
    ("structure set", "drtdump"): dcmtk_structures,
    ("structure set", "dcmjs"): dcmjs_structures,
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
