"""Answers in XML: which values are read, how deep, and what is refused."""

from __future__ import annotations

import pytest

from dcm_processor_service.dicom_network.dicomweb.native_model import from_xml, is_xml


def nested(depth: int) -> bytes:
    inner = '<DicomAttribute tag="00081155" vr="UI"><Value number="1">1.2</Value></DicomAttribute>'
    for _ in range(depth):
        inner = f'<DicomAttribute tag="00081199" vr="SQ"><Item number="1">{inner}</Item></DicomAttribute>'
    return f"<NativeDicomModel>{inner}</NativeDicomModel>".encode()


def test_items_are_read_as_deep_as_sixteen_and_no_deeper() -> None:
    found = from_xml(nested(16))
    for _ in range(16):
        assert found["00081199"]["vr"] == "SQ"
        (found,) = found["00081199"]["Value"]
    assert found == {"00081155": {"vr": "UI", "Value": ["1.2"]}}
    with pytest.raises(ValueError, match="nested too deeply"):
        from_xml(nested(17))


def test_values_and_items_are_read_in_order_and_other_elements_are_passed_over() -> None:
    content = (
        b'<NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM"><Other/>'
        b'<DicomAttribute tag="0008119a" vr="UI"><Value number="1"> 1.2 </Value><BulkData/><Value number="2"/>'
        b'</DicomAttribute><DicomAttribute tag="0008119A" vr="UI"><Value number="1">1.3</Value></DicomAttribute>'
        b"<DicomAttribute/></NativeDicomModel>"
    )
    assert from_xml(content) == {"0008119A": {"vr": "UI", "Value": ["1.2", "", "1.3"]}, "": {"vr": "", "Value": []}}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<!DOCTYPE x><NativeDicomModel/>", "declares entities"),
        ("<NativeDicomModel/>".encode("utf-16"), "not in UTF-8"),
        (b"<NativeDicomModel>", "is not XML"),
        (b'<?xml version="1.0" encoding="rot13"?><NativeDicomModel/>', "is not XML"),
        (b"<html/>", "not a NativeDicomModel"),
    ],
)
def test_what_is_no_answer_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        from_xml(content)


@pytest.mark.parametrize(
    ("content", "xml"),
    [(b"<a/>", True), (b"\xef\xbb\xbf \r\n\t<a/>", True), (b'{"a": "<"}', False), (b"", False), (b"a<", False)],
)
def test_xml_is_told_by_its_first_character(content: bytes, *, xml: bool) -> None:
    assert is_xml(content) is xml
