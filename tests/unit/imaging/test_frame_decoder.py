"""One encoded frame: every decoder of the table returns its values, and what contradicts the header is not decoded."""

from __future__ import annotations

import os
import struct
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from dcm_processor_service import Limits
from dcm_processor_service.errors import InvalidSeriesError
from dcm_processor_service.imaging.decoding import frames
from dcm_processor_service.imaging.decoding.codestream import Codestream, codestream_of, without_adobe_marker
from dcm_processor_service.imaging.decoding.decoders import decoders_of
from dcm_processor_service.imaging.decoding.frame_decoder import ContradictionError, EncodedImage
from dcm_processor_service.imaging.decoding.frames import EncodedFrame, decode_frames, decode_one
from dcm_processor_service.imaging.decoding.native import put_frames
from dcm_processor_service.imaging.decoding.processes import CHILDREN
from dcm_processor_service.imaging.headers.instance_file import read_instance
from tests.unit.imaging.refusals import packaged
from tests.unit.imaging.synthetic import Recipe, single_frame

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

LIMITS = Limits()
J2K_START = b"\xff\x4f\xff\x51"


def image_of(values: NDArray[Any], bits: int, **changes: Any) -> Dataset:
    """An image without pixels, whose attributes describe the values, of shape (rows, columns) or with samples."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.Rows, ds.Columns = values.shape[:2]
    ds.SamplesPerPixel = values.shape[2] if values.ndim == 3 else 1
    ds.PhotometricInterpretation = "RGB" if values.ndim == 3 else "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = values.dtype.itemsize * 8, bits, bits - 1
    ds.PixelRepresentation = int(values.dtype.kind == "i")
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    return ds


def random_values(bits: int, *, signed: bool) -> NDArray[Any]:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if signed else (0, 2**bits)
    values = np.random.default_rng(bits).integers(low, high, (66, 70))
    values.flat[:2] = low, high - 1
    return values.astype(f"{'i' if signed else 'u'}{1 if bits <= 8 else 2}")


def encoded(values: NDArray[Any], bits: int, uid: str) -> list[bytes]:
    ds = image_of(values, bits)
    ds.compress(uid, values, generate_instance_uid=False)
    return EncodedImage(ds, uid).frames


CASES = [
    (uid, bits, signed, decoder)
    for uid in (RLELossless, JPEGLSLossless, JPEG2000Lossless)
    for bits, signed in ((8, False), (12, False), (16, False), (12, True), (16, True))
    for decoder in decoders_of(uid)
]


@pytest.mark.parametrize(("uid", "bits", "signed", "decoder"), CASES)
def test_every_decoder_returns_the_values(uid: str, bits: int, signed: bool, decoder: str) -> None:  # noqa: FBT001
    values = random_values(bits, signed=signed)
    image = image_of(values, bits, PixelData=encapsulate(encoded(values, bits, uid)))
    found = EncodedImage(image, uid).decode(1, decoder, for_display=False)
    if bits == 12 and signed:  # pydicom does not extend the sign of fewer bits in the array
        found = np.right_shift(np.left_shift(found, 4), 4)
    np.testing.assert_array_equal(found, values)
    assert found.dtype == values.dtype


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_lossless_jpeg_is_decoded_by_imagecodecs(bits: int) -> None:
    values = random_values(bits, signed=False)
    frame = imagecodecs.ljpeg_encode(values, bitspersample=bits)
    for decoder in decoders_of(JPEGLosslessSV1)[:1]:
        image = image_of(values, bits, PixelData=encapsulate([bytes(frame)]))
        found = EncodedImage(image, JPEGLosslessSV1).decode(1, decoder, for_display=False)
        np.testing.assert_array_equal(found, values)
        assert found.dtype == values.dtype


@pytest.mark.parametrize("decoder", decoders_of(JPEG2000Lossless))
def test_signed_data_of_an_unsigned_header_are_not_decoded(decoder: str) -> None:
    values = random_values(16, signed=True)
    content = encapsulate(encoded(values, 16, JPEG2000Lossless))
    image = EncodedImage(image_of(values, 16, PixelData=content, PixelRepresentation=0), JPEG2000Lossless)
    with pytest.raises(ContradictionError, match="are signed, its header says they are not"):
        image.decode(1, decoder, for_display=False)


@pytest.mark.parametrize("uid", [JPEG2000Lossless, JPEGLosslessSV1])
@pytest.mark.parametrize(("greatest", "is_decoded"), [(2047, True), (2048, False)])
def test_a_bit_that_may_be_a_sign_or_not_is_not_decoded(uid: str, greatest: int, *, is_decoded: bool) -> None:
    values = np.minimum(random_values(12, signed=False), np.uint16(greatest))
    if uid == JPEGLosslessSV1:
        frame = bytes(imagecodecs.ljpeg_encode(values, bitspersample=12))
    else:
        frame = bytes(imagecodecs.jpeg2k_encode(values, level=0, codecformat="j2k", bitspersample=12))
    assert codestream_of(frame) == Codestream(66, 70, 1, 12)
    image = EncodedImage(image_of(values.astype(np.int16), 16, PixelData=encapsulate([frame])), uid)
    for decoder in decoders_of(uid):
        if is_decoded:
            np.testing.assert_array_equal(image.decode(1, decoder, for_display=False), values)
            continue
        with pytest.raises(ContradictionError, match="12 bits without a sign, its header says 16 with a sign"):
            image.decode(1, decoder, for_display=False)


@pytest.mark.parametrize("uid", [JPEGLosslessSV1, JPEGLSLossless])
@pytest.mark.parametrize("part", [0.5, 0.9])
def test_a_jpeg_without_its_end_is_not_decoded(uid: str, part: float) -> None:
    values = random_values(12, signed=False)
    encode = imagecodecs.ljpeg_encode if uid == JPEGLosslessSV1 else imagecodecs.jpegls_encode
    frame = bytes(encode(values))
    image = EncodedImage(image_of(values, 12, PixelData=encapsulate([frame[: int(part * len(frame))]])), uid)
    for decoder in decoders_of(uid):
        with pytest.raises(ContradictionError, match="it is cut off"):
            image.decode(1, decoder, for_display=False)


def numbered(form: str, *values: int) -> bytes:
    return struct.pack(f"<{len(values)}{form}", *values)


BASIC = {  # for three frames of one fragment each, at 0, 16 and 32
    "right": [0, 16, 32],
    "empty": [],
    "short": [0, 16],
    "long": [0, 16, 32, 48],
    "zero": [0, 0, 0],
    "shifted": [8, 24, 40],
    "next": [0, 32, 48],
}
THREE = [b"\xff\xd8\xff" + bytes([number] * 5) for number in (1, 2, 3)]


@pytest.mark.parametrize("uid", [JPEGLSLossless, RLELossless])
@pytest.mark.parametrize("table", [*BASIC.values(), [0, 32, 16]], ids=str)
@pytest.mark.parametrize("is_extended", [True, False])
def test_frames_are_fragments_whatever_a_table_says_but_not_in_another_order(
    uid: str, table: list[int], *, is_extended: bool
) -> None:
    content = encapsulate(THREE, has_bot=False)
    tables = {}
    if is_extended:
        lengths = [8, 3, *[8] * (len(table) - 2)][: len(table)]
        tables = {"ExtendedOffsetTable": numbered("Q", *table), "ExtendedOffsetTableLengths": numbered("Q", *lengths)}
    else:
        content = content[:4] + numbered("I", 4 * len(table)) + numbered("I", *table) + content[8:]
    image = image_of(random_values(8, signed=False), 8, NumberOfFrames=3, PixelData=content, **tables)
    if table == [0, 32, 16]:
        with pytest.raises(ContradictionError, match="in another order than its table of offsets says"):
            EncodedImage(image, uid)
    else:
        assert EncodedImage(image, uid).frames == THREE


@pytest.mark.parametrize("beginning", [b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n"])
def test_a_frame_of_several_fragments_ends_where_the_next_image_begins(beginning: bytes) -> None:
    parts = [[beginning + b"1", b"2222"], [beginning + b"3"], [beginning + b"4", b"5555", b"6666"]]
    content = encapsulate([one for frame in parts for one in frame], has_bot=False)
    image = image_of(random_values(8, signed=False), 8, NumberOfFrames=3, PixelData=content)
    found = EncodedImage(image, JPEG2000Lossless).frames
    assert [frame.replace(b"\0", b"") for frame in found] == [b"".join(one).replace(b"\0", b"") for one in parts]


@pytest.mark.parametrize(
    "change",
    [{"Rows": 65}, {"Columns": 69}, {"BitsAllocated": 8}, {"SamplesPerPixel": 3}, {"Rows": None}, {"Columns": 0}],
    ids=repr,
)
@pytest.mark.parametrize("uid", [RLELossless, JPEGLSLossless])
def test_another_size_than_the_header_says_is_not_decoded(uid: str, change: dict[str, Any]) -> None:
    values = random_values(16, signed=False)
    content = encapsulate(encoded(values, 16, uid))
    image = EncodedImage(image_of(values, 16, PixelData=content, **change), uid)
    with pytest.raises(ContradictionError):
        image.decode(1, decoders_of(uid)[0], for_display=False)


def test_only_frames_that_there_are_can_be_decoded() -> None:
    values = random_values(16, signed=False)
    many = [values, values + np.uint16(1), values + np.uint16(2)]
    content = encapsulate([frame for one in many for frame in encoded(one, 16, RLELossless)])
    image = EncodedImage(image_of(values, 16, NumberOfFrames=3, PixelData=content), RLELossless)
    for number, one in enumerate(many, 1):
        np.testing.assert_array_equal(image.decode(number, "pydicom", for_display=False), one)
    for number in (-1, 0, 4):
        with pytest.raises(ContradictionError, match=f"holds 3 encoded frames, and no frame {number}"):
            image.decode(number, "pydicom", for_display=False)


def test_a_frame_is_as_long_as_the_extended_offset_table_says() -> None:
    parts = [b"\xff\xd8\xff\x01\x02", b"\xff\xd8\xff\x03"]
    content, offsets, _ = encapsulate_extended(parts)
    tables = {"ExtendedOffsetTable": offsets, "ExtendedOffsetTableLengths": struct.pack("<2Q", 5, 4)}
    values = random_values(8, signed=False)
    image = EncodedImage(image_of(values, 8, NumberOfFrames=2, PixelData=content, **tables), JPEGLSLossless)
    assert image.frames == parts
    without = EncodedImage(image_of(values, 8, NumberOfFrames=2, PixelData=content), JPEGLSLossless)
    assert without.frames == [parts[0] + b"\0", parts[1]]


@pytest.mark.parametrize("has_table", [True, False])
def test_frames_beyond_those_declared_are_counted_in_the_message(*, has_table: bool) -> None:
    values = random_values(8, signed=False)
    content = encapsulate(encoded(values, 8, JPEGLSLossless) * 3, has_bot=has_table)
    for declared in (None, 1, 2):
        image = image_of(values, 8, PixelData=content, NumberOfFrames=declared)
        with pytest.raises(ContradictionError, match=f"holds 3 encoded frames, its header says {declared or 1}"):
            EncodedImage(image, JPEGLSLossless)
    assert len(EncodedImage(image_of(values, 8, PixelData=content, NumberOfFrames=3), JPEGLSLossless).frames) == 3


# ---- what a stream declares ----


def siz(size: tuple[int, int], start: tuple[int, int], depths: Iterable[int]) -> bytes:
    """The first marker of a JPEG 2000 stream (T.800, annex A.5.1): columns, rows; origin; depths, 0x80 if signed."""
    depths = list(depths)
    parts = struct.pack(">HH8IH", 38 + 3 * len(depths), 0, *size, *start, *size, 0, 0, len(depths))
    return J2K_START + parts + b"".join(bytes([depth, 1, 1]) for depth in depths)


def test_a_jpeg_2000_image_begins_at_its_origin() -> None:
    assert codestream_of(siz((110, 70), (10, 20), [11])) == Codestream(50, 100, 1, 12)
    assert codestream_of(siz((9, 6), (0, 0), [0x80 | 7, 15, 7])) == Codestream(6, 9, 3, 16, is_signed=True)
    assert codestream_of(siz((9, 6), (0, 0), [7, 0x80 | 7])) == Codestream(6, 9, 2, 8)


def test_a_stream_is_found_inside_of_a_jp2_file_and_nowhere_else() -> None:
    stream = siz((9, 6), (0, 0), [7])
    signature = b"\0\0\0\x0cjP  \r\n\x87\n"
    boxes = b"\0\0\0\x14ftypjp2 \0\0\0\0jp2 \0\0\0\0jp2c"
    assert codestream_of(signature + boxes + stream) == Codestream(6, 9, 1, 8)
    assert codestream_of(signature + boxes) is None
    assert codestream_of(b"\0\0" + stream) is None


SOF = b"\xff\xc0\0\x0b\x08\0\x06\0\x09\1\1\x11\0"


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (b"", Codestream(6, 9, 1, 8)),
        (b"\xff", Codestream(6, 9, 1, 8)),  # fill bytes
        (b"\xff\xff", Codestream(6, 9, 1, 8)),
        (b"\xff\x01\xff\xd0\xff\xd7", Codestream(6, 9, 1, 8)),  # markers without content
        (
            b"\xff\xc4\0\4\1\2\xff\xc8\0\2\xff\xcc\0\3\0",
            Codestream(6, 9, 1, 8),
        ),  # tables, whose code lies among those of frame headers
        (b"\xff\xfe\0\x0d" + SOF[:11], Codestream(6, 9, 1, 8)),  # a comment that looks like one
        (b"\xff\xda\0\2", None),  # the pixels begin before any frame header
        (b"\0", None),
    ],
)
def test_the_frame_header_of_a_jpeg_is_behind_other_segments(before: bytes, expected: Codestream | None) -> None:
    for code, name in ((0xC0, "baseline"), (0xC3, "lossless"), (0xCF, "last"), (0xF7, "JPEG-LS")):
        frame = b"\xff\xd8" + before + b"\xff" + bytes([code]) + SOF[2:]
        assert codestream_of(frame) == expected, name
        assert codestream_of(frame[: 2 + len(before) + 9]) is None


@pytest.mark.parametrize("comment", [b"\0\1\1\1\1\1\1\1\1", b"\1"])
def test_a_marker_of_adobe_that_is_too_short_to_state_a_transform_stays(comment: bytes) -> None:
    short = b"\xff\xee\0\x09Adobe\0\x64"
    jfif = b"\xff\xe0\0\x07JFIF\0"
    for before in (b"", jfif):
        frame = b"\xff\xd8" + before + short + b"\xff\xfe\0" + bytes([2 + len(comment)]) + comment + b"\xff\xda\0\2"
        assert without_adobe_marker(frame, is_ybr=True) == frame


def test_a_file_without_the_preamble_is_read_too(tmp_path: Path) -> None:
    values = random_values(16, signed=False)
    ds = image_of(values, 16)
    ds.compress(RLELossless, values, generate_instance_uid=False)
    ds.SOPClassUID = ds.SOPInstanceUID = "1.2.3"
    ds.save_as(tmp_path / "x.dcm", enforce_file_format=True)
    whole = (tmp_path / "x.dcm").read_bytes()
    for content in (whole, whole[132:]):
        (tmp_path / "x.dcm").write_bytes(content)
        image = EncodedImage.read(str(tmp_path / "x.dcm"), RLELossless)
        np.testing.assert_array_equal(image.decode(1, "pydicom", for_display=False), values)


# ---- native pixel data ----


@pytest.mark.parametrize(
    ("values", "vr", "padding"),
    [
        (np.arange(9, dtype=np.uint8).reshape(3, 3), "OB", b"\0"),
        (np.arange(8, dtype=np.uint8).reshape(2, 4), "OB", b""),
        (np.arange(9, dtype="<u2").reshape(3, 3), "OW", b""),
    ],
    ids=["odd", "even", "words"],
)
def test_decoded_frames_become_native_pixel_data(values: NDArray[Any], vr: str, padding: bytes) -> None:
    ds = image_of(values, 8 * values.dtype.itemsize, PlanarConfiguration=1)
    ds.PixelData = encapsulate([b"\0\0"])
    ds["PixelData"].is_undefined_length = True
    ds.ExtendedOffsetTable = ds.ExtendedOffsetTableLengths = bytes(8)
    ds.file_meta.TransferSyntaxUID = JPEGLSLossless
    put_frames(ds, [values])
    assert (ds["PixelData"].VR, ds.PixelData) == (vr, values.tobytes() + padding)
    assert not ds["PixelData"].is_undefined_length
    assert ds.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert not {"ExtendedOffsetTable", "ExtendedOffsetTableLengths"} & {one.keyword for one in ds}
    assert ds.PlanarConfiguration == 1  # has no meaning for one sample


@pytest.mark.parametrize("samples", [2, 3, None])
def test_samples_of_a_pixel_lie_side_by_side(samples: int | None) -> None:
    values = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    ds = image_of(values, 8, SamplesPerPixel=samples, PlanarConfiguration=1, PixelData=encapsulate([b"\0\0"]))
    if samples is None:
        del ds.SamplesPerPixel
    put_frames(ds, [values, values + np.uint8(100)])
    assert ds.PixelData == bytes(range(12)) + bytes(range(100, 112))
    assert ds.PlanarConfiguration == (1 if samples is None else 0)


# ---- requests to decoder processes ----


def test_frames_of_one_file_may_ask_for_different_decoders_and_colours() -> None:
    instance = read_instance(packaged("SC_rgb_dcmtk_+eb+cy+np.dcm"))
    assert instance.transfer_syntax_uid == JPEGBaseline8Bit
    stored = EncodedFrame(instance, 1, "pillow")
    shown = replace(stored, for_display=True)
    wanted = {0: decode_one(stored, LIMITS), 1: decode_one(shown, LIMITS)}
    assert not np.array_equal(wanted[0], wanted[1])  # YCbCr, and RGB
    for index, answer in decode_frames([stored, shown], LIMITS):
        np.testing.assert_array_equal(answer.read(), wanted[index])
    for bad in (0, 1):
        frames_ = [replace(stored, decoder="no such one") if index == bad else stored for index in range(2)]
        with pytest.raises(InvalidSeriesError, match=r"frame 1 of .* cannot be decoded .* it is damaged"):
            [answer.read() for _, answer in decode_frames(frames_, LIMITS)]


def test_a_file_that_was_written_anew_is_read_anew(tmp_path: Path) -> None:
    limits = Limits(decoder_processes=1)
    [path] = single_frame(Recipe(slices=1), tmp_path)
    for number in (1, 2):
        ds = dcmread(path)
        values = np.full((4, 5), number, np.int16)
        ds.compress(RLELossless, values, generate_instance_uid=False)
        (tmp_path / "file.dcm").unlink(missing_ok=True)
        ds.save_as(tmp_path / "file.dcm")
        os.utime(tmp_path / "file.dcm", ns=(0, number * 10**9))
        found = decode_one(EncodedFrame(read_instance(tmp_path / "file.dcm"), 1, "pydicom"), limits)
        np.testing.assert_array_equal(found, values)


def test_a_decoder_that_does_not_answer_is_a_refusal_and_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [path] = single_frame(Recipe(slices=1), tmp_path)
    ds = dcmread(path)
    ds.compress(RLELossless, generate_instance_uid=False)
    ds.save_as(path)
    frame = EncodedFrame(read_instance(path), 1, "pydicom")
    CHILDREN.close()  # a time-out of zero seconds, which even the start of a process exceeds
    with monkeypatch.context() as patched:
        patched.setattr(frames, "_WALL_SECONDS_PER_CPU_SECOND", 0)
        with pytest.raises(InvalidSeriesError, match=r"frame 1 of .* does not answer"):
            decode_one(frame, LIMITS)
    assert decode_one(frame, LIMITS).shape == (4, 5)
