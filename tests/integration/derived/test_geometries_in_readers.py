"""Sources of every geometry, made by hand: results on them are where they belong, as readers of other makes say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from dcm_processor_service.testing import fake_context
from tests.integration.derived.matrix_readers import READERS
from tests.integration.derived.object_matrix import KINDS, Made, Source
from tests.unit.derived.sources import make_headers

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

OBLIQUE = np.linalg.qr(np.array([[0.8, -0.4, 0.3], [0.5, 0.85, -0.2], [-0.2, 0.3, 0.9]]))[0]
SAGITTAL = np.array([[0.0, 0, 1], [1, 0, 0], [0, -1, 0]])
CORONAL = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
KINDS_IN_SPACE = ("image", "segmentation", "structure set", "parametric map", "overlay")
VIEWER = "cornerstone adapters"
TRIED = [pair for pair in READERS if pair[0] in KINDS_IN_SPACE and pair[1] not in {"dcmdump", "dcm2pnm", "drtdump"}]


def at(axes: NDArray[np.float64], spacing: tuple[float, float, float]) -> NDArray[np.float64]:
    affine = np.eye(4)
    affine[:3, :3] = axes * np.array(spacing)
    affine[:3, 3] = (-120.5, 33.25, -710.0)
    return affine


def tilted() -> NDArray[np.float64]:
    affine = at(np.eye(3), (0.7, 0.7, 4.0))
    affine[1, 2] = 1.4
    return affine


SOURCES: dict[str, tuple[NDArray[np.float64], tuple[int, int, int], int]] = {
    "oblique": (at(OBLIQUE, (0.9, 0.6, 3.3)), (16, 12, 6), 1),
    "oblique, backwards": (at(OBLIQUE * (1, 1, -1), (0.9, 0.6, 3.3)), (12, 16, 6), 1),
    "sagittal": (at(SAGITTAL, (0.5, 0.8, 4.0)), (12, 16, 5), 1),
    "coronal": (at(CORONAL, (0.5, 0.8, 4.0)), (12, 16, 5), 1),
    "axes turned round": (at(np.diag([-1.0, -1.0, 1.0]), (0.5, 0.8, 4.0)), (12, 16, 5), 1),
    "tilted": (tilted(), (16, 11, 6), 1),
    "one slice": (at(OBLIQUE, (0.9, 0.6, 3.3)), (16, 17, 1), 1),
    "flat voxels": (at(np.eye(3), (0.2, 3.0, 0.5)), (40, 7, 9), 1),
    "4D": (at(OBLIQUE, (1.0, 2.0, 3.0)), (8, 7, 4), 3),
    "odd frames": (at(np.eye(3), (1.0, 2.0, 3.0)), (9, 7, 4), 1),
}
LIMITS = {
    *((kind, reader, "tilted") for kind in ("segmentation", "parametric map") for reader in ("highdicom", "dcmqi")),
    ("segmentation", VIEWER, "odd frames"),  # 63 pixels: it begins each frame at a byte, and bits run through
}
"""As in the matrix, and said in the documentation."""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Source]:
    return {name: written(name, tmp_path_factory.mktemp("source")) for name in SOURCES}


def written(name: str, folder: Path) -> Source:
    affine, shape, volumes = SOURCES[name]
    paths = []
    for number, header in enumerate(make_headers(affine, shape, volumes, BodyPartExamined="ABDOMEN")):
        header.file_meta = FileMetaDataset()
        header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        header.BitsAllocated = header.BitsStored = 16
        header.HighBit, header.PixelRepresentation, header.SamplesPerPixel = 15, 1, 1
        header.PhotometricInterpretation, header.RescaleSlope, header.RescaleIntercept = "MONOCHROME2", 1, 0
        for keyword in ("PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient"):
            setattr(header, keyword, [f"{float(part):.10f}"[:16] for part in header[keyword].value])
        header.PixelData = np.arange(shape[0] * shape[1], dtype=np.int16).tobytes()
        paths.append(folder / f"{number:03d}.dcm")
        header.save_as(paths[-1], enforce_file_format=True)
    return Source(name, tuple(reversed(paths)))


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize(("kind", "reader"), TRIED, ids=lambda item: item)
def test_a_result_is_where_it_belongs(
    kind: str, reader: str, name: str, sources: dict[str, Source], tmp_path: Path
) -> None:
    source = sources[name]
    derive = fake_context().session.dicom.derive
    result = KINDS[kind](derive, source)
    made = Made(source, tuple(derive.save(result if isinstance(result, list) else [result], tmp_path / "made")))
    if (kind, reader, name) not in LIMITS:
        READERS[kind, reader](kind, made, tmp_path)
    else:  # a limit that is none any more is taken from the list
        with pytest.raises((AssertionError, RuntimeError)):
            READERS[kind, reader](kind, made, tmp_path)
