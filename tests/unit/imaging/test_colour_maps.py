"""Colour maps that lie in a patient become RGB images with the same voxels at the same places as in dcm2niix."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import imagecodecs
import nibabel as nib
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.pixels.utils import pixel_array
from pydicom.uid import HTJ2K, JPEG2000, UID, JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless, RLELossless

from dcm_processor_service.errors import DicomError, InvalidSeriesError
from dcm_processor_service.imaging.geometry import convert_frame
from dcm_processor_service.imaging.nifti import colour
from dcm_processor_service.imaging.nifti.comparison import placement
from dcm_processor_service.imaging.nifti.convert import AutoConverter
from dcm_processor_service.imaging.nifti.engine_dcm2niix import run_dcm2niix
from dcm_processor_service.imaging.series.inspection import inspect_series
from dcm_processor_service.imaging.volumes.read import read_volumes
from dcm_processor_service.models import SeriesKind
from tests.unit.imaging.synthetic import Recipe, rotated, single_frame

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from dcm_processor_service.imaging.decoding.frames import EncodedFrame
    from dcm_processor_service.models.images.limits import Limits

RECIPE = Recipe(
    columns=6,
    rows=4,
    slices=5,
    bits_allocated=8,
    bits_stored=8,
    signed=False,
    modality="MR",
    orientation=rotated((1, 0, 0, 0, 1, 0), (10, 20, 30)),
)


def colours() -> NDArray[np.uint8]:
    """Shape (i, j, k, 3)."""
    return np.random.default_rng(3).integers(0, 256, (6, 4, 5, 3), dtype=np.uint8)


def colour_map(folder: Path, *, planar: int = 0, **changes: Any) -> list[Path]:
    paths = single_frame(RECIPE, folder)
    origins = [tuple(origin) for origin in RECIPE.positions]
    for path in paths:
        ds = dcmread(path)
        slice_number = origins.index(tuple(ds.ImagePositionPatient))
        pixels = colours()[:, :, slice_number].transpose(1, 0, 2)
        ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", planar
        ds.PixelData = (pixels.transpose(2, 0, 1) if planar else pixels).tobytes()
        ds["PixelData"].VR = "OB"
        for keyword, value in changes.items():
            setattr(ds, keyword, value)
        ds.save_as(path)
    return paths


def written(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Colours (i, j, k, 3), and the affine in LPS."""
    image = nib.nifti1.Nifti1Image.from_filename(path)
    array = np.asarray(image.dataobj)
    assert array.dtype.names == ("R", "G", "B")
    stacked: NDArray[np.uint8] = np.stack([array[name] for name in array.dtype.names], axis=-1)
    return stacked, convert_frame(np.asarray(image.affine), "RAS", "LPS")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("planar", [0, 1])
def test_a_colour_map_becomes_an_rgb_image_at_its_place(tmp_path: Path, planar: int, suffix: str) -> None:
    paths = colour_map(tmp_path, planar=planar)
    assert inspect_series(paths).kind is SeriesKind.COLOUR
    files = AutoConverter().convert(paths, tmp_path / f"x{suffix}")
    array, affine = written(files.paths[0])
    np.testing.assert_array_equal(array, colours())
    np.testing.assert_allclose(affine, RECIPE.affine_lps, atol=1e-5)
    assert (files.engine, files.volumes[0].shape) == ("native", (6, 4, 5))
    assert json.loads(files.sidecars[0].read_text())["Modality"] == "MR"


def test_dcm2niix_has_the_same_colours_at_the_same_places(tmp_path: Path) -> None:
    paths = colour_map(tmp_path)
    (tmp_path / "other").mkdir()
    [other] = run_dcm2niix(paths, tmp_path / "other", inspect_series(paths), 100)
    array, affine = written(other.path)
    place = placement(affine, array.shape, RECIPE.affine_lps, colours().shape)
    assert place is not None
    np.testing.assert_array_equal(place.turned(array), colours())


def test_a_colour_map_is_no_volume(tmp_path: Path) -> None:
    with pytest.raises(InvalidSeriesError, match="COLOUR"):
        read_volumes(colour_map(tmp_path))


@pytest.mark.parametrize(
    "changes",
    [
        {"PhotometricInterpretation": "YBR_PARTIAL_420"},
        {"BitsStored": 7, "HighBit": 6},
        {"PixelRepresentation": 1},
    ],
    ids=repr,
)
def test_colours_of_other_kinds_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidSeriesError, match="COLOUR"):
        AutoConverter().convert(colour_map(tmp_path, **changes), tmp_path / "x.nii")
    assert not (tmp_path / "x.nii").exists()


def compressed(folder: Path, syntax: str, encode: Callable[[NDArray[np.uint8]], bytes], colours_are: str) -> list[Path]:
    paths = colour_map(folder)
    for path in paths:
        ds = dcmread(path)
        ds.PixelData = encapsulate([encode(ds.pixel_array)])
        ds["PixelData"].VR = "OB"
        ds["PixelData"].is_undefined_length = True
        ds.PhotometricInterpretation, ds.file_meta.TransferSyntaxUID = colours_are, UID(syntax)
        ds.save_as(path)
    return paths


def jpeg_ls(pixels: NDArray[np.uint8]) -> bytes:
    return bytes(imagecodecs.jpegls_encode(pixels))


def jpeg_2000(pixels: NDArray[np.uint8]) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", reversible=True, level=0, resolutions=1))


def jpeg(pixels: NDArray[np.uint8]) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(pixels, level=100, subsampling="444"))


def test_colours_in_run_lengths_become_an_rgb_image(tmp_path: Path) -> None:
    files = AutoConverter().convert(rle(tmp_path), tmp_path / "x.nii")
    array, affine = written(files.paths[0])
    np.testing.assert_array_equal(array, colours())
    np.testing.assert_allclose(affine, RECIPE.affine_lps, atol=1e-5)


@pytest.mark.parametrize(
    ("syntax", "encode", "colours_are"),
    [(JPEGLSLossless, jpeg_ls, "RGB"), (JPEG2000Lossless, jpeg_2000, "YBR_RCT"), (JPEG2000Lossless, jpeg_2000, "RGB")],
)
def test_colours_that_are_compressed_without_loss_come_back(
    tmp_path: Path, syntax: str, encode: Callable[[NDArray[np.uint8]], bytes], colours_are: str
) -> None:
    files = AutoConverter().convert(compressed(tmp_path, syntax, encode, colours_are), tmp_path / "x.nii")
    np.testing.assert_array_equal(written(files.paths[0])[0], colours())


@pytest.mark.parametrize(
    ("colours_are", "transformed", "reversible"),
    [("RGB", False, True), ("RGB", True, True), ("YBR_RCT", True, True), ("YBR_ICT", True, False)],
)
def test_colours_of_lossy_wavelets_come_back(
    tmp_path: Path, colours_are: str, *, transformed: bool, reversible: bool
) -> None:
    def jpeg_2000_of(pixels: NDArray[np.uint8]) -> bytes:
        how: dict[str, Any] = {"level": 0, "resolutions": 1, "reversible": reversible, "mct": transformed}
        return bytes(imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", **how))

    paths = compressed(tmp_path, JPEG2000, jpeg_2000_of, colours_are)
    array, _ = written(AutoConverter().convert(paths, tmp_path / "x.nii").paths[0])
    assert np.abs(array.astype(int) - colours()).max() < (1 if reversible else 4)


@pytest.mark.skipif(not hasattr(imagecodecs, "htj2k_encode"), reason="the last imagecodecs for Python 3.10 writes none")
@pytest.mark.parametrize(("colours_are", "transformed"), [("RGB", False), ("RGB", True), ("YBR_RCT", True)])
def test_colours_of_high_throughput_wavelets_come_back(tmp_path: Path, colours_are: str, *, transformed: bool) -> None:
    def htj2k(pixels: NDArray[np.uint8]) -> bytes:
        return bytes(imagecodecs.htj2k_encode(pixels, reversible=True, rgb=transformed))

    paths = compressed(tmp_path, HTJ2K, htj2k, colours_are)
    array, _ = written(AutoConverter().convert(paths, tmp_path / "x.nii").paths[0])
    np.testing.assert_array_equal(array, colours())


def test_colours_of_jpeg_come_back_nearly(tmp_path: Path) -> None:
    files = AutoConverter().convert(compressed(tmp_path, JPEGBaseline8Bit, jpeg, "YBR_FULL"), tmp_path / "x.nii")
    assert np.abs(written(files.paths[0])[0].astype(int) - colours()).max() < 12


def with_adobe(*, jfif: bool, transform: int) -> Callable[[NDArray[np.uint8]], bytes]:
    def encode(pixels: NDArray[np.uint8]) -> bytes:
        frame = jpeg(pixels)
        start = 4 + int.from_bytes(frame[4:6], "big")
        assert frame[2:4] == b"\xff\xe0"
        marker = b"\xff\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([transform])
        return (frame[:start] if jfif else frame[:2]) + marker + frame[start:]

    return encode


@pytest.mark.parametrize("transform", [0, 1])
@pytest.mark.parametrize("jfif", [False, True])
def test_colours_of_jpeg_with_adobes_marker_come_back_nearly(tmp_path: Path, jfif: bool, transform: int) -> None:  # noqa: FBT001
    encode = with_adobe(jfif=jfif, transform=transform)
    paths = compressed(tmp_path, JPEGBaseline8Bit, encode, "YBR_FULL")
    array, _ = written(AutoConverter().convert(paths, tmp_path / "x.nii").paths[0])
    assert np.abs(array.astype(int) - colours()).max() < 12
    for path in paths:
        ds = dcmread(path)
        [k] = [k for k, origin in enumerate(RECIPE.positions) if tuple(origin) == tuple(ds.ImagePositionPatient)]
        by_gdcm = pixel_array(ds, decoding_plugin="gdcm").transpose(1, 0, 2)
        np.testing.assert_allclose(array[:, :, k].astype(int), by_gdcm.astype(int), atol=1)


@pytest.mark.parametrize(
    ("syntax", "encode", "colours_are"),
    [(JPEGBaseline8Bit, jpeg, "RGB"), (JPEGLSLossless, jpeg_ls, "YBR_FULL"), (JPEG2000, jpeg_2000, "YBR_FULL")],
)
def test_compressed_colours_that_are_in_doubt_are_refused(
    tmp_path: Path, syntax: str, encode: Callable[[NDArray[np.uint8]], bytes], colours_are: str
) -> None:
    with pytest.raises(InvalidSeriesError, match="COLOUR"):
        AutoConverter().convert(compressed(tmp_path, syntax, encode, colours_are), tmp_path / "x.nii")
    assert not (tmp_path / "x.nii").exists()


def test_a_damaged_compressed_colour_is_refused(tmp_path: Path) -> None:
    paths = compressed(tmp_path, JPEGLSLossless, jpeg_ls, "RGB")
    content = paths[2].read_bytes()
    paths[2].write_bytes(content[:-60] + content[-20:])
    with pytest.raises(DicomError):
        AutoConverter().convert(paths, tmp_path / "x.nii")
    assert not (tmp_path / "x.nii").exists()


def rle(folder: Path) -> list[Path]:
    paths = colour_map(folder)
    for path in paths:
        ds = dcmread(path)
        ds.compress(RLELossless, generate_instance_uid=False)
        ds.save_as(path)
    return paths


@pytest.mark.parametrize(
    ("write", "decoder"),
    [(lambda folder: compressed(folder, JPEGLSLossless, jpeg_ls, "RGB"), "gdcm"), (rle, "pydicom")],
)
def test_colours_on_which_two_decoders_differ_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], list[Path]], decoder: str
) -> None:
    paths = write(tmp_path)
    asked: list[str] = []

    def second(encoded: EncodedFrame, _limits: Limits) -> NDArray[np.uint8]:
        asked.append(encoded.decoder)
        return np.zeros((4, 6, 3), np.uint8)

    monkeypatch.setattr(colour, "decode_one", second)
    with pytest.raises(InvalidSeriesError, match=f"is decoded to other colours by {decoder}") as caught:
        AutoConverter().convert(paths, tmp_path / "x.nii")
    assert f"frame 1 of instance {dcmread(slice_at(paths, 0)).SOPInstanceUID}" in str(caught.value)
    assert asked == [decoder]


def slice_at(paths: list[Path], number: int) -> Path:
    return next(path for path in paths if tuple(dcmread(path).ImagePositionPatient) == tuple(RECIPE.positions[number]))


def test_a_second_decoder_that_fails_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_encoded: EncodedFrame, _limits: Limits) -> NDArray[np.uint8]:
        raise InvalidSeriesError("no decoder of this")

    monkeypatch.setattr(colour, "decode_one", fails)
    files = AutoConverter().convert(compressed(tmp_path, JPEGLSLossless, jpeg_ls, "RGB"), tmp_path / "x.nii")
    np.testing.assert_array_equal(written(files.paths[0])[0], colours())


def test_no_second_decoder_is_asked_where_two_may_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(colour, "decode_one", lambda *_: pytest.fail("asked"))
    AutoConverter().convert(compressed(tmp_path, JPEGBaseline8Bit, jpeg, "YBR_FULL"), tmp_path / "x.nii")


def test_files_of_two_encodings_are_one_image(tmp_path: Path) -> None:
    paths = colour_map(tmp_path)
    for number in (1, 3):
        path = slice_at(paths, number)
        ds = dcmread(path)
        ds.compress(RLELossless, generate_instance_uid=False)
        ds.save_as(path)
    files = AutoConverter().convert(paths, tmp_path / "x.nii")
    np.testing.assert_array_equal(written(files.paths[0])[0], colours())


def test_a_colour_map_that_lacks_a_slice_is_refused_and_split(tmp_path: Path) -> None:
    paths = colour_map(tmp_path)
    gone = next(path for path in paths if tuple(dcmread(path).ImagePositionPatient) == tuple(RECIPE.positions[1]))
    left = [path for path in paths if path != gone]
    with pytest.raises(InvalidSeriesError, match="MISSING_SLICES"):
        AutoConverter().convert(left, tmp_path / "x.nii")
    with pytest.raises(InvalidSeriesError, match="COLOUR"):
        AutoConverter().convert(left, tmp_path / "x.nii", policy="resample")
    files = AutoConverter().convert(left, tmp_path / "x.nii", policy="largest")
    np.testing.assert_array_equal(written(files.paths[0])[0], colours()[:, :, 2:])
