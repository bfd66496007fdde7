from __future__ import annotations

import json
from email import message_from_bytes
from io import BytesIO

import pytest

from dcm_processor_service.dicom_network.dicomweb.stow_messages import Part, RequestBody, read_answer


def test_the_body_is_multipart_of_the_length_that_it_says_and_can_be_read_again() -> None:
    contents = [b"first", b"\r\n--second", b""]
    parts = [Part(str(number), len(content), lambda c=content: BytesIO(c)) for number, content in enumerate(contents)]  # type: ignore[misc]  # a default binds the loop's value
    body = RequestBody(parts)
    encoded = b"".join(body)
    assert len(encoded) == int(body.headers["Content-Length"])
    assert b"".join(body) == encoded
    message = message_from_bytes(f"Content-Type: {body.headers['Content-Type']}\r\n\r\n".encode() + encoded)
    assert [part.get_payload(decode=True) for part in message.walk() if not part.is_multipart()] == contents
    assert {part.get_content_type() for part in message.walk() if not part.is_multipart()} == {"application/dicom"}


def test_each_body_has_its_own_boundary() -> None:
    assert RequestBody([]).headers["Content-Type"] != RequestBody([]).headers["Content-Type"]


def item(uid: str, **reasons: int) -> dict[str, object]:
    tags = {"warning": "00081196", "failure": "00081197"}
    told = {tags[name]: {"vr": "US", "Value": [code]} for name, code in reasons.items()}
    return {"00081155": {"vr": "UI", "Value": [uid]}, **told}


def test_an_answer_is_read_instance_by_instance() -> None:
    module = {
        "00081199": {"vr": "SQ", "Value": [item("1"), item("2", warning=0xB007)]},
        "00081198": {"vr": "SQ", "Value": [item("3", failure=0xA900), item("4")]},
    }
    divided = [{tag: element} for tag, element in module.items()]
    for content in (module, [module], divided):
        answer = read_answer(json.dumps(content).encode())
        assert answer.stored == {"1": 0, "2": 0xB007}
        assert answer.failed == {"3": 0xA900, "4": 0x0110}


ODD_REASON = b'{"00081199": {"Value": [{"00081155": {"Value": ["1"]}, "00081196": {"Value": [{}]}}]}}'
ENTITIES = b'<!DOCTYPE x [<!ENTITY a "1.2">]><NativeDicomModel/>'
NESTED = b"<NativeDicomModel>" + b'<DicomAttribute tag="00081199"><Item>' * 500
NESTED += b"</Item></DicomAttribute>" * 500 + b"</NativeDicomModel>"
NO_TEXT = [b'<?xml version="1.0" encoding="%s"?><NativeDicomModel/>' % name for name in (b"nope", b"rot13", b"base64")]
ENDLESS_REASON = ODD_REASON.replace(b"[{}]", b"[1e999]")


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"<xml/>", b"<xml", ENTITIES, b"<\0x\0", NESTED),
        *NO_TEXT,
        *(b"\xff\xfe", b"[]", b"null", b"3", b"[" * 100_000, ODD_REASON, ENDLESS_REASON),
    ],
)
def test_a_body_that_is_no_answer_acknowledges_nothing(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"not a DICOM data set|Expecting value|decode|invalid literal|in XML|not XML"):
        read_answer(content)


XML = """<?xml version="1.0" encoding="UTF-8"?>
<NativeDicomModel{space}>
  <DicomAttribute tag="00081199" vr="SQ" keyword="ReferencedSOPSequence">
    <Item number="1"><DicomAttribute tag="00081155" vr="UI"><Value number="1">1</Value></DicomAttribute></Item>
    <Item number="2">
      <DicomAttribute tag="00081155" vr="UI"><Value number="1"> 2 </Value></DicomAttribute>
      <DicomAttribute tag="00081196" vr="US"><Value number="1">45063</Value></DicomAttribute>
    </Item>
  </DicomAttribute>
  <DicomAttribute tag="00081198" vr="SQ">
    <Item number="1"><DicomAttribute tag="00081155" vr="UI"><Value number="1">3</Value></DicomAttribute>
      <DicomAttribute tag="00081197" vr="US"><Value number="1">43264</Value></DicomAttribute></Item>
    <Item number="2"><DicomAttribute tag="00081155" vr="UI"><Value number="1"/></DicomAttribute></Item>
    <Item number="3"><DicomAttribute tag="00081155" vr="UI"></DicomAttribute></Item>
  </DicomAttribute>
</NativeDicomModel>"""


@pytest.mark.parametrize("space", ["", ' xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM"'])
def test_an_answer_in_xml_is_read_as_one_in_json(space: str) -> None:
    answer = read_answer(XML.format(space=space).encode())
    assert answer.stored == {"1": 0, "2": 0xB007}
    assert {uid: code for uid, code in answer.failed.items() if uid} == {"3": 0xA900}


@pytest.mark.parametrize(
    "content", [b"{}", b'{"00081199": {}}', b'{"00081199": 1}', b'{"00081199": {"Value": [1, {}]}}']
)
def test_an_answer_without_instances_acknowledges_none(content: bytes) -> None:
    answer = read_answer(content)
    assert not answer.stored
    assert not answer.failed


@pytest.mark.parametrize(
    "module",
    [
        {"00081199": {"Value": [item("1")]}, "00081198": {"Value": [item("1", failure=0xA700)]}},
        {"00081199": {"Value": [item("1", warning=0xC000)]}},
        {"00081199": {"Value": [item("1", failure=0x0110)]}},
    ],
)
def test_an_answer_that_contradicts_itself_says_so(module: dict[str, object]) -> None:
    assert read_answer(json.dumps(module).encode()).contradicted == {"1"}
