"""A header without the patient, wherever in it the patient stands."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.datadict import dictionary_VR, keyword_dict
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dcm_processor_service.errors import UnreadableFileError
from dcm_processor_service.local.pulling.burned_in import burned_in_doubt
from dcm_processor_service.local.pulling.confidentiality_profile import Action, confidentiality_profile
from dcm_processor_service.local.pulling.headers import HeaderCleaner
from dcm_processor_service.local.pulling.reading import read_dataset, said
from dcm_processor_service.local.pulling.substitution import Substitution
from dcm_processor_service.runtime.logs.ordinary_words import ALSO_NAMES, VOCABULARY

NAME, FAMILY = "Zwetschgenbaum^Ottilie", "Zwetschgenbaum"
PLACES = {"LO", "LT", "PN", "SH", "ST", "UC", "UT", "CS", "AE"}
CT = "1.2.840.10008.5.1.4.1.1.2"


def header(**values: Any) -> Dataset:
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID, made.Modality = CT, "1.2.826.0.1.5", "CT"
    for keyword, value in {"PatientName": NAME, **values}.items():
        setattr(made, keyword, value)
    return made


def stored(dataset: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    output = BytesIO()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.save_as(output, enforce_file_format=True)
    return output.getvalue()


def cleaned(content: bytes, **options: Any) -> bytes:
    cleaner = HeaderCleaner(Substitution(), **options)
    cleaner.learn(read_dataset(content))
    return cleaner.cleaned(read_dataset(content))


def text_keywords() -> list[str]:
    """Every attribute of the standard's dictionary that holds text."""
    found = {name for name, tag in keyword_dict.items() if name and tag >> 16 > 2 and dictionary_VR(tag) in PLACES}
    return sorted(found - {"PatientName", "SpecificCharacterSet"})


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_a_name_in_any_attribute_of_the_dictionary_goes(syntax: str) -> None:
    named, inner = header(), Dataset()
    for keyword in text_keywords():
        setattr(named, keyword, "ZWETSCHGENBAUM")
        setattr(inner, keyword, FAMILY.upper())
    named.Modality = inner.Modality = "CT"
    named.DerivationCodeSequence = Sequence([inner])
    content = stored(named, syntax)
    assert content.upper().count(FAMILY.upper().encode()) > 1500
    result = cleaned(content)
    assert FAMILY.upper().encode() not in result.upper()
    assert dcmread(BytesIO(result)).Modality == "CT"


def is_no_word(name: str) -> bool:
    """Whether a drawn name is neither an ordinary word, which stays, nor a part of what the profile writes."""
    words = VOCABULARY | ALSO_NAMES
    return name not in words and name.upper().encode() not in cleaned(stored(header(StationName="x"))).upper()


@settings(max_examples=30, deadline=None)
@given(
    name=st.text(st.sampled_from("abcdefghjkmnopqrstuvwyzäöüéñčł"), min_size=5, max_size=12).filter(is_no_word),
    keyword=st.sampled_from([one for one in text_keywords() if dictionary_VR(one) not in {"CS", "AE"}]),
    depth=st.integers(0, 4),
)
def test_a_name_goes_from_any_depth(name: str, keyword: str, depth: int) -> None:
    person = name.capitalize()
    item = Dataset()
    item.SpecificCharacterSet = "ISO_IR 192"
    setattr(item, keyword, f"{person}"[:16])
    for _ in range(depth):
        outer = Dataset()
        outer.SpecificCharacterSet = "ISO_IR 192"
        outer.DerivationCodeSequence = Sequence([item])
        item = outer
    named = header(SpecificCharacterSet="ISO_IR 192", PatientName=f"{person}^Q")
    named.DerivationCodeSequence = Sequence([item])
    result = cleaned(stored(named))
    assert person.encode() not in result
    assert person.upper().encode() not in result


@pytest.mark.parametrize("word", ["unnamed", "header", "unchanged", "removed"])
def test_no_word_is_drawn_as_a_name(word: str) -> None:
    assert not is_no_word(word)


def test_private_elements_curves_and_overlays_go() -> None:
    named = header()
    named.private_block(0x0099, "HOSPITAL", create=True).add_new(1, "LO", "whatever")
    named.add_new(0x60003000, "OW", b"\1\0")
    named.add_new(0x50000010, "US", 2)
    left = dcmread(BytesIO(cleaned(stored(named))))
    assert not [element for element in left if element.tag.is_private or element.tag.group in {0x6000, 0x5000}]


ECHOED = {
    "PatientAge": "045Y",
    "PatientSex": "M",
    "PatientWeight": 80.5,
    "InstitutionName": "Spital",
    "PatientBirthTime": "101500",
    "OtherPatientIDs": ["A", "B"],
}


def test_headers_that_session_data_repeats_have_the_fate_of_a_header() -> None:
    to = Substitution()
    HeaderCleaner(to)
    told = {**ECHOED, "Modality": "CT", "KVP": 120, "StudyTime": "101500", "NumberOfFrames": 3, "StationName": None}
    cleaned = to.value([{"header": told}])[0]["header"]
    assert cleaned == {**told, **dict.fromkeys(ECHOED, "[removed]"), "OtherPatientIDs": ["[removed]", "[removed]"]}
    assert to.value({"PatientAge": {"Value": ["045Y"]}}) == {"PatientAge": {"Value": ["[removed]"]}}


def test_characteristics_stay_in_session_data_where_asked_for() -> None:
    to = Substitution()
    HeaderCleaner(to, ("characteristics",))
    cleaned = to.value(ECHOED)
    assert {key for key, value in cleaned.items() if value == ECHOED[key]} == {
        "PatientAge",
        "PatientSex",
        "PatientWeight",
    }


def test_what_stands_behind_a_date_goes_with_it() -> None:
    content = stored(header(StudyDate="19990101", AcquisitionDateTime="19990101-19991231", StudyTime="101500"))
    left = dcmread(BytesIO(cleaned(content.replace(b"101500", b"OTTILI"))))
    assert not left.AcquisitionDateTime
    assert not left.StudyTime
    assert left.StudyDate


def test_what_stands_before_and_behind_a_header_goes() -> None:
    content = bytearray(stored(header()))
    content[:14] = FAMILY.encode()
    assert FAMILY.encode() not in cleaned(bytes(content))


def test_what_tells_nothing_of_the_person_stays() -> None:
    values = {
        "Manufacturer": "MAKER",
        "KVP": "120",
        "PixelSpacing": [0.5, 0.5],
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "AcquisitionTime": "101500.5",
        "ConvolutionKernel": "B30f",
        "ImagePositionPatient": [1, 2, 3],
    }
    left = dcmread(BytesIO(cleaned(stored(header(**values)))))
    assert all(getattr(left, keyword) == value for keyword, value in values.items())
    assert left.SOPClassUID == CT


def test_malformed_values_are_neither_printed_nor_kept(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    content = stored(header(StudyDate="20260211", SeriesInstanceUID="1.2.3"))
    broken = content.replace(b"20260211", b"OTTILIE!").replace(b"1.2.3\0", b"OTTILI")
    result = cleaned(broken)
    assert b"OTTIL" not in result
    printed = capsys.readouterr()
    assert "OTTIL" not in printed.out + printed.err + caplog.text


def test_what_is_no_dicom_is_refused_without_a_word_of_it() -> None:
    with pytest.raises(UnreadableFileError) as caught:
        read_dataset(f"{NAME} is not a file".encode())
    assert "Zwetschgenbaum" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("values", "doubt"),
    [
        ({"Modality": "CT"}, False),
        ({"Modality": "CT", "BurnedInAnnotation": "YES"}, True),
        ({"Modality": "US"}, True),
        ({"Modality": "US", "BurnedInAnnotation": "NO"}, False),
        ({"Modality": "OT", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, True),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI"]}, False),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "PROTON_DENSITY"]}, False),
        ({"ImageType": ["DERIVED", "SECONDARY", "OTHER", "CT_SOM5 PROT"]}, True),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, True),
        ({"ImageType": ["DERIVED", "SECONDARY", "DOSE_INFO"]}, True),
        ({"ImageType": ["DERIVED", "SECONDARY", "REPORT"]}, True),
        ({"Modality": ["CT", "US"]}, True),
        ({"Modality": ["CT", "MR"]}, False),
        ({"SOPClassUID": [CT, "1.2.840.10008.5.1.4.1.1.7"]}, True),
        ({"BurnedInAnnotation": ["NO", "YES"]}, True),
    ],
)
def test_burned_in_text_is_doubted_where_nobody_denies_it(values: dict[str, Any], *, doubt: bool) -> None:
    assert burned_in_doubt(header(PixelData=b"\0\0", **values)) is doubt
    assert not burned_in_doubt(header(**values))


def test_a_malformed_value_says_nothing(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    content = stored(header(NumberOfFrames="4711", SeriesInstanceUID="1.2.3.4"))
    dataset = read_dataset(content.replace(b"4711", b"OTTI").replace(b"1.2.3.4\0", b"OTTILIES"))
    assert said(dataset, "NumberOfFrames") in (set(), {"OTTI"})
    assert said(dataset, "SeriesInstanceUID") == {"OTTILIES"}
    assert said(dataset, "StudyInstanceUID") == set()
    assert burned_in_doubt(dataset) is False
    printed = capsys.readouterr()
    assert "OTTI" not in printed.out + printed.err + caplog.text


CODED = {
    "SpecificCharacterSet": "ISO_IR 100",
    "Modality": "PT",
    "PatientPosition": "HFS",
    "PhotometricInterpretation": "MONOCHROME2",
    "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "NORM"],
    "BodyPartExamined": "CHEST",
    "PatientOrientation": ["L", "PH"],
    "LossyImageCompressionMethod": "ISO_15444_1",
    "Units": "BQML",
    "ValueType": "CONTAINER",
}


@pytest.mark.parametrize("name", ["PT", "HFS", "Doe^^^^Sr.", "Norm^Axial", "ISO", "BQML^Container", "Monochrome2"])
def test_a_person_called_like_a_term_costs_no_coded_value(name: str) -> None:
    content = stored(header(**CODED, OperatorsName=name, PatientID="100", AccessionNumber="ISO_IR 100"))
    left = dcmread(BytesIO(cleaned(content)))
    assert {keyword: left.get(keyword) for keyword in CODED} == CODED


@pytest.mark.parametrize("value", ["4711", "ZWETSCHGENBAUM", "CT ZWETSCHGENBAUM"])
def test_a_coded_value_that_is_no_term_is_looked_at(value: str) -> None:
    left = dcmread(BytesIO(cleaned(stored(header(PatientID="4711", BodyPartExamined=value[:16])))))
    assert ("BodyPartExamined" in left) is (value[:16] != value)


def test_the_table_is_that_of_the_standard() -> None:
    profile = confidentiality_profile()
    assert profile.action(0x0010, 0x0030) is Action.EMPTY  # PatientBirthDate
    assert profile.action(0x0008, 0x103E) is Action.REMOVE  # SeriesDescription
    assert profile.action(0x0008, 0x1140) is Action.REFERENCES  # ReferencedImageSequence
    assert profile.action(0x6002, 0x3000) is Action.REMOVE  # OverlayData, repeating
    assert profile.action(0x5004, 0x0010) is Action.REMOVE  # curves
    assert profile.action(0x7FE0, 0x0010) is None  # PixelData
