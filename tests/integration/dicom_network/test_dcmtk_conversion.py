"""Our conversions of pydicom's compressed test files have the same values as DCMTK's; colours are compared in RGB."""

from __future__ import annotations

import subprocess
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data.data_manager import DATA_ROOT
from pydicom.encaps import encapsulate, generate_frames
from pydicom.errors import InvalidDicomError
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import convert_color_space
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from dcm_processor_service.dicom_network.conversion.transcoding import convert, copy_of, part10
from dcm_processor_service.imaging.decoding.codestream import without_adobe_marker
from dcm_processor_service.imaging.headers.instance_file import contained
from tests.archives import program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from pydicom import Dataset

PROGRAMS = {
    JPEGBaseline8Bit: "dcmdjpeg",
    JPEGExtended12Bit: "dcmdjpeg",
    JPEGLossless: "dcmdjpeg",
    JPEGLosslessSV1: "dcmdjpeg",
    JPEGLSLossless: "dcmdjpls",
    JPEGLSNearLossless: "dcmdjpls",
    RLELossless: "dcmdrle",
}
# a malformed file that libjpeg refuses, and one with elements that neither DCMTK nor pydicom can read
REFUSED = {"JPEG-lossy.dcm", "SC_rgb_jpeg.dcm"}


def _packaged() -> Path:
    """The folder of the package pydicom-data."""
    found = find_spec("data_store")
    assert found is not None
    assert found.origin
    return Path(found.origin).parent


def compressed_files() -> Iterator[Any]:
    for root in (Path(DATA_ROOT) / "test_files", _packaged()):
        for path in sorted(root.rglob("*.dcm")):
            try:
                with contained():
                    header = dcmread(path, stop_before_pixels=True)
            except InvalidDicomError:
                continue
            program_name = PROGRAMS.get(header.file_meta.get("TransferSyntaxUID"))
            if program_name is not None and "SOPInstanceUID" in header and path.name not in REFUSED:
                yield pytest.param(path, program_name, id=path.name)


def in_rgb(dataset: Dataset) -> NDArray[Any]:
    values: NDArray[Any] = pixel_array(dataset, raw=True)
    if dataset.PhotometricInterpretation.startswith("YBR"):
        assert dataset.PhotometricInterpretation == "YBR_FULL"
        values = convert_color_space(values, "YBR_FULL", "RGB")
    return values


@pytest.mark.parametrize(("path", "program_name"), list(compressed_files()))
def test_values_are_those_of_dcmtks_conversion(tmp_path: Path, path: Path, program_name: str) -> None:
    theirs = tmp_path / "theirs.dcm"
    subprocess.run([program(program_name), str(path), str(theirs)], check=True, capture_output=True)
    with contained():
        dataset = dcmread(path)
        own = str(dataset.file_meta.TransferSyntaxUID)
        ours = dcmread(BytesIO(part10(convert(copy_of(dataset, own), own, str(ExplicitVRLittleEndian)))))
        expected = in_rgb(dcmread(theirs))
        found = in_rgb(ours)
    # the two libraries round the cosine transform of 12 bits differently
    tolerance = 1 if own == JPEGExtended12Bit else 0
    assert found.shape == expected.shape
    assert np.abs(found.astype(np.int64) - expected.astype(np.int64)).max() <= tolerance
    assert ours.get("LossyImageCompression") == dcmread(theirs).get("LossyImageCompression")


@pytest.mark.parametrize("name", ["SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_small_odd_jpeg.dcm"])
def test_colours_with_adobes_marker_are_those_of_dcmtk(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(get_decoder(JPEGBaseline8Bit)._available, "gdcm")
    dataset = dcmread(Path(DATA_ROOT) / "test_files" / name)
    [frame] = generate_frames(dataset.PixelData, number_of_frames=1)
    frame = without_adobe_marker(frame, is_ybr=True)
    dataset.PixelData = encapsulate([frame[:2] + b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\1" + frame[2:]])
    dataset.save_as(tmp_path / "own.dcm")
    test_values_are_those_of_dcmtks_conversion(tmp_path, tmp_path / "own.dcm", "dcmdjpeg")
