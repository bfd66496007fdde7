from __future__ import annotations

import os
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.data.data_manager import DATA_ROOT
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from dcm_processor_service.dicom_network import soundness
from dcm_processor_service.dicom_network.soundness import UnsoundFileError, examine
from dcm_processor_service.dicom_network.sources import Outgoing, Unreadable, UnreadableInstanceError, survey
from dcm_processor_service.imaging.headers.instance_file import contained
from tests.unit.dicom_network.instances import make_ct, write_series

EXPLICIT, IMPLICIT, BIG = map(str, (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian))
# values and prefixes that no data set has
UNSOUND = {"SC_rgb_jpeg.dcm"}


def encoded(dataset: Dataset, syntax: str = EXPLICIT) -> bytes:
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def nested(*, undefined: bool) -> Dataset:
    """A slice with a sequence two levels deep."""
    dataset, item, inner = make_ct(rows=4), Dataset(), Dataset()
    inner.CodeValue = "T-1"
    item.PurposeOfReferenceCodeSequence = [inner]
    dataset.ReferencedImageSequence = [item, item]
    for owner, keyword in ((item, "PurposeOfReferenceCodeSequence"), (dataset, "ReferencedImageSequence")):
        owner[keyword].is_undefined_length = undefined
        for one in owner[keyword].value:
            one.is_undefined_length_sequence_item = undefined
    return dataset


def survives(content: bytes, syntax: str) -> bool:
    try:
        examine(BytesIO(content), syntax)
    except UnsoundFileError:
        return False
    return True


def test_every_file_that_pydicom_ships_is_sound_and_is_whose_it_says() -> None:
    unsound, seen = set(), 0
    for path in sorted((Path(DATA_ROOT) / "test_files").rglob("*.dcm")):
        one = next(survey(path), None)
        if isinstance(one, Outgoing):
            seen += 1
            with path.open("rb") as file:
                try:
                    content = examine(file, one.transfer_syntax_uid, is_part10=one.is_part10)
                except UnsoundFileError:
                    unsound.add(path.name)
                    continue
            assert (content.sop_class_uid, content.sop_instance_uid) == (one.sop_class_uid, one.sop_instance_uid)
            assert content.end == path.stat().st_size
    assert seen > 60
    assert unsound == UNSOUND


@pytest.mark.parametrize("undefined", [True, False])
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG])
def test_no_cut_within_an_element_is_sound(syntax: str, *, undefined: bool) -> None:
    content = encoded(nested(undefined=undefined), syntax)
    sound = [length for length in range(400, len(content) + 1) if survives(content[:length], syntax)]
    # what ends with a whole element is a data set; that of an image which has no pixels is told by another rule
    assert sound[-1] == len(content)
    with contained():
        ends = [len(content[:length]) for length in sound if "PixelData" not in dcmread(BytesIO(content[:length]))]
    assert sound == [*ends, len(content)]
    assert len(sound) <= len(nested(undefined=undefined))


@pytest.mark.parametrize("name", ["MR_small_RLE.dcm", "emri_small_RLE.dcm", "SC_rgb_rle_2frame.dcm"])
def test_no_cut_within_compressed_pixels_is_sound(name: str) -> None:
    path = get_testdata_file(name)
    assert isinstance(path, str)
    content = Path(path).read_bytes()
    syntax = str(RLELossless)
    assert survives(content, syntax)
    pixels = content.rindex(b"\xe0\x7f\x10\x00")
    assert not any(survives(content[:length], syntax) for length in range(pixels + 1, len(content), 97))
    assert not any(survives(content[:-lost], syntax) for lost in range(1, 16))


def test_a_deflated_data_set_that_is_cut_off_or_damaged_is_reported() -> None:
    content = encoded(make_ct(), str(DeflatedExplicitVRLittleEndian))
    assert survives(content, str(DeflatedExplicitVRLittleEndian))
    for damaged in (content[:-100], content[:600] + bytes(50) + content[650:]):
        assert not survives(damaged, str(DeflatedExplicitVRLittleEndian))
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    start = 144 + dcmread(BytesIO(content)).file_meta.FileMetaInformationGroupLength
    cut_inside = deflater.compress(zlib.decompress(content[start:], -zlib.MAX_WBITS)[:-3]) + deflater.flush()
    assert not survives(content[:start] + cut_inside, str(DeflatedExplicitVRLittleEndian))


@pytest.mark.parametrize("tail", [b"\0" * 64, b"garbage", b"\xff" * 200])
def test_bytes_after_the_last_element_are_reported(tail: bytes) -> None:
    with pytest.raises(UnsoundFileError, match=r"damaged|cut off"):
        examine(BytesIO(encoded(make_ct()) + tail), EXPLICIT)


@pytest.mark.parametrize(
    ("written", "stated", "said"),
    [
        (
            IMPLICIT,
            EXPLICIT,
            "encoded in implicit VR little endian, but its meta information says Explicit VR Little",
        ),
        (EXPLICIT, IMPLICIT, "encoded in explicit VR little endian"),
        (EXPLICIT, BIG, "encoded in explicit VR little endian"),
        (BIG, EXPLICIT, "encoded in explicit VR big endian"),
        (EXPLICIT, str(RLELossless), "not compressed, but its meta information says RLE Lossless"),
    ],
)
def test_a_file_under_a_wrong_transfer_syntax_is_reported_with_its_real_one(
    written: str, stated: str, said: str
) -> None:
    content = encoded(make_ct(), written)
    length = dcmread(BytesIO(content)).file_meta.FileMetaInformationGroupLength
    lying = make_ct()
    meta = encoded(lying, EXPLICIT)
    meta = meta[: 144 + dcmread(BytesIO(meta)).file_meta.FileMetaInformationGroupLength]
    own, said_uid = EXPLICIT.encode(), stated.encode().ljust(len(EXPLICIT) + len(EXPLICIT) % 2, b"\0")
    padded = own + b"\0" * (len(own) % 2)
    assert padded in meta
    head = meta.replace(b"UI" + len(padded).to_bytes(2, "little") + padded, _uid_element(said_uid))
    with pytest.raises(UnsoundFileError, match=said):
        examine(BytesIO(head + content[144 + length :]), stated)


def _uid_element(value: bytes) -> bytes:
    value = value.rstrip(b"\0")
    value += b"\0" * (len(value) % 2)
    return b"UI" + len(value).to_bytes(2, "little") + value


def test_a_compressed_data_set_that_says_it_is_plain_is_reported() -> None:
    path = get_testdata_file("MR_small_RLE.dcm")
    assert isinstance(path, str)
    content = Path(path).read_bytes().replace(b"1.2.840.10008.1.2.5\0", b"1.2.840.10008.1.2.1\0")
    with pytest.raises(UnsoundFileError, match=r"^compressed, but its"):
        examine(BytesIO(content), EXPLICIT)


ITEM = b"\xfe\xff\x00\xe0"


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG])
def test_a_sequence_whose_lengths_contradict_each_other_is_reported(syntax: str) -> None:
    content = encoded(nested(undefined=False), syntax)
    assert survives(content, syntax)
    item = ITEM if syntax != BIG else b"\xff\xfe\xe0\x00"
    order: Literal["little", "big"] = "little" if syntax != BIG else "big"
    positions = [at for at in range(len(content)) if content[at : at + 4] == item]
    assert len(positions) == 4
    for at in positions:
        length = int.from_bytes(content[at + 4 : at + 8], order)
        for lie in (length + 2, length - 2, 0xFFFF, 4):
            said = content[: at + 4] + lie.to_bytes(4, order) + content[at + 8 :]
            assert not survives(said, syntax), (at, lie)


def test_a_private_sequence_that_is_written_implicitly_inside_an_explicit_data_set_is_sound() -> None:
    inner = b"\x08\x00\x00\x01\x04\x00\x00\x00T-1 "
    value = ITEM + len(inner).to_bytes(4, "little") + inner
    sequence = b"\x21\x00\x10\x00LO\x04\x00VEND\x21\x00\x01\x10SQ\0\0" + len(value).to_bytes(4, "little") + value
    content = encoded(make_ct(rows=4))
    pixels = content.rindex(b"\xe0\x7f\x10\x00")
    assert survives(content[:pixels] + sequence + content[pixels:], EXPLICIT)
    assert not survives(content[:pixels] + sequence[:-2] + content[pixels:], EXPLICIT)


def test_a_data_set_that_names_two_instances_is_reported() -> None:
    content = encoded(make_ct(rows=4))
    element = content[content.index(b"\x08\x00\x18\x00UI") :]
    element = element[: 8 + int.from_bytes(element[6:8], "little")]
    at = content.index(element) + len(element)
    assert survives(content[:at] + element + content[at:], EXPLICIT)  # readers agree on it
    other = element[:-2] + bytes([element[-2] ^ 1]) + element[-1:]
    with pytest.raises(UnsoundFileError, match="two SOP classes or instances"):
        examine(BytesIO(content[:at] + other + content[at:]), EXPLICIT)


def test_bytes_after_a_deflated_data_set_are_reported() -> None:
    syntax = str(DeflatedExplicitVRLittleEndian)
    content = encoded(make_ct(), syntax)
    start = 144 + dcmread(BytesIO(content)).file_meta.FileMetaInformationGroupLength
    inflated = zlib.decompress(content[start:], -zlib.MAX_WBITS)
    trailer = zlib.crc32(inflated).to_bytes(4, "little") + len(inflated).to_bytes(4, "little")
    assert survives(content + b"\0", syntax)
    assert survives(content + trailer, syntax)  # some writers leave what gzip adds
    assert not survives(content + b"garbage!", syntax)


@pytest.mark.parametrize("item_length", [b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f"], ids=["undefined", "long"])
def test_sequences_deeper_than_any_are_reported(item_length: bytes) -> None:
    opened = (b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0" + item_length) * 5000
    with pytest.raises(UnsoundFileError, match="nested too deeply"):
        examine(BytesIO(opened), EXPLICIT, is_part10=False)


ITEM, ITEM_END, SEQUENCE_END = (b"\xfe\xff" + number + b"\xe0" for number in (b"\0", b"\x0d", b"\xdd"))
SEQUENCE = b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff"
UNDEFINED, NOTHING = b"\xff" * 4, bytes(4)


@pytest.mark.parametrize(
    ("content", "sound"),
    [
        (SEQUENCE + ITEM + UNDEFINED + ITEM_END + NOTHING + SEQUENCE_END + NOTHING, True),
        (SEQUENCE + ITEM + NOTHING + SEQUENCE_END + NOTHING, True),
        (SEQUENCE + ITEM + UNDEFINED + SEQUENCE_END + NOTHING + SEQUENCE_END + NOTHING, False),
        (SEQUENCE + ITEM + UNDEFINED + ITEM + NOTHING + SEQUENCE_END + NOTHING, False),
        (SEQUENCE + ITEM + b"\x08\0\0\0" + ITEM_END + NOTHING + SEQUENCE_END + NOTHING, False),
        (SEQUENCE + ITEM_END + NOTHING + SEQUENCE_END + NOTHING, False),
        (ITEM_END + NOTHING, False),
        (SEQUENCE_END + NOTHING, False),
    ],
    ids=["item", "empty item", "no end of item", "item in item", "end in item", "no item", "end alone", "sequence end"],
)
def test_items_and_sequences_end_as_they_began(content: bytes, *, sound: bool) -> None:
    if sound:
        examine(BytesIO(content), EXPLICIT, is_part10=False)
        return
    with pytest.raises(UnsoundFileError, match=r"damaged|cut off"):
        examine(BytesIO(content), EXPLICIT, is_part10=False)


@pytest.mark.parametrize("group", [0x0000, 0x0002, 0x0004, 0x0007])
def test_a_group_that_no_data_set_has_is_reported(group: int) -> None:
    element = group.to_bytes(2, "little") + b"\x10\0UI\x02\x001\0"
    with pytest.raises(UnsoundFileError, match="damaged"):
        examine(BytesIO(encoded(make_ct(rows=4)) + element), EXPLICIT)


def test_a_file_of_a_private_syntax_is_accepted_unchecked(tmp_path: Path) -> None:
    path = tmp_path / "private.dcm"
    path.write_bytes(encoded(make_ct(rows=4)).replace(b"1.2.840.10008.1.2.1\0", b"1.2.999.10008.1.2.1\0"))
    (one,) = survey(path)
    assert isinstance(one, Outgoing)
    assert one.transfer_syntax_uid == "1.2.999.10008.1.2.1"
    one.require_sound()
    assert one.checksum(one.transfer_syntax_uid)


def test_a_file_that_became_another_instance_is_not_sent_under_the_old_name(tmp_path: Path) -> None:
    (path,) = write_series(tmp_path, 1)
    (instance,) = survey(path)
    assert isinstance(instance, Outgoing)
    make_ct(5).save_as(path, enforce_file_format=True)
    with pytest.raises(UnreadableInstanceError, match="was replaced by another instance"):
        instance.require_sound()


def test_a_dataset_that_became_another_instance_is_not_sent_under_the_old_name() -> None:
    dataset = make_ct()
    (instance,) = survey(dataset)
    assert isinstance(instance, Outgoing)
    dataset.SOPInstanceUID = "1.2.3"
    with pytest.raises(UnreadableInstanceError, match="was replaced by another instance"):
        instance.open_file(EXPLICIT)


def test_a_file_that_became_of_another_syntax_is_reported(tmp_path: Path) -> None:
    (path,) = write_series(tmp_path, 1)
    (instance,) = survey(path)
    assert isinstance(instance, Outgoing)
    path.write_bytes(encoded(make_ct(), IMPLICIT))
    with pytest.raises(UnreadableInstanceError, match="no longer what it was"):
        instance.require_sound()


def test_a_file_that_gets_shorter_while_it_is_read_is_reported(tmp_path: Path) -> None:
    (path,) = write_series(tmp_path, 1, rows=256)
    (instance,) = survey(path)
    assert isinstance(instance, Outgoing)
    with instance.open_file(EXPLICIT) as file:
        pieces = instance.read(file, 1000)
        next(pieces)
        os.truncate(path, 5000)
        with pytest.raises(UnreadableInstanceError, match="changed while it was read"):
            list(pieces)


def test_pixels_that_are_cut_off_need_no_look_at_the_whole_file(tmp_path: Path) -> None:
    (path,) = write_series(tmp_path, 1)
    os.truncate(path, path.stat().st_size - 10)
    (found,) = survey(path)
    assert isinstance(found, Unreadable)


def cut_off_below(depth: int, *, explicit: bool) -> bytes:
    """A data set of sequences of stated length in each other, the innermost of which holds half an element."""
    inner = b"\x10\0\x10\0" + (b"PN\x32\0" if explicit else b"\x32\0\0\0") + b"AB"
    for _ in range(depth):
        inner = ITEM + len(inner).to_bytes(4, "little") + inner
        inner = b"\x40\0\x30\xa7" + (b"SQ\0\0" if explicit else b"") + len(inner).to_bytes(4, "little") + inner
    return inner


@pytest.mark.parametrize("explicit", [True, False], ids=["explicit", "implicit"])
@pytest.mark.parametrize("depth", [8, 40, 63, 64, 80])
def test_what_is_cut_off_below_many_sequences_is_reported_within_few_steps(
    monkeypatch: pytest.MonkeyPatch, depth: int, *, explicit: bool
) -> None:
    content, walks, walk = cut_off_below(depth, explicit=explicit), 0, soundness._items

    def counted(*arguments: Any) -> None:
        nonlocal walks
        walks += 1
        assert walks <= 4 * depth
        walk(*arguments)

    monkeypatch.setattr(soundness, "_items", counted)
    with pytest.raises(UnsoundFileError, match=r"damaged|cut off|longer"):
        examine(BytesIO(content), EXPLICIT if explicit else IMPLICIT, is_part10=False)
    assert walks >= min(depth, 64)


def after_meta(content: bytes, private_bytes: int) -> bytes:
    """The file with private meta information of that length, which shifts all that follows."""
    dataset = dcmread(BytesIO(content))
    length = dataset.file_meta.FileMetaInformationGroupLength
    private = (
        b"\x02\0\x00\x01UI\x02\x001\0\x02\0\x02\x01OB\0\0" + private_bytes.to_bytes(4, "little") + bytes(private_bytes)
    )
    grown = (length + len(private)).to_bytes(4, "little")
    return content[:140] + grown + content[144 : 144 + length] + private + content[144 + length :]


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG])
def test_elements_that_lie_across_the_border_of_what_is_read_at_once_are_read_whole(syntax: str) -> None:
    content = encoded(nested(undefined=True), syntax)
    expected = make_ct()
    whole = examine(BytesIO(content), syntax)
    first = content.index(b"\x08\0\x16\0" if syntax != BIG else b"\0\x08\0\x16")
    for shift in range(-12, 140, 2):
        # the first element of the data set begins so many bytes before a window that begins with the file ends
        moved = after_meta(content, soundness._WINDOW_BYTES - first - 22 - shift)
        found = examine(BytesIO(moved), syntax)
        assert (found.sop_class_uid, found.sop_instance_uid) == (expected.SOPClassUID, expected.SOPInstanceUID)
        assert found.end - found.start == whole.end - whole.start
        assert not survives(moved[:-1], syntax)


def test_a_data_set_begins_behind_its_meta_information_of_whatever_length() -> None:
    content = encoded(make_ct(rows=4))
    start = 144 + dcmread(BytesIO(content)).file_meta.FileMetaInformationGroupLength
    assert soundness.dataset_position(BytesIO(content)) == start
    assert soundness.dataset_position(BytesIO(content[start:])) == 0
    for length in (0, 2, 1000, soundness._META_BYTES - start - 22, soundness._META_BYTES, 1 << 17):
        assert soundness.dataset_position(BytesIO(after_meta(content, length))) == start + 22 + length


@pytest.mark.parametrize("depth", [62, 63, 64, 65])
@pytest.mark.parametrize("kind", ["undefined", "stated", "item of undefined length"])
def test_sequences_may_be_sixty_four_deep(depth: int, kind: str) -> None:
    inner = b"\x10\0\x10\0PN\x02\0AB"
    for _ in range(depth):
        item = ITEM + len(inner).to_bytes(4, "little") + inner
        if kind != "stated":
            item = ITEM + UNDEFINED + inner + ITEM_END + NOTHING
        inner = SEQUENCE[:8] + len(item).to_bytes(4, "little") + item
        if kind == "undefined":
            inner = SEQUENCE + item + SEQUENCE_END + NOTHING
    if depth <= 64:
        examine(BytesIO(inner), EXPLICIT, is_part10=False)
        return
    with pytest.raises(UnsoundFileError, match=r"damaged|cut off"):
        examine(BytesIO(inner), EXPLICIT, is_part10=False)


FRAGMENTS = b"\xe0\x7f\x10\0OB\0\0" + UNDEFINED
ELEMENT = b"\x10\0\x10\0PN\x02\0AB"


@pytest.mark.parametrize(
    ("fragments", "sound"),
    [
        (ITEM + NOTHING + ITEM + b"\x0a\0\0\0" + ELEMENT + SEQUENCE_END + NOTHING, True),
        (ITEM + NOTHING + ITEM + UNDEFINED + ELEMENT + ITEM_END + NOTHING + SEQUENCE_END + NOTHING, False),
        (ITEM + NOTHING + ITEM + b"\x0b\0\0\0" + ELEMENT + SEQUENCE_END + NOTHING, False),
        (ELEMENT + SEQUENCE_END + NOTHING, False),
        (ITEM + NOTHING, False),
    ],
    ids=["fragment", "without length", "too long", "no fragment", "no end"],
)
def test_fragments_of_pixels_have_lengths_and_an_end(fragments: bytes, *, sound: bool) -> None:
    content = BytesIO(FRAGMENTS + fragments)
    if sound:
        examine(content, str(RLELossless), is_part10=False)
        return
    with pytest.raises(UnsoundFileError, match=r"damaged|cut off"):
        examine(content, str(RLELossless), is_part10=False)
