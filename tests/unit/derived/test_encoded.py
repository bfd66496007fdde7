"""What the instances of a series share: encoded once, looked at once, and nobody else's when one of them changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from pydicom import Dataset, FileDataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileMetaDataset
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian

from dcm_processor_service.derived import save, validate
from dcm_processor_service.derived.attributes.encoded import Encoded
from dcm_processor_service.derived.make import make_image
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.models.derived import ImageOptions, Producer, Recipe
from tests.unit.imaging.synthetic import Recipe as Synthetic
from tests.unit.imaging.synthetic import single_frame

if TYPE_CHECKING:
    from pathlib import Path

    from dcm_processor_service.derived.validation import Spelling


@pytest.fixture
def made(tmp_path: Path) -> list[Dataset]:
    synthetic = Synthetic(
        slices=3, extra={"SpecificCharacterSet": "ISO_IR 100", "PatientName": "M\u00fcller^J\u00f6rg"}
    )
    (tmp_path / "source").mkdir()
    paths = single_frame(synthetic, tmp_path / "source")
    array = np.zeros((synthetic.columns, synthetic.rows, 3), np.int16)
    how = Recipe(Producer("maker", "1"), role="zeros")
    return [*make_image(array, paths, how, ImageOptions(), None)]


def test_what_instances_share_is_written_from_its_bytes(made: list[Dataset], tmp_path: Path) -> None:
    assert isinstance(made[1].get_item("PatientName"), RawDataElement)
    written = [dcmread(path) for path in save(made, tmp_path / "out")]
    assert {str(one.PatientName) for one in written} == {"M\u00fcller^J\u00f6rg"}
    assert len({one.SOPInstanceUID for one in written}) == 3
    assert [one.file_meta.MediaStorageSOPInstanceUID for one in written] == [one.SOPInstanceUID for one in written]


def test_to_change_one_instance_leaves_the_others_as_they_are(made: list[Dataset]) -> None:
    made[0].PatientID = "other"
    made[0].ContributingEquipmentSequence[0].Manufacturer = "other"
    assert made[1].PatientID != "other"
    assert made[1].ContributingEquipmentSequence[0].Manufacturer != "other"


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_flaw_in_any_instance_is_found(made: list[Dataset], index: int, tmp_path: Path) -> None:
    made[index]["SeriesDescription"] = RawDataElement(
        Tag("SeriesDescription"), "LO", 66, b"x" * 66, 0, is_implicit_VR=False, is_little_endian=True
    )
    with pytest.raises(DerivedObjectError, match="SeriesDescription"):
        save(made, tmp_path / "out")


def test_a_flaw_that_all_instances_share_is_found_in_each(made: list[Dataset]) -> None:
    known: set[Spelling] = set()
    for one in made:
        one.update_raw_element("SeriesDescription", value=b"x" * 66)
        found = [problem.keyword for problem in validate(one, known)]
        assert found == ["SeriesDescription"]


def test_equal_bytes_in_another_character_set_are_looked_at_again(made: list[Dataset]) -> None:
    known: set[Spelling] = set()
    assert validate(made[0], known) == ()
    made[1].SpecificCharacterSet = "ISO_IR 100"
    found = {problem.keyword for problem in validate(made[1], known)}
    assert "SpecificCharacterSet" in found


@pytest.mark.parametrize("content", [b"", b"  ", b"\0\0"])
def test_an_attribute_of_blanks_alone_is_missing(made: list[Dataset], content: bytes) -> None:
    made[1].update_raw_element("Modality", value=content)
    assert "Modality" in {problem.keyword for problem in validate(made[1], set())}


def with_sequence(words: str) -> FileDataset:
    """An object in UTF-8 with a sequence in a sequence, which holds words."""
    made = FileDataset(None, {}, file_meta=FileMetaDataset(), preamble=b"\0" * 128)  # type: ignore[arg-type]  # no file
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SpecificCharacterSet = "ISO_IR 192"
    made.SOPClassUID, made.SOPInstanceUID = "2.25.1", "2.25.2"
    code, item = Dataset(), Dataset()
    code.CodeMeaning = words
    item.ScheduledProtocolCodeSequence = [code]
    made.RequestAttributesSequence = [item]
    return made


def words_of(dataset: Dataset) -> str:
    return str(dataset.RequestAttributesSequence[0].ScheduledProtocolCodeSequence[0].CodeMeaning)


def test_words_in_sequences_are_written_in_the_character_set_that_an_instance_gets(tmp_path: Path) -> None:
    copied = Encoded(with_sequence("Gr\u00f6\u00dfe")).copied()
    copied.SpecificCharacterSet = "ISO_IR 100"
    copied.save_as(tmp_path / "copied.dcm", enforce_file_format=True)
    assert words_of(dcmread(tmp_path / "copied.dcm")) == "Gr\u00f6\u00dfe"


@pytest.mark.filterwarnings("ignore:The value length")
@pytest.mark.parametrize("words", ["size", "Gr\u00f6\u00dfe", "x" * 65])
@pytest.mark.parametrize("undefined", [False, True])
def test_to_change_a_sequence_of_one_instance_leaves_the_others_as_they_are(words: str, *, undefined: bool) -> None:
    template = with_sequence(words)
    template["RequestAttributesSequence"].is_undefined_length = undefined
    shared = Encoded(template)
    first, second = shared.copied(), shared.copied()
    first.RequestAttributesSequence[0].ScheduledProtocolCodeSequence[0].CodeMeaning = "other"
    assert words_of(second) == words_of(shared.copied()) == words_of(template) == words
