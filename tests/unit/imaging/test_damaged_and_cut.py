"""Where a file's pixels lie, whether the file is complete, and what is reported about a file that is not."""

from __future__ import annotations

import errno
import io
import os
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
)

from dcm_processor_service.errors import InvalidSeriesError, UnreadableFileError
from dcm_processor_service.imaging.headers.fast_scan import scan_instance
from dcm_processor_service.imaging.headers.instance_file import (
    foreign_errors_as,
    not_opened,
    open_regular,
    read_dataset,
    read_header,
    read_instance,
    unreadable,
)
from dcm_processor_service.imaging.headers.repeats import is_same_instance
from dcm_processor_service.imaging.headers.values import ScannedHeader
from dcm_processor_service.models.images.limits import Limits

if TYPE_CHECKING:
    from pathlib import Path

PIXELS = bytes(range(24))
PLAIN = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]
META = 144  # preamble, prefix and the length of the meta information


def image(syntax: str = ExplicitVRLittleEndian, **values: Any) -> Dataset:
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = UID(syntax)
    made.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.2")
    made.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3.4")
    made.SOPClassUID, made.SOPInstanceUID, made.SeriesInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3.4", "1.2.3"
    made.Modality, made.Rows, made.Columns, made.BitsAllocated = "CT", 3, 4, 16
    made.PixelData = PIXELS
    made["PixelData"].VR = "OW"
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def content(dataset: Dataset) -> bytes:
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    return out.getvalue()


def stored(folder: Path, whole: bytes) -> Path:
    path = folder / "x.dcm"
    path.write_bytes(whole)
    return path


def bare(whole: bytes) -> bytes:
    """A file without preamble and meta information."""
    return whole[META + int.from_bytes(whole[140:144], "little") :]


@pytest.mark.parametrize("syntax", PLAIN)
@pytest.mark.parametrize("vr", ["OW", "OB"])
def test_pixels_lie_where_they_are_said_to_lie(tmp_path: Path, syntax: str, vr: str) -> None:
    dataset = image(syntax)
    dataset["PixelData"].VR = vr
    path = stored(tmp_path, content(dataset))
    for instance in (read_instance(path), scan_instance(path)):
        where = instance.pixels
        assert where is not None
        assert (where.tag, where.size_bytes, instance.file_size_bytes) == (0x7FE00010, 24, path.stat().st_size)
        assert where.offset_bytes + 24 == path.stat().st_size
        assert where.vr == ("" if syntax == ImplicitVRLittleEndian else vr)
        assert instance.transfer_syntax_uid == syntax
        assert instance.is_part10
        assert not instance.is_compressed
        assert not instance.is_cut_off
        assert (instance.sop_instance_uid, instance.label) == ("1.2.3.4", "instance 1.2.3.4")


@pytest.mark.parametrize("keyword", ["FloatPixelData", "DoubleFloatPixelData"])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_pixels_of_fractions_are_pixels(tmp_path: Path, keyword: str, syntax: str) -> None:
    dataset = image(syntax, **{keyword: PIXELS})
    del dataset.PixelData
    path = stored(tmp_path, content(dataset))
    for instance in (read_instance(path), scan_instance(path)):
        assert instance.pixels is not None
        assert instance.pixels.tag == dataset[keyword].tag
        assert path.read_bytes()[instance.pixels.offset_bytes :] == PIXELS
        assert keyword not in instance.header


@pytest.mark.parametrize("syntax", PLAIN)
def test_a_file_without_meta_information_is_read_by_its_encoding(tmp_path: Path, syntax: str) -> None:
    path = stored(tmp_path, bare(content(image(syntax))))
    instance = read_instance(path)
    assert (instance.transfer_syntax_uid, instance.is_part10) == (syntax, False)
    assert read_header(path).Rows == 3
    assert read_dataset(path).PixelData == PIXELS
    assert read_dataset(path).file_meta.TransferSyntaxUID == syntax


@pytest.mark.parametrize("syntax", [*PLAIN, DeflatedExplicitVRLittleEndian])
def test_a_file_is_whole_to_its_last_byte_and_cut_off_without_it(tmp_path: Path, syntax: str) -> None:
    whole = content(image(syntax))
    path = stored(tmp_path, whole)
    assert read_dataset(path).PixelData == PIXELS
    if syntax == DeflatedExplicitVRLittleEndian:
        assert not read_instance(path).is_cut_off
        return
    stored(tmp_path, whole[:-1])
    assert scan_instance(path).is_cut_off
    assert read_instance(path).is_cut_off
    with pytest.raises(InvalidSeriesError, match=r"instance 1\.2\.3\.4 ends inside its pixel data"):
        read_dataset(path)


@pytest.mark.parametrize("read", [read_instance, scan_instance])
def test_an_image_that_ends_before_its_pixels_is_cut_off(tmp_path: Path, read: Any) -> None:
    dataset = image()
    del dataset.PixelData
    assert read(stored(tmp_path, content(dataset))).is_cut_off
    del dataset.BitsAllocated
    assert not read(stored(tmp_path, content(dataset))).is_cut_off


def compressed() -> bytes:
    dataset = image(JPEG2000Lossless)
    dataset.PixelData = encapsulate([bytes(2000)])
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    return content(dataset)


@pytest.mark.parametrize("read", [read_instance, scan_instance])
@pytest.mark.parametrize(
    "after",
    [b"", bytes(400), b"\xfc\xff\xfc\xffOB\0\0\4\0\0\0" + bytes(4)],
    ids=["nothing", "zeros", "trailing padding"],
)
def test_compressed_pixels_end_with_their_delimiter_whatever_follows(tmp_path: Path, read: Any, after: bytes) -> None:
    path = stored(tmp_path, compressed() + after)
    instance = read(path)
    assert instance.is_compressed
    assert instance.pixels.size_bytes is None
    assert not instance.is_cut_off
    stored(tmp_path, compressed()[:-8])
    assert instance.is_cut_off
    stored(tmp_path, compressed()[:-1])
    assert instance.is_cut_off


@pytest.mark.parametrize(
    ("syntax", "expected"),
    [
        *((syntax, False) for syntax in (*PLAIN, DeflatedExplicitVRLittleEndian, "1.2.3.4.5", "1.2.840.10008.1.1")),
        *((syntax, True) for syntax in (JPEG2000Lossless, "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.100")),
    ],
)
def test_pixels_are_compressed_by_some_syntaxes(tmp_path: Path, syntax: str, *, expected: bool) -> None:
    instance = read_instance(stored(tmp_path, content(image())))
    assert replace(instance, transfer_syntax_uid=UID(syntax)).is_compressed is expected


def test_a_file_without_uid_is_named_by_its_name(tmp_path: Path) -> None:
    dataset = image()
    del dataset.SOPInstanceUID
    for read in (read_instance, scan_instance):
        instance = read(stored(tmp_path, content(dataset)))
        assert (instance.sop_instance_uid, instance.label) == ("", "file x.dcm")


def test_long_values_stay_in_the_file_until_they_are_asked_for(tmp_path: Path) -> None:
    path = stored(tmp_path, content(image(DerivationDescription="d" * 1000, ImageComments="c" * 100)))
    header: Any = read_instance(path, longest_value_bytes=500).header
    assert header.get_item("DerivationDescription", keep_deferred=True).value is None
    assert header.get_item("ImageComments", keep_deferred=True).value == b"c" * 100
    whole: Any = read_instance(path).header
    assert whole.get_item("DerivationDescription", keep_deferred=True).value == b"d" * 1000


@pytest.mark.parametrize(
    ("whole", "reason", "faulty"),
    [
        (b"", "empty", False),
        (b"x", "not readable as DICOM", False),
        (bytes(128) + b"DICX" + bytes(100), "not readable as DICOM", False),
        (b"\x1f\x8b" + bytes(300), "packed with gzip: unpack it first", False),
        (b"PK" + bytes(300), "packed as ZIP: unpack it first", False),
        (b"\x08\0\x60\0CS\x02\0CT", "not readable as DICOM", False),  # the file has an element, but is not an instance
        (bytes(128) + b"DICM", "cut off inside its header: get it again", True),
    ],
    ids=["nothing", "one byte", "zeros", "gzip", "ZIP", "one element", "preamble"],
)
def test_what_is_no_instance_says_what_it_is(tmp_path: Path, whole: bytes, reason: str, *, faulty: bool) -> None:
    with pytest.raises(UnreadableFileError) as caught:
        read_instance(stored(tmp_path, whole))
    assert (caught.value.reason, caught.value.faulty) == (reason, faulty)
    assert str(caught.value) == f"the file x.dcm is {reason}"


@pytest.mark.parametrize("keyword", ["SOPClassUID", "SeriesInstanceUID", "Rows"])
def test_one_attribute_of_an_instance_is_enough_without_preamble(tmp_path: Path, keyword: str) -> None:
    dataset = image()
    for other in {"SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "Rows", "Columns", "PixelData"} - {keyword}:
        delattr(dataset, other)
    assert read_instance(stored(tmp_path, bare(content(dataset)))).is_part10 is False


def test_a_name_with_a_zero_byte_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError, match="unreadable"):
        open_regular(tmp_path / "a\0b")


def test_a_regular_file_is_opened_to_read(tmp_path: Path) -> None:
    with open_regular(stored(tmp_path, b"abc")) as file:
        assert (file.read(), file.writable()) == (b"abc", False)
    with open_regular(tmp_path / "x.dcm", buffering=0) as raw:
        assert isinstance(raw, io.RawIOBase)


@pytest.mark.parametrize(
    ("code", "is_link", "reason"),
    [
        (errno.ENOENT, True, "a link that leads nowhere"),
        (errno.ELOOP, True, "a link that leads in a circle"),
        (errno.EIO, True, "unreadable (OSError): check that it exists and may be read"),
        (errno.ENOENT, False, "unreadable (FileNotFoundError): check that it exists and may be read"),
    ],
)
def test_a_file_that_was_not_opened_says_why(tmp_path: Path, code: int, reason: str, *, is_link: bool) -> None:
    path = tmp_path / "x"
    if is_link:
        path.symlink_to(tmp_path / "y")
    assert not_opened(path, OSError(code, os.strerror(code))).reason == reason


def test_names_in_errors_are_printable(tmp_path: Path) -> None:
    assert "\x1b" not in str(unreadable(tmp_path / "a\x1bb", "empty"))
    assert unreadable(tmp_path / "a", "empty").faulty


def deflated(unpacked: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(unpacked) + packer.flush()


def test_how_far_a_deflated_file_may_expand_is_that_of_its_data_set(tmp_path: Path) -> None:
    whole = content(image())
    rest = bare(whole[: -len(PIXELS) - 12]) + b"\xe0\x7f\x10\0OW\0\0" + (1 << 19).to_bytes(4, "little") + bytes(1 << 19)
    head = content(image(DeflatedExplicitVRLittleEndian))
    start = META + int.from_bytes(head[140:144], "little")
    packed = deflated(rest)
    path = stored(tmp_path, head[:start] + packed)
    ratio = len(rest) / len(packed)
    assert ratio > 100
    for limits in (Limits(free_bytes=len(rest), expansion=1), Limits(free_bytes=0, expansion=int(ratio) + 1)):
        assert read_instance(path, limits=limits).sop_instance_uid == "1.2.3.4"
        assert len(read_dataset(path, limits).PixelData) == 1 << 19
        assert read_header(path, limits).Rows == 3
    for limits in (Limits(free_bytes=len(rest) - 1, expansion=1), Limits(free_bytes=0, expansion=int(ratio))):
        for read in (read_instance, scan_instance):
            with pytest.raises(UnreadableFileError, match="expands beyond every measure"):
                read(path, limits=limits)
        for whole_reading in (read_dataset, read_header):
            with pytest.raises(UnreadableFileError, match="expands beyond every measure"):
                whole_reading(path, limits)


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_the_end_of_a_process_does_not_count_as_bad_input(end: type[BaseException]) -> None:
    with pytest.raises(end), foreign_errors_as(lambda: InvalidSeriesError("damaged")):
        raise end


@pytest.mark.parametrize("error", [ValueError, KeyError, OSError, RecursionError, MemoryError])
def test_what_a_library_raises_counts_as_bad_input(error: type[Exception]) -> None:
    cause = error("x")
    with (
        pytest.raises(InvalidSeriesError, match="damaged") as caught,
        foreign_errors_as(lambda: InvalidSeriesError("damaged")),
    ):
        raise cause
    assert caught.value.__cause__ is cause


def test_a_file_whose_last_element_is_longer_than_it_is_cut_off(tmp_path: Path) -> None:
    dataset = image()
    del dataset.PixelData, dataset.BitsAllocated
    whole = content(dataset)
    path = stored(tmp_path, whole)
    assert read_instance(path).header == dcmread(path)
    for cut in (1, 2, 7):
        with pytest.raises(UnreadableFileError, match="cut off inside its header"):
            read_instance(stored(tmp_path, whole[:-cut]))
    with pytest.raises(UnreadableFileError, match=r"cut off inside its header|damaged"):
        read_instance(stored(tmp_path, whole + b"\0"))


AFTER_PIXELS = {
    "no element": b"\xff" * 8,
    "an element without end": b"\xfc\xff\xfc\xffOB\0\0\xff\xff\xff\xff",
    "a sequence without end": b"\xfc\xff\xfc\xffSQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff",
}


@pytest.mark.parametrize("after", AFTER_PIXELS.values(), ids=AFTER_PIXELS.keys())
def test_what_is_damaged_after_its_pixels_is_not_read_as_an_empty_instance(tmp_path: Path, after: bytes) -> None:
    path = stored(tmp_path, content(image()) + after)
    assert read_header(path).Rows == 3
    with pytest.raises(UnreadableFileError, match=r"the file x\.dcm is damaged"):
        read_dataset(path)


def test_two_instances_that_are_damaged_alike_are_not_one(tmp_path: Path) -> None:
    paths = []
    for name, pixels in (("a", PIXELS), ("b", PIXELS[::-1])):
        paths.append(tmp_path / name)
        paths[-1].write_bytes(content(image(PixelData=pixels)) + AFTER_PIXELS["an element without end"])
    assert not is_same_instance(*paths)


def test_one_value_of_two_types_is_two_values(tmp_path: Path) -> None:
    content_of = content(image())
    pixels = content_of.rindex(b"\xe0\x7f\x10\0")
    paths = []
    for vr in (b"US", b"SS"):  # 65535, and -1
        paths.append(tmp_path / vr.decode())
        paths[-1].write_bytes(content_of[:pixels] + b"\x28\0\x20\x01" + vr + b"\2\0\xff\xff" + content_of[pixels:])
    assert not is_same_instance(*paths)


def test_a_last_element_of_undefined_length_is_whole(tmp_path: Path) -> None:
    dataset = image()
    del dataset.PixelData, dataset.BitsAllocated
    pieces = b"\xfe\xff\x00\xe0\4\0\0\0abcd\xfe\xff\xdd\xe0\0\0\0\0"
    path = stored(tmp_path, content(dataset) + b"\xfc\xff\xfc\xffOB\0\0\xff\xff\xff\xff" + pieces)
    assert read_header(path).Rows == 3


def test_a_scan_keeps_what_has_a_value_and_is_asked_for(tmp_path: Path) -> None:
    dataset = image(SeriesNumber=None, InstitutionName="7", StudyID="8")
    item = Dataset()
    item.ReferencedSOPInstanceUID = "1.2.3.4.5"
    item.is_undefined_length_sequence_item = True
    dataset.ReferencedImageSequence = [item, item]
    dataset["ReferencedImageSequence"].is_undefined_length = True
    header = scan_instance(stored(tmp_path, content(dataset))).header
    assert isinstance(header, ScannedHeader)
    assert set(header.elements) == {
        *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "Modality", "Rows", "Columns", "BitsAllocated")
    }
