"""Objects are written byte by byte as pydicom writes them, whoever encodes them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydicom import Dataset, FileDataset, Sequence, dcmread
from pydicom.data import get_testdata_file
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import FileMetaDataset
from pydicom.filewriter import write_data_element
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dcm_processor_service.derived import (
    DocumentOptions,
    StudyIdentity,
    capture_pages,
    derive_image,
    encapsulated_pdf,
    save,
    segmentation,
    text_report,
    validate,
    writing,
)
from dcm_processor_service.derived.objects.highdicom_bridge import released
from dcm_processor_service.derived.writing import write_object
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.models.derived import ImageOptions
from tests.unit.derived.sources import make_recipe, make_source

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dcm_processor_service.derived.validation import Spelling

WHO = StudyIdentity(patient_id="P-1", study_instance_uid="1.2.3", patient_name="M\u00fcller^J\u00f6rg")
SHAPE = (5, 4, 3)
PIXELS = 0x7FE00010
WORDS = "Gr\u00f6\u00dfe"


def by_pydicom(dataset: Dataset) -> bytes:
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def by_us(dataset: Dataset) -> bytes:
    file = io.BytesIO()
    write_object(file, dataset)
    return file.getvalue()


def image(**options: Any) -> Dataset:
    array = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    return derive_image(array, make_source(), make_recipe(), None, ImageOptions(**options)).datasets[-1]


def seg() -> Dataset:
    return released(segmentation({"liver": np.ones(SHAPE, bool)}, make_source(), make_recipe()))


def page() -> Dataset:
    return capture_pages([np.zeros((3, 5), np.uint8)], WHO, make_recipe())[0]


def read(name: str) -> Dataset:
    path = get_testdata_file(name)
    assert path is not None
    return dcmread(path)


OBJECTS: dict[str, Callable[[], Dataset]] = {
    "image": image,
    "multi-frame": lambda: image(kind="sc", multi_frame=True),
    "SEG": seg,
    "odd pages": page,
    "PDF": lambda: encapsulated_pdf(b"%PDF-1.4", WHO, make_recipe(), DocumentOptions()),
    "report": lambda: text_report(WORDS, make_source(), make_recipe()),
    **{
        name: lambda name=name: read(name)  # type: ignore[misc]  # each its own name
        for name in ("CT_small.dcm", "MR_small.dcm", "MR_small_RLE.dcm", "rtplan.dcm", "reportsi.dcm", "liver.dcm")
    },
}


@pytest.mark.filterwarnings("ignore")  # of pydicom, about what its own examples hold
@pytest.mark.parametrize("name", OBJECTS)
@pytest.mark.parametrize("is_decoded", [False, True])
def test_every_object_is_written_as_pydicom_writes_it(name: str, *, is_decoded: bool) -> None:
    dataset = OBJECTS[name]()
    if is_decoded:
        validate(dataset)
        assert str(dataset)
    assert by_us(dataset) == by_pydicom(dataset)


def with_element(tag: str, vr: str, value: Any) -> Callable[[FileDataset], None]:
    def change(dataset: FileDataset) -> None:
        dataset[tag] = DataElement(Tag(tag), vr, value)

    return change


def undecoded(content: bytes, length: int | None = None, *, implicit: bool = False) -> Callable[[FileDataset], None]:
    def change(dataset: FileDataset) -> None:
        size = len(content) if length is None else length
        dataset["ImageComments"] = RawDataElement(Tag("ImageComments"), "LT", size, content, 0, implicit, True)

    return change


def _item(**values: Any) -> Sequence:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return Sequence([item])


def _in_latin(dataset: FileDataset) -> None:
    dataset.SpecificCharacterSet = "ISO_IR 100"


def _of_another_uid(dataset: FileDataset) -> None:
    dataset.SOPInstanceUID = "2.25.77"


def _without_header(dataset: FileDataset) -> None:
    del dataset.file_meta.ImplementationVersionName


def _with_group_length(dataset: FileDataset) -> None:
    dataset.add_new(0x00100000, "UL", 4)


def _open_items(dataset: FileDataset) -> None:
    dataset["SourceImageSequence"].is_undefined_length = True
    dataset.SourceImageSequence[0].is_undefined_length_sequence_item = True


CHANGES: dict[str, Callable[[FileDataset], None]] = {
    "words": with_element("PatientComments", "LT", WORDS),
    "many words": with_element("SeriesDescription", "LO", ["odd", WORDS]),
    "two texts": with_element("SoftwareVersions", "LO", ["odd", "even!"]),
    "no text": with_element("StudyDescription", "LO", None),
    "no values": with_element("ImageType", "CS", []),
    "an empty value": with_element("ImageType", "CS", ["A", ""]),
    "numbers": with_element("PixelSpacing", "DS", ["0.50", 1.25, 3]),
    "a number": with_element("InstanceNumber", "IS", 12),
    "a UID of odd length": with_element("FrameOfReferenceUID", "UI", "2.25.1"),
    "odd bytes": with_element("RedPaletteColorLookupTableData", "OW", b"123"),
    "a tag": with_element("FrameIncrementPointer", "AT", 0x00540010),
    "private": with_element("00091001", "UN", b"1234"),
    "a name": with_element("PatientName", "PN", f"{WORDS}^Jane=="),
    "an item": with_element("ReferencedStudySequence", "SQ", _item(ReferencedSOPInstanceUID="2.25.1")),
    "an item with words": with_element("RequestAttributesSequence", "SQ", _item(RequestedProcedureDescription=WORDS)),
    "an empty item": with_element("ReferencedStudySequence", "SQ", Sequence([Dataset()])),
    "no item": with_element("ReferencedStudySequence", "SQ", Sequence()),
    "an item with a number": with_element("ReferencedStudySequence", "SQ", _item(Rows=3, SmallestImagePixelValue=1)),
    "undecoded": undecoded(b"x " * 10),
    "undecoded, odd": undecoded(b"x" * 5),
    "undecoded, of undefined length": undecoded(b"x" * 4, 0xFFFFFFFF),
    "undecoded, implicit": undecoded(b"x" * 4, implicit=True),
    "undecoded, longer than 64 kB": undecoded(b"x" * 70_000),
    "another character set": _in_latin,
    "another UID": _of_another_uid,
    "a header that lacks something": _without_header,
    "group length": _with_group_length,
    "items of undefined length": _open_items,
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CHANGES)
def test_what_a_service_changes_is_written_as_pydicom_writes_it(name: str) -> None:
    dataset = image()
    assert isinstance(dataset, FileDataset)
    CHANGES[name](dataset)
    assert by_us(dataset) == by_pydicom(dataset)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_other_encodings_are_pydicoms(syntax: Any) -> None:
    dataset = image()
    dataset.file_meta.TransferSyntaxUID = syntax
    assert by_us(dataset) == by_pydicom(dataset)


@pytest.mark.parametrize(("signed", "vr", "value"), [(0, "US", 40000), (1, "SS", -5), (1, "SS", 0)])
def test_an_element_gets_the_type_that_the_object_decides(signed: int, vr: str, value: int) -> None:
    left_open, decided = image(), image()
    for dataset in (left_open, decided):
        dataset.PixelRepresentation = signed
    left_open.SmallestImagePixelValue = value
    decided.add_new("SmallestImagePixelValue", vr, value)
    assert by_us(left_open) == by_pydicom(decided)


def test_an_element_without_pixels_gets_a_type_too(tmp_path: Path) -> None:
    left_open, decided = (OBJECTS["PDF"]() for _ in range(2))
    left_open.SmallestImagePixelValue = 5
    decided.add_new("SmallestImagePixelValue", "US", 5)
    [path] = save([left_open], tmp_path)
    assert path.read_bytes() == by_pydicom(decided)


def test_an_element_whose_type_nothing_decides_is_refused() -> None:
    dataset = image()
    dataset.LUTData = b"1234"
    with pytest.raises(DerivedObjectError, match=r"\(0028,3006\) LUTData may be US or OW.*set its VR"):
        by_us(dataset)


def _header_out_of_order(dataset: FileDataset) -> None:
    elements = sorted(dataset.file_meta, key=lambda element: -element.tag)
    dataset.file_meta = FileMetaDataset()
    for element in elements:
        dataset.file_meta[element.tag] = element


def _stale_length(dataset: FileDataset) -> None:
    dataset["PixelData"].is_undefined_length = True


def _undecoded_pixels(content: bytes) -> Callable[[FileDataset], None]:
    def change(dataset: FileDataset) -> None:
        dataset[PIXELS] = RawDataElement(Tag(PIXELS), "OW", len(content), content, 0, False, True)

    return change


@pytest.mark.parametrize(
    "change",
    [_header_out_of_order, _stale_length, _undecoded_pixels(b"123"), _undecoded_pixels(b"1234")],
    ids=["header out of order", "stale length", "undecoded odd pixels", "undecoded pixels"],
)
def test_what_was_read_and_changed_is_written_as_pydicom_writes_it(change: Callable[[FileDataset], None]) -> None:
    ours, theirs = image(), image()
    assert isinstance(ours, FileDataset)
    assert isinstance(theirs, FileDataset)
    change(ours)
    change(theirs)
    assert by_us(ours) == by_pydicom(theirs)


def test_pixels_decompressed_by_hand_are_written_as_pydicom_writes_them() -> None:
    made = []
    for _ in range(2):
        dataset = read("JPEG2000.dcm")
        dataset.PixelData = dataset.pixel_array.tobytes()
        meta = dataset.file_meta
        meta.TransferSyntaxUID, meta.ImplementationVersionName = ExplicitVRLittleEndian, "X"
        meta.FileMetaInformationVersion = b"\0\1"
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
        made.append(dataset)
    assert writing._keeps_bytes(made[0])  # else pydicom writes both
    assert by_us(made[0]) == by_pydicom(made[1])


def test_a_series_is_written_from_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    *first, last = derive_image(np.zeros(SHAPE, np.int16), make_source(), make_recipe()).datasets
    known: set[Spelling] = set()
    for dataset in (*first, last):
        assert validate(dataset, known) == ()

    def refuse(*_: object, **_how: object) -> None:
        raise AssertionError("the whole object is left to pydicom")

    encoded: list[str] = []

    def recorded(file: Any, element: DataElement, encodings: Any) -> None:
        encoded.append(element.keyword)
        write_data_element(file, element, encodings)

    monkeypatch.setattr(writing, "write_data_element", recorded)
    monkeypatch.setattr(FileDataset, "save_as", refuse)
    assert dcmread(io.BytesIO(by_us(last))).SOPInstanceUID == last.SOPInstanceUID
    assert encoded == ["PixelRepresentation"]  # which reading decodes
