"""Every compressed test file of pydicom is decoded by the chosen decoders, and compared with DCMTK's programs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pydicom.data
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.errors import InvalidDicomError
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID, JPEGExtended12Bit, JPEGLSLossless, JPEGLSNearLossless, RLELossless

from dcm_processor_service import Limits
from dcm_processor_service.errors import InvalidSeriesError
from dcm_processor_service.imaging.decoding.decoders import decoders_of
from dcm_processor_service.imaging.decoding.frames import EncodedFrame, decode_frames
from dcm_processor_service.imaging.headers.instance_file import contained, read_instance
from tests.archives import program

JPEG_2000 = "1.2.840.10008.1.2.4.9"
OF_PYDICOM_DATA = (
    *("693_J2KR.dcm", "MR2_J2KI.dcm", "MR2_J2KR.dcm", "RG1_J2KI.dcm", "RG3_J2KR.dcm", "US1_J2KI.dcm", "US1_J2KR.dcm"),
    *("JPEG-LL.dcm", "JPGLosslessP14SV1_1s_1f_8b.dcm", "OBXXXX1A_rle_2frame.dcm", "color3d_jpeg_baseline.dcm"),
    *("emri_small_RLE.dcm", "emri_small_jpeg_2k_lossless.dcm", "emri_small_jpeg_ls_lossless.dcm"),
)
DAMAGED = {
    "JPEG2000-embedded-sequence-delimiter.dcm"
}  # in this file, pydicom ends the pixel data too early, at a marker inside of it


def compressed_files() -> list[Path]:
    found = []
    beside = [get_testdata_file(name, download=False) for name in OF_PYDICOM_DATA]
    with contained():
        for path in sorted(Path(pydicom.data.__file__).with_name("test_files").glob("*.dcm")) + [
            Path(str(name)) for name in beside if name
        ]:
            try:
                header = dcmread(path, specific_tags=["PixelData"], defer_size=64)
                uid = header.file_meta.TransferSyntaxUID
            except (InvalidDicomError, AttributeError, NotImplementedError):
                continue
            if "PixelData" in header and uid.is_transfer_syntax and uid.is_compressed and not uid.is_deflated:
                found.append(path)
    return found


def decoded(path: Path, decoder: str) -> np.ndarray:
    instance = read_instance(path)
    with contained():
        count = int(dcmread(path, stop_before_pixels=True).get("NumberOfFrames") or 1)
    wanted = [EncodedFrame(instance, number, decoder) for number in range(1, count + 1)]
    frames = {index: frame.read() for index, frame in decode_frames(wanted, Limits())}
    return np.stack([frames[index] for index in range(count)])


def by_dcmtk(path: Path, uid: UID, out: Path) -> np.ndarray | None:
    """Stored values by DCMTK; None where it has no decoder, or does not take the file."""
    if uid.startswith(JPEG_2000):
        return None
    name = {RLELossless: "dcmdrle", JPEGLSLossless: "dcmdjpls", JPEGLSNearLossless: "dcmdjpls"}.get(uid, "dcmdjpeg")
    keep_colours = ["+cn"] if name == "dcmdjpeg" else []
    if subprocess.run([program(name), *keep_colours, path, out], capture_output=True, check=False).returncode:
        return None
    with contained():
        plain = dcmread(out, force=True)
        values, _ = get_decoder(plain.file_meta.TransferSyntaxUID).as_array(plain, raw=True)
    count = int(plain.get("NumberOfFrames") or 1)
    return values.reshape(count, *values.shape[-(3 if plain.SamplesPerPixel > 1 else 2) :])


@pytest.mark.parametrize("path", compressed_files(), ids=lambda path: path.name)
def test_every_chosen_decoder_gives_the_values_of_dcmtk(tmp_path: Path, path: Path) -> None:
    uid = read_instance(path).transfer_syntax_uid
    if path.name in DAMAGED:
        with pytest.raises(InvalidSeriesError, match="its encoded data are"):
            decoded(path, decoders_of(str(uid))[0])
        return
    reference = by_dcmtk(path, uid, tmp_path / "plain.dcm")
    for decoder in decoders_of(str(uid))[:2]:  # no other decoder is ever used
        if (uid, decoder) == (JPEGExtended12Bit, "pylibjpeg"):
            continue  # a library that the extra does not install, and whose values differ by one
        values = decoded(path, decoder)
        reference = values if reference is None else reference
        np.testing.assert_array_equal(values, reference, err_msg=decoder)
