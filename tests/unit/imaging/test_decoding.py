"""Compressed pixels: whatever a decoder does, this process and the reading of other series go on."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jpeg_ls
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless, generate_uid

from dcm_processor_service import Limits
from dcm_processor_service.errors import DicomError, InvalidSeriesError, UnreadableFileError
from dcm_processor_service.imaging.decoding.codestream import (
    Codestream,
    codestream_of,
    rle_fault,
    without_adobe_marker,
)
from dcm_processor_service.imaging.decoding.decoders import DECODERS, decoders_of, is_decodable
from dcm_processor_service.imaging.decoding.frame_decoder import EncodedImage
from dcm_processor_service.imaging.decoding.frames import EncodedFrame, decode_frames, decode_one
from dcm_processor_service.imaging.decoding.processes import CHILDREN
from dcm_processor_service.imaging.frames.frame import frames_of
from dcm_processor_service.imaging.headers.instance_file import read_instance
from dcm_processor_service.imaging.nifti.convert import AutoConverter
from dcm_processor_service.imaging.pictures.series_sheet import preview_series
from dcm_processor_service.imaging.series.inspection import inspect_series
from dcm_processor_service.imaging.volumes.pixels import _ask_second_decoder, read_pixels
from dcm_processor_service.imaging.volumes.read import read_volume, read_volumes
from tests.unit.imaging.refusals import change, packaged
from tests.unit.imaging.synthetic import Recipe, single_frame

if TYPE_CHECKING:
    from numpy.typing import NDArray

LIMITS = Limits()
JPEG_OF_COLOUR = "SC_rgb_dcmtk_+eb+cy+np.dcm"


def compressed(recipe: Recipe, folder: Path, uid: str = RLELossless) -> list[Path]:
    folder.mkdir(exist_ok=True)

    def edit(ds: Dataset, _index: int) -> None:
        ds.compress(uid, generate_instance_uid=False)

    return change(single_frame(recipe, folder), edit)


def changed(path: Path, target: Path, **values: Any) -> Path:
    ds = dcmread(path)
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    ds.save_as(target)
    return target


@pytest.mark.parametrize("uid", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
@pytest.mark.parametrize(("bits", "signed"), [(16, True), (12, True), (12, False), (8, False)])
def test_lossless_compression_gives_the_values_back(tmp_path: Path, uid: str, bits: int, *, signed: bool) -> None:
    recipe = Recipe(bits_allocated=8 if bits == 8 else 16, bits_stored=bits, signed=signed, columns=70, rows=66)
    paths = compressed(recipe, tmp_path, uid)
    np.testing.assert_array_equal(read_volume(paths).array, recipe.values[..., 0])


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_several_processes_put_each_frame_where_it_belongs(tmp_path: Path, processes: int) -> None:
    recipe = Recipe(slices=50)
    paths = compressed(recipe, tmp_path)
    volume = read_volume(paths, limits=Limits(decoder_processes=processes))
    np.testing.assert_array_equal(volume.array, recipe.values[..., 0])


def test_threads_that_read_at_once_do_not_mix(tmp_path: Path) -> None:
    recipes = [Recipe(slices=20, seed=seed) for seed in range(4)]
    series = [compressed(recipe, tmp_path / str(recipe.seed)) for recipe in recipes]
    found: list[NDArray[Any] | None] = [None] * len(series)

    def read(index: int) -> None:
        found[index] = read_volume(series[index]).array

    threads = [threading.Thread(target=read, args=[index]) for index in range(len(series))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for array, recipe in zip(found, recipes, strict=True):
        np.testing.assert_array_equal(array, recipe.values[..., 0])


def aborting(folder: Path) -> Path:
    """A JPEG of 8 bits whose header says 7: a failed assertion in GDCM ends its process."""
    return changed(packaged(JPEG_OF_COLOUR), folder / "abort.dcm", BitsStored=7, HighBit=6)


def test_a_decoder_that_aborts_is_a_refusal_and_the_next_frame_is_decoded(tmp_path: Path) -> None:
    instance = read_instance(aborting(tmp_path))
    with pytest.raises(InvalidSeriesError, match=f"{instance.sop_instance_uid} cannot be decoded.*SIGABRT"):
        decode_one(EncodedFrame(instance, 1, "gdcm"), LIMITS)
    assert decode_one(EncodedFrame(instance, 1, "pillow"), LIMITS).shape == (100, 100, 3)


def test_a_contact_sheet_of_such_a_file_is_drawn(tmp_path: Path) -> None:
    assert preview_series([aborting(tmp_path)]).startswith(b"\x89PNG")


@pytest.mark.parametrize("policy", ["strict", "split", "largest", "resample"])
@pytest.mark.parametrize("engine", ["auto", "native", "dicom2nifti"])
def test_rle_of_other_length_than_declared_is_refused(tmp_path: Path, engine: Any, policy: Any) -> None:
    """A decoder in Rust would panic here, and the panic is not an ``Exception``."""
    paths = compressed(Recipe(rows=64, columns=64), tmp_path / "in")
    for path in paths:
        changed(path, path, Rows=16, Columns=16)
    with pytest.raises(InvalidSeriesError, match="cannot be decoded"):
        AutoConverter().convert(paths, tmp_path / "out.nii", engine=engine, policy=policy)


@pytest.mark.parametrize("uid", [JPEGLSLossless, JPEG2000Lossless])
def test_a_size_that_the_encoded_data_contradict_is_refused_before_a_decoder_sees_it(tmp_path: Path, uid: str) -> None:
    paths = compressed(Recipe(rows=66, columns=70), tmp_path, uid)
    for path in paths:
        changed(path, path, Rows=40)
    with pytest.raises(
        InvalidSeriesError, match=r"its encoded data are 66 x 70 x 1 of 16 bits, its header says 40 x 70"
    ) as caught:
        read_volumes(paths, "split")
    assert codes_of(caught.value) == {"UNREADABLE"}


def test_more_encoded_frames_than_declared_are_refused(tmp_path: Path) -> None:
    [path] = compressed(Recipe(slices=1, rows=66, columns=70), tmp_path, JPEG2000Lossless)
    ds = dcmread(path)
    [frame] = generate_frames(ds.PixelData, number_of_frames=1)
    for has_table in (True, False):
        ds.PixelData = encapsulate([frame, frame], has_bot=has_table)
        ds.save_as(path)
        with pytest.raises(InvalidSeriesError, match="2 encoded frames"):
            read_volume([path], "largest")


def test_two_megabytes_that_ask_for_gigabytes_are_refused(tmp_path: Path) -> None:
    [path] = compressed(Recipe(slices=1), tmp_path)
    ds = dcmread(path)
    ds.Rows = ds.Columns = 4096
    ds.NumberOfFrames = 256
    ds.PixelData = encapsulate([b"\x02" + bytes(8191)] * 256)
    ds.save_as(path)
    with pytest.raises(InvalidSeriesError, match="TRUNCATED"):
        read_volumes([path], "largest")
    with pytest.raises(InvalidSeriesError, match="no image that can be shown"):
        preview_series([path])


def codes_of(error: InvalidSeriesError) -> set[str]:
    assert error.report is not None
    return {finding.code for finding in error.report.findings if finding.blocking}


def test_a_volume_beyond_the_limits_is_refused_and_the_limits_can_be_raised(tmp_path: Path) -> None:
    paths = single_frame(Recipe(), tmp_path)
    with pytest.raises(InvalidSeriesError, match="raise volume_bytes of the limits") as caught:
        read_volume(paths, limits=Limits(volume_bytes=100))
    assert codes_of(caught.value) == {"BEYOND_LIMITS"}
    assert read_volume(paths, limits=Limits(volume_bytes=1000)).shape == (5, 4, 6)


def test_compressed_files_that_stand_for_too_much_are_refused(tmp_path: Path) -> None:
    paths = compressed(Recipe(rows=256, columns=256), tmp_path)
    for path in paths:
        ds = dcmread(path)
        ds.PixelData = encapsulate([bytes(64)])
        ds.save_as(path)
    with pytest.raises(InvalidSeriesError, match="raise expansion of the limits") as caught:
        read_volume(paths, limits=Limits(free_bytes=0, expansion=10))
    assert codes_of(caught.value) == {"BEYOND_LIMITS"}


def test_a_deflate_bomb_is_refused_before_it_is_inflated(tmp_path: Path) -> None:
    ds = dcmread(single_frame(Recipe(slices=2), tmp_path)[0])
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    path = tmp_path / "bomb.dcm"
    ds.save_as(path, enforce_file_format=True)
    whole = path.read_bytes()
    start = whole.index(b"UI\x16\x001.2.840.10008.1.2.1.99") + 26
    start = 132 + 12 + int.from_bytes(whole[140:144], "little")
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = packer.compress(zlib.decompress(whole[start:], -zlib.MAX_WBITS))
    piece = bytes(1 << 22)
    bomb += b"".join(packer.compress(piece) for _ in range(8)) + packer.flush()
    assert len(bomb) < 1 << 20
    assert read_instance(path).sop_instance_uid == ds.SOPInstanceUID
    path.write_bytes(whole[:start] + bomb)
    limits = Limits(free_bytes=1 << 20)
    with pytest.raises(UnreadableFileError, match="expands beyond every measure"):
        read_instance(path, limits=limits)
    assert inspect_series([path], limits).codes == {"UNREADABLE"}
    assert read_instance(path).file_size_bytes == path.stat().st_size  # small enough for the default limits


def test_a_count_of_frames_without_end_makes_few_records(tmp_path: Path) -> None:
    path = changed(packaged("MR_small.dcm"), tmp_path / "x.dcm", NumberOfFrames=2**31 - 1)
    assert len(frames_of(read_instance(path))) == 1
    path = changed(packaged("MR_small_RLE.dcm"), tmp_path / "y.dcm", NumberOfFrames=2**31 - 1)
    assert len(frames_of(read_instance(path))) < 1000
    assert not inspect_series([path]).is_convertible


def test_a_frame_of_one_value_among_others_is_a_finding(tmp_path: Path) -> None:
    def lost(ds: Dataset, index: int) -> None:
        if index == 3:
            ds.PixelData = bytes(len(ds.PixelData))

    paths = change(single_frame(Recipe(), tmp_path), lost)
    report = read_volume(paths).report
    assert report is not None
    [finding] = [one for one in report.findings if one.code == "CONSTANT_FRAME"]
    assert finding.sop_instance_uids == (dcmread(paths[3]).SOPInstanceUID,)
    assert not finding.blocking
    assert "has the same value in every pixel" in finding.message
    files = AutoConverter().convert(paths, tmp_path / "out.nii", engine="native")
    assert files.report is not None
    assert "CONSTANT_FRAME" in files.report.codes


def test_a_series_of_one_value_has_no_such_finding(tmp_path: Path) -> None:
    def clear(ds: Dataset, _index: int) -> None:
        ds.PixelData = bytes(len(ds.PixelData))

    report = read_volume(change(single_frame(Recipe(), tmp_path), clear)).report
    assert report is not None
    assert "CONSTANT_FRAME" not in report.codes


def test_decoders_that_do_not_agree_refuse_the_series() -> None:
    for name, change_allowed, second in (
        ("emri_small_jpeg_ls_lossless.dcm", 0, "pyjpegls"),
        ("MR2_J2KI.dcm", 16, "imagecodecs"),
    ):
        [frame, *_] = frames_of(read_instance(packaged(name)))
        values = decode_one(
            EncodedFrame(frame.instance, 1, decoders_of(str(frame.instance.transfer_syntax_uid))[0]), LIMITS
        )
        _ask_second_decoder(frame, values, LIMITS)
        _ask_second_decoder(frame, values + np.uint16(change_allowed), LIMITS)
        with pytest.raises(InvalidSeriesError, match=f"is decoded to other values by {second}"):
            _ask_second_decoder(frame, values + np.uint16(change_allowed + 1), LIMITS)


@pytest.mark.parametrize("for_display", [False, True])
@pytest.mark.parametrize("kind", ["RGB", "YBR_FULL", "YBR_FULL_422"])
@pytest.mark.parametrize("interleaved", [0, 1, 2], ids=["planes", "lines", "samples"])
def test_colours_of_jpeg_ls_are_the_same_by_both_decoders(interleaved: int, kind: str, *, for_display: bool) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (11, 13, 3), np.uint8)
    source = pixels if interleaved else np.ascontiguousarray(pixels.transpose(2, 0, 1))
    encoded = jpeg_ls.encode_buffer(
        source.tobytes(), rows=11, columns=13, samples_per_pixel=3, bits_stored=8, interleave_mode=interleaved
    )
    ds = Dataset()
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PlanarConfiguration = 11, 13, 3, 0
    ds.BitsAllocated, ds.BitsStored, ds.PixelRepresentation = 8, 8, 0
    ds.PhotometricInterpretation, ds.PixelData = kind, encapsulate([bytes(encoded)])
    image = EncodedImage(ds, JPEGLSLossless)
    first, second = (image.decode(1, name, for_display=for_display) for name in ("imagecodecs", "pyjpegls"))
    np.testing.assert_array_equal(first, second)
    assert np.array_equal(first, pixels) == (kind == "RGB" or not for_display)


def test_colours_of_16_bits_are_not_shown_as_if_they_were_rgb() -> None:
    pixels = np.random.default_rng(0).integers(0, 4096, (11, 13, 3), np.uint16)
    encoded = jpeg_ls.encode_buffer(
        pixels.tobytes(), rows=11, columns=13, samples_per_pixel=3, bits_stored=16, interleave_mode=2
    )
    ds = Dataset()
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PlanarConfiguration = 11, 13, 3, 0
    ds.BitsAllocated, ds.BitsStored, ds.PixelRepresentation = 16, 16, 0
    ds.PhotometricInterpretation, ds.PixelData = "YBR_FULL", encapsulate([bytes(encoded)])
    image = EncodedImage(ds, JPEGLSLossless)
    np.testing.assert_array_equal(image.decode(1, "imagecodecs", for_display=False), pixels)
    with pytest.raises(ValueError, match="uint8"):
        image.decode(1, "imagecodecs", for_display=True)


def test_the_first_frame_and_a_further_one_are_decoded_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same frames are checked each time, so that each run comes to the same result."""
    asked: list[int] = []

    def counted(frame: EncodedFrame, limits: Limits) -> NDArray[Any]:
        asked.append(frame.number)
        return decode_one(frame, limits)

    monkeypatch.setattr("dcm_processor_service.imaging.volumes.pixels.decode_one", counted)
    frames = frames_of(read_instance(packaged("emri_small_jpeg_ls_lossless.dcm")))[::-1]
    pixels = frames[0].pixel_format

    def read() -> None:
        done = list(read_pixels(frames, lambda _: np.empty((pixels.rows, pixels.columns), pixels.stored_type)))
        assert sorted(done) == list(range(len(frames)))

    read()
    found = list(asked)
    assert frames[0].number in found
    assert len(found) <= 2
    for _ in range(5):
        asked.clear()
        read()
        assert asked == found

    def other(frame: EncodedFrame, limits: Limits) -> NDArray[Any]:
        values: NDArray[Any] = decode_one(frame, limits) + np.uint16(1)
        return values

    monkeypatch.setattr("dcm_processor_service.imaging.volumes.pixels.decode_one", other)
    with pytest.raises(InvalidSeriesError, match="is decoded to other values"):
        read()


def test_processor_time_is_counted_for_each_request_by_itself(tmp_path: Path) -> None:
    [path] = compressed(Recipe(slices=1, rows=900, columns=900), tmp_path, JPEG2000Lossless)
    instance = read_instance(path)
    wanted = [EncodedFrame(instance, 1, name) for name in ("pylibjpeg", "gdcm", "imagecodecs") * 3]
    limits = Limits(decoder_seconds=1, decoder_processes=1)  # together they take more
    assert sum(frame.read().size for _, frame in decode_frames(wanted, limits)) == 9 * 900 * 900


def test_a_decoder_that_takes_too_much_memory_is_a_refusal(tmp_path: Path) -> None:
    [path] = compressed(Recipe(slices=1, rows=4000, columns=4000), tmp_path)
    CHILDREN.close()  # so that a new process starts, which has not used any memory yet
    with pytest.raises(InvalidSeriesError, match="cannot be decoded"):
        read_volume([path], "largest", limits=Limits(decoder_memory_bytes=64 << 20))
    assert read_volume([path], "largest").shape == (4000, 4000, 1)


def test_each_row_of_decoders_names_what_is_installed() -> None:
    for uid in DECODERS:
        assert is_decodable(uid)
        assert set(decoders_of(str(uid))) <= set(DECODERS[uid])
    assert decoders_of("1.2.3.4") == ()


READS = """
import os, sys
from pathlib import Path
from dcm_processor_service.imaging.volumes.read import read_volume
from dcm_processor_service.imaging.decoding import processes
path = Path(sys.argv[1])
assert read_volume([path], "largest").shape == (64, 64, 1)
own = [one._process.pid for one in processes.CHILDREN._idle]
"""


def run(script: str) -> str:
    command = [sys.executable, "-c", READS + script, str(packaged("MR_small_RLE.dcm"))]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks processes up in /proc")
@pytest.mark.parametrize("end", ["", "os._exit(0)", "os.kill(os.getpid(), 9)", "raise SystemExit"])
def test_decoders_end_with_the_process_that_started_them(end: str) -> None:
    command = [sys.executable, "-c", READS + "print(*own, flush=True)\n" + end, str(packaged("MR_small_RLE.dcm"))]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    pids = ran.stdout.split()
    assert pids
    ended = threading.Event()
    for _ in range(200):
        if not any(Path("/proc", pid, "exe").exists() and is_decoder(pid) for pid in pids):
            break
        ended.wait(0.05)
    assert not any(is_decoder(pid) for pid in pids)


def is_decoder(pid: str) -> bool:
    try:
        return b"decoding.worker" in Path("/proc", pid, "cmdline").read_bytes()
    except OSError:
        return False


@pytest.mark.skipif(not hasattr(sys, "getdlopenflags"), reason="this system has no fork")
def test_a_fork_starts_decoders_of_its_own() -> None:
    script = """
child = os.fork()
if not child:
    assert not processes.CHILDREN._idle
    assert read_volume([path], "largest").shape == (64, 64, 1)
    assert [one._process.pid for one in processes.CHILDREN._idle] != own
    sys.stdout.flush()
    processes.CHILDREN.close()
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert read_volume([path], "largest").shape == (64, 64, 1)
assert [one._process.pid for one in processes.CHILDREN._idle] == own
print("done")
"""
    assert run(script).strip() == "done"


def test_processes_are_kept_and_none_is_left_after_closing() -> None:
    CHILDREN.close()
    [first] = CHILDREN.borrow(1)
    CHILDREN.give_back([first], 2)
    [again] = CHILDREN.borrow(1)
    assert again is first
    CHILDREN.give_back([again], 0)  # above the most that are kept
    CHILDREN.close()
    assert first._process.returncode is not None


def test_a_reader_that_stops_early_leaves_nothing_for_the_next(tmp_path: Path) -> None:
    paths = compressed(Recipe(slices=12), tmp_path)
    instances = [read_instance(path) for path in paths]
    wanted = [EncodedFrame(instance, 1, "pydicom") for instance in instances]
    for _ in decode_frames(wanted, LIMITS):
        break
    gc.collect()
    found = {index: frame.read() for index, frame in decode_frames(wanted, LIMITS)}
    expected = Recipe(slices=12).stored[0]
    for index in range(12):
        np.testing.assert_array_equal(found[index], expected[index])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("JPGExtended.dcm", Codestream(1024, 256, 1, 12)),
        ("emri_small_jpeg_ls_lossless.dcm", Codestream(64, 64, 1, 16)),
        ("693_J2KI.dcm", Codestream(512, 512, 1, 16, is_signed=True)),
        ("GDCMJ2K_TextGBR.dcm", Codestream(400, 400, 3, 8)),
    ],
)
def test_what_a_codestream_says_of_itself(name: str, expected: Codestream) -> None:
    ds = dcmread(packaged(name))
    frame = next(generate_frames(ds.PixelData, number_of_frames=int(ds.get("NumberOfFrames") or 1)))
    assert codestream_of(frame) == expected
    for end in range(8):
        assert codestream_of(frame[:end]) is None
    assert codestream_of(generate_uid().encode()) is None


@pytest.mark.parametrize(
    ("before", "transform", "is_ybr", "is_removed"),
    [
        (b"", 1, True, True),
        (b"", 1, False, False),  # Pillow makes of it the RGB that the header says
        (b"", 0, True, False),
        (b"\xff\xe0\0\x07JFIF\0", 1, True, True),
        (b"\xff\xe0\0\x07JFIF\0", 0, False, True),
        (b"\xff\x01\xff\xfe\0\x04\xff\xd8\xff\xff", 1, True, True),
    ],
)
def test_adobes_marker_is_taken_from_colours(before: bytes, transform: int, is_ybr: bool, is_removed: bool) -> None:  # noqa: FBT001
    marker = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([transform])
    scan = b"\xff\xda\0\x04\0\0" + marker
    frame = b"\xff\xd8" + before + marker + scan
    expected = b"\xff\xd8" + before + scan if is_removed else frame
    assert without_adobe_marker(frame, is_ybr=is_ybr) == expected
    assert without_adobe_marker(frame[: 12 + len(before)], is_ybr=is_ybr) == frame[: 12 + len(before)]


@pytest.mark.parametrize(
    ("head", "fault"),
    [
        ([2, 64, 66], ""),
        ([1, 64, 66], "one segment for each byte"),
        ([2, 60, 66], "one after the other"),
        ([2, 64, 64], "one after the other"),
        ([2, 64, 9999], "one after the other"),
    ],
)
def test_the_head_of_an_rle_frame(head: list[int], fault: str) -> None:
    # 16 times the same value, in each of two segments
    frame = np.array(head + [0] * (16 - len(head)), "<u4").tobytes() + b"\xf1\x07" * 2
    assert fault in rle_fault(frame, 2, 16)
    assert bool(rle_fault(frame, 2, 16)) == bool(fault)
    assert "is shorter than its head" in rle_fault(frame[:60], 2, 16)


@pytest.mark.parametrize(
    ("segment", "length"),
    [(b"\xf1\x07", 16), (b"\x0f" + bytes(16) + b"\0", 16), (b"\x80\xf1\x07\0\0", 17), (b"\xf0\x01" * 2, 34)],
)
def test_a_segment_of_rle_decodes_to_one_byte_for_each_pixel(segment: bytes, length: int) -> None:
    frame = np.array([1, 64] + [0] * 14, "<u4").tobytes() + segment
    assert not rle_fault(frame, 1, length)
    assert not rle_fault(frame, 1, length - 2)
    assert f"a segment holds {length} bytes, and {length + 1} pixels" in rle_fault(frame, 1, length + 1)
    assert "a segment holds" in rle_fault(frame, 1, length - 3)


def test_whatever_a_library_raises_of_pixels_names_the_file_as_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [path] = single_frame(Recipe(slices=1, syntax=DeflatedExplicitVRLittleEndian), tmp_path)
    assert read_volume([path], "largest").shape == (5, 4, 1)
    for error in (ValueError("Secret^Person"), MemoryError(), RecursionError()):

        def fail(_: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr("dcm_processor_service.imaging.volumes.pixels.get_decoder", fail)
        with pytest.raises(DicomError) as caught:
            read_volume([path], "largest")
        assert "Secret" not in str(caught.value)
