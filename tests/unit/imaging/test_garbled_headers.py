"""Headers that are garbled at random: each file is read, or refused with this package's own error, and nothing else."""

from __future__ import annotations

import random
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydicom.data import get_testdata_file

from dcm_processor_service import Container
from dcm_processor_service.dicom_network.sources import survey
from dcm_processor_service.errors import InvalidSeriesError, UnreadableFileError
from dcm_processor_service.imaging.headers.fast_scan import LONG_VALUE_BYTES, SeriesMemory, scan_instance
from dcm_processor_service.imaging.headers.folder import DicomFolders, file_attributes, files_below, glance
from dcm_processor_service.imaging.headers.instance_file import foreign_errors_as, read_dataset, read_instance
from dcm_processor_service.imaging.series.inspection import inspect_series
from dcm_processor_service.models import LeftOutFile
from dcm_processor_service.session.images.catalogue import catalogue_files
from tests.unit.imaging.synthetic import Recipe, multi_frame

if TYPE_CHECKING:
    from collections.abc import Callable

IMAGING = Container().imaging()
VRS = b"AE AS AT CS DA DS DT FL FD IS LO LT OB OW PN SH SL SQ SS ST TM UI UL UN US UT UV ?? \0\0".split(b" ")
FILES = ("CT_small.dcm", "MR_small_RLE.dcm", "rtstruct.dcm", "image_dfl.dcm", "ExplVR_BigEnd.dcm", "test-SR.dcm")


def packaged(name: str) -> bytes:
    found = get_testdata_file(name, download=False)
    assert isinstance(found, str)
    return Path(found).read_bytes()[:8000]


def enhanced(folder: Path) -> bytes:
    return multi_frame(Recipe(slices=4, volumes=2), folder)[0].read_bytes()[:8000]


def other_vr(content: bytearray, chance: random.Random) -> None:
    """Changes the VR of an element in a file of explicit syntax."""
    places = [place for place in range(132, len(content) - 8) if bytes(content[place : place + 2]) in VRS[:-2]]
    if places:
        place = chance.choice(places)
        content[place : place + 2] = chance.choice(VRS)


def other_length(content: bytearray, chance: random.Random) -> None:
    place = chance.randrange(132, len(content) - 4)
    size = chance.choice(("<H", "<I"))
    length = (
        chance.choice((0, 1, 7, 0xFFFE, 0xFFFF)) if size == "<H" else chance.choice((0x7FFFFFFF, 0xFFFFFFFF, 1 << 31))
    )
    content[place : place + struct.calcsize(size)] = struct.pack(size, length)


def other_value(content: bytearray, chance: random.Random) -> None:
    place = chance.randrange(132, len(content))
    value = chance.choice((b"abc", b"\\", b"\0", b"1e999", b"\xff\xfe", b"9" * 70, chance.randbytes(6)))
    content[place : place + len(value)] = value


def cut_off(content: bytearray, chance: random.Random) -> None:
    del content[chance.randrange(len(content)) :]


def moved(content: bytearray, chance: random.Random) -> None:
    place = chance.randrange(132, len(content))
    content[place : place + chance.choice((0, 1, 20))] = chance.randbytes(chance.choice((0, 1, 7)))


GARBLE = (other_vr, other_length, other_value, other_value, cut_off, moved)


def read_by_all(path: Path) -> list[str]:
    """Reads a file in every way that begins with its header; gives the names of those that refused it."""
    ways: dict[str, Callable[[], object]] = {
        "read_instance": lambda: read_instance(path),
        "outline": lambda: read_instance(path, longest_value_bytes=LONG_VALUE_BYTES),
        "scan_instance": lambda: scan_instance(path, SeriesMemory()),
        "is_cut_off": lambda: scan_instance(path).is_cut_off,
        "glance": lambda: glance(path),
        "attributes": lambda: file_attributes(path, ("PatientName", "StudyInstanceUID", "SeriesNumber")),
        "read_dataset": lambda: read_dataset(path),
        "inspect": lambda: inspect_series([path]),
    }
    refused = []
    for name, read in ways.items():
        try:
            read()
        except InvalidSeriesError:
            refused.append(name)
    return refused


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", [*FILES, "enhanced"])
def test_garbled_bytes_are_read_or_refused_and_nothing_foreign_is_raised(tmp_path: Path, name: str, seed: int) -> None:
    whole = enhanced(tmp_path) if name == "enhanced" else packaged(name)
    chance = random.Random(f"{name} {seed}")
    path = tmp_path / "scans" / "garbled.dcm"
    path.parent.mkdir()
    refused = 0
    for _ in range(25):
        content = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            if len(content) > 200:
                chance.choice(GARBLE)(content, chance)
        path.write_bytes(content)
        refused += "read_instance" in read_by_all(path)
        (found,) = DicomFolders().read(files_below(path.parent))
        catalogue = catalogue_files(files_below(path.parent), IMAGING)
        assert len(catalogue.left_out) == isinstance(found, LeftOutFile)
        if isinstance(found, LeftOutFile):
            assert found.reason == catalogue.left_out[0].reason
        assert len(list(survey(path))) == 1
    assert 0 < refused < 25


def test_a_character_set_that_pydicom_cannot_look_up_is_a_damaged_file_for_all(tmp_path: Path) -> None:
    path = tmp_path / "x.dcm"
    path.write_bytes(packaged("CT_small.dcm").replace(b"ISO_IR 100", b"\1\0O_IR 100"))
    (found,) = DicomFolders().read(files_below(tmp_path))
    (left_out,) = catalogue_files(files_below(tmp_path), IMAGING).left_out
    assert found == left_out
    assert left_out.reason.startswith("damaged")


def nested(depth: int, *, length: int) -> bytes:
    item = b"\xfe\xff\x00\xe0" + struct.pack("<I", length)
    return (b"\x08\x00\x40\x11SQ\0\0" + struct.pack("<I", length) + item) * depth


@pytest.mark.parametrize("place", ["front", "end"])
@pytest.mark.parametrize("length", [0xFFFFFFFF, 0x7FFFFFF0, 64], ids=hex)
def test_sequences_nested_without_end_and_huge_lengths_are_refused(tmp_path: Path, place: str, length: int) -> None:
    whole = packaged("CT_small.dcm")
    begin = whole.index(b"\x08\x00\x08\x00CS") if place == "front" else whole.index(b"\xe0\x7f\x10\x00")
    path = tmp_path / "nested.dcm"
    path.write_bytes(whole[:begin] + nested(5000, length=length) + whole[begin:])
    assert read_by_all(path)


def test_memory_that_is_not_there_is_a_damaged_file() -> None:
    def read() -> None:
        raise MemoryError

    with (
        pytest.raises(UnreadableFileError, match="too much") as caught,
        foreign_errors_as(lambda: UnreadableFileError("too much")),
    ):
        read()
    assert isinstance(caught.value.__cause__, MemoryError)


@pytest.mark.parametrize("error", [AssertionError, AttributeError, NameError, TypeError, ImportError])
def test_a_mistake_of_our_own_code_stays_visible_and_a_librarys_does_not(error: type[Exception]) -> None:
    code = compile("raise error", "made for the test", "exec")
    for module, expected in (
        ("dcm_processor_service.some.module", error),
        ("pydicom.some.module", UnreadableFileError),
    ):
        with pytest.raises(expected), foreign_errors_as(lambda: UnreadableFileError("damaged")):
            exec(code, {"__name__": module, "error": error})


def test_errors_of_this_package_pass_through_the_edge_unchanged() -> None:
    own = InvalidSeriesError("own")
    with pytest.raises(InvalidSeriesError) as caught, foreign_errors_as(lambda: UnreadableFileError("other")):
        raise own
    assert caught.value is own
