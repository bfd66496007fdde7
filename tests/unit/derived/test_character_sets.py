"""Names of sources in the character sets of the world, read from files: right in the result, or left empty."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from dcm_processor_service.derived import SourceSeries, text_report, validate
from tests.unit.derived.sources import make_headers, make_recipe, stored

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement

LENGTH = 48


def read(character_set: str | None, name: bytes) -> Dataset:
    """A header from a file in which name and description of the study are these bytes."""
    header = make_headers()[0]
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.PatientName, header.StudyDescription = "N" * LENGTH, "D" * LENGTH
    buffer = BytesIO()
    header.save_as(buffer, enforce_file_format=True)
    content = buffer.getvalue()
    for letter in (b"N", b"D"):
        content = content.replace(letter * LENGTH, name.ljust(LENGTH))
    if character_set is not None:
        value = character_set.encode() + b" " * (len(character_set) % 2)
        start = content.index(b"\x08\x00\x16\x00UI")
        element = b"\x08\x00\x05\x00CS" + len(value).to_bytes(2, "little") + value
        content = content[:start] + element + content[start:]
    return dcmread(BytesIO(content))


def told(character_set: str | None, name: bytes) -> tuple[str, str]:
    """The name and the description of the study in a report, and that the report has no flaw of its own."""
    made = text_report("words", SourceSeries.from_headers([read(character_set, name)]), make_recipe())
    assert not [problem for problem in validate(made) if problem.about == "object"]
    again = stored(made)
    description: DataElement | str = again.get("StudyDescription", "")
    return str(again.PatientName), str(description or "")


@pytest.mark.parametrize(
    ("character_set", "name", "right"),
    [
        ("\\ISO 2022 IR 87", b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", "Yamada^Tarou=山田^太郎"),
        (
            "ISO 2022 IR 13\\ISO 2022 IR 87",
            b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J",
            "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎",
        ),
        ("\\ISO 2022 IR 149", b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7", "Hong^Gildong=洪^吉洞"),
        ("ISO_IR 100\\ISO 2022 IR 144", b"J\xf6rg^\x1b-L\xb8\xd2", "Jörg^Ив"),
        ("GB18030", "Wang^XiaoDong=王^小东".encode("gb18030"), "Wang^XiaoDong=王^小东"),
        ("ISO_IR 192", "Żółć^Łucja".encode(), "Żółć^Łucja"),
        ("ISO_IR 101", "Wałęsa^Lech".encode("iso8859-2"), "Wałęsa^Lech"),
        ("ISO_IR 126", "Διονυσιος".encode("iso8859-7"), "Διονυσιος"),
        ("ISO_IR 166", "นามสกุล".encode("tis-620"), "นามสกุล"),
        ("UTF8", "Łódź".encode(), "Łódź"),
    ],
)  # fmt: skip
def test_a_declared_name_is_decoded_also_where_the_first_value_of_the_character_set_is_empty(
    character_set: str, name: bytes, right: str
) -> None:
    assert told(character_set, name) == (right, right)


@pytest.mark.filterwarnings("ignore:Unknown encoding")  # of pydicom, where the file is read
@pytest.mark.parametrize("character_set", ["ISO_IR 6", "ISO 2022 IR 6", "ISO_IR 999", "", None])
@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("Łódź^Żółć".encode(), "Łódź^Żółć"), ("Müller^Jörg".encode("latin-1"), "Müller^Jörg"),
        ("Иванов^Пётр".encode("cp1251"), ""), ("山田^太郎".encode("shift_jis"), ""),
        (b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", ""),
    ],
)  # fmt: skip
def test_a_name_beyond_what_is_declared_is_known_or_left_empty(
    character_set: str | None, name: bytes, right: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert told(character_set, name) == (right, right)
    assert any("SpecificCharacterSet that fits it" in message for message in caplog.messages)


@pytest.mark.filterwarnings("ignore:Failed to decode byte string")
def test_a_name_that_is_not_in_its_declared_character_set_does_not_lose_letters(
    caplog: pytest.LogCaptureFixture,
) -> None:
    name, description = told("ISO_IR 192", "Müller^Jörg".encode("latin-1"))
    assert name in {"", "Müller^Jörg"}
    assert description in {"", "Müller^Jörg"}
    assert any("SpecificCharacterSet that fits it" in message for message in caplog.messages)
