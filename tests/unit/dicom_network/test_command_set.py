from __future__ import annotations

from io import BytesIO

import pytest
from pydicom.filereader import read_dataset

from dcm_processor_service.dicom_network.dimse import command_set


def test_a_store_request_reads_back_with_pydicom() -> None:
    encoded = command_set.c_store_rq(7, "1.2.840.10008.5.1.4.1.1.2", "1.2.3")
    dataset = read_dataset(BytesIO(encoded), is_implicit_VR=True, is_little_endian=True)
    assert dataset.CommandGroupLength == len(encoded) - 12
    assert dataset.CommandField == 0x0001
    assert dataset.MessageID == 7
    assert dataset.AffectedSOPClassUID == "1.2.840.10008.5.1.4.1.1.2"
    assert dataset.AffectedSOPInstanceUID == "1.2.3"
    assert dataset.CommandDataSetType != 0x0101


def test_an_action_request_reads_back_with_pydicom() -> None:
    encoded = command_set.n_action_rq(1, "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1", 1)
    dataset = read_dataset(BytesIO(encoded), is_implicit_VR=True, is_little_endian=True)
    assert (dataset.RequestedSOPClassUID, dataset.ActionTypeID) == ("1.2.840.10008.1.20.1", 1)


REQUEST = command_set.decode(command_set.c_store_rq(9, "1.2", "1.2.3"))
REPORT = {
    command_set.AFFECTED_SOP_CLASS_UID: b"1.20\0",
    command_set.COMMAND_FIELD: b"\x00\x01",
    command_set.MESSAGE_ID: b"\x09\x00",
    command_set.AFFECTED_SOP_INSTANCE_UID: b"1.20.1",
    command_set.EVENT_TYPE_ID: b"\x02\x00",
}
IDENTIFIED = {"AffectedSOPClassUID": "1.2.4", "MessageID": 7, "Priority": 0, "CommandDataSetType": 1}


@pytest.mark.parametrize(
    ("encoded", "told"),
    [
        (
            command_set.c_echo_rq(7),
            {
                "AffectedSOPClassUID": "1.2.840.10008.1.1",
                "CommandField": 0x0030,
                "MessageID": 7,
                "CommandDataSetType": 0x0101,
            },
        ),
        (
            command_set.c_store_rq(7, "1.2.4", "1.2.3"),
            {**IDENTIFIED, "CommandField": 0x0001, "AffectedSOPInstanceUID": "1.2.3"},
        ),
        (command_set.c_find_rq(7, "1.2.4"), {**IDENTIFIED, "CommandField": 0x0020}),
        (command_set.c_get_rq(7, "1.2.4"), {**IDENTIFIED, "CommandField": 0x0010}),
        (
            command_set.c_move_rq(7, "1.2.4", "OURSX"),
            {**IDENTIFIED, "CommandField": 0x0021, "MoveDestination": "OURSX"},
        ),
        (
            command_set.c_cancel_rq(REQUEST),
            {"CommandField": 0x0FFF, "MessageIDBeingRespondedTo": 9, "CommandDataSetType": 0x0101},
        ),
        (
            command_set.c_store_rsp(REQUEST, 0xA700),
            {
                "AffectedSOPClassUID": "1.2",
                "CommandField": 0x8001,
                "MessageIDBeingRespondedTo": 9,
                "CommandDataSetType": 0x0101,
                "Status": 0xA700,
                "AffectedSOPInstanceUID": "1.2.3",
            },
        ),
        (
            command_set.n_action_rq(7, "1.20", "1.20.1", 1),
            {
                "RequestedSOPClassUID": "1.20",
                "CommandField": 0x0130,
                "MessageID": 7,
                "CommandDataSetType": 1,
                "RequestedSOPInstanceUID": "1.20.1",
                "ActionTypeID": 1,
            },
        ),
        (
            command_set.n_event_report_rsp(REPORT),
            {
                "AffectedSOPClassUID": "1.20",
                "CommandField": 0x8100,
                "MessageIDBeingRespondedTo": 9,
                "CommandDataSetType": 0x0101,
                "Status": 0,
                "AffectedSOPInstanceUID": "1.20.1",
                "EventTypeID": 2,
            },
        ),
    ],
    ids=["echo", "store", "find", "get", "move", "cancel", "stored", "action", "reported"],
)
def test_every_command_says_what_it_is_for_and_no_more(encoded: bytes, told: dict[str, object]) -> None:
    dataset = read_dataset(BytesIO(encoded), is_implicit_VR=True, is_little_endian=True)
    found = {element.keyword: element.value for element in dataset}
    assert found == {"CommandGroupLength": len(encoded) - 12, **told}
    assert all(len(value) % 2 == 0 for value in command_set.decode(encoded).values())
    assert command_set.has_data_set(command_set.decode(encoded)) == (told["CommandDataSetType"] != 0x0101)


def test_an_answer_is_of_the_same_operation_and_to_the_same_message() -> None:
    answer = command_set.decode(command_set.c_store_rsp(REQUEST, 0))
    assert command_set.answers(answer, REQUEST)
    assert command_set.is_response(answer)
    assert not command_set.is_response(REQUEST)
    assert not command_set.answers(REQUEST, REQUEST)
    for other in (command_set.c_store_rq(8, "1.2", "1.2.3"), command_set.c_echo_rq(9)):
        assert not command_set.answers(answer, command_set.decode(other))
    assert not command_set.is_response({})


@pytest.mark.parametrize(
    ("status", "failed", "pending"),
    [
        (0x0000, False, False),
        (0x0001, True, False),
        (0xA700, True, False),
        (0xB000, False, False),
        (0xBFFF, False, False),
        (0xC000, True, False),
        (0xFF00, True, True),
        (0xFF01, True, True),
        (0xFF02, True, False),
    ],
)
def test_a_status_is_a_success_a_warning_a_failure_or_pending(status: int, *, failed: bool, pending: bool) -> None:
    command = command_set.decode(command_set.c_store_rsp(REQUEST, status))
    assert command_set.is_failure(command) == failed
    assert command_set.is_pending(command) == pending
    assert not command_set.is_failure({})
    assert not command_set.is_pending({})


def test_an_answer_need_not_name_the_instance_and_names_no_other() -> None:
    assert command_set.same_instance(command_set.decode(command_set.c_store_rsp(REQUEST, 0)), REQUEST)
    assert command_set.same_instance({}, REQUEST)
    assert command_set.same_instance({command_set.AFFECTED_SOP_INSTANCE_UID: b"1.2.9"}, {})
    assert not command_set.same_instance({command_set.AFFECTED_SOP_INSTANCE_UID: b"1.2.9"}, REQUEST)


def test_uids_are_padded_with_a_null_and_titles_with_a_space() -> None:
    command = command_set.decode(command_set.c_move_rq(7, "1.2.4", "OURSX"))
    assert command[command_set.AFFECTED_SOP_CLASS_UID] == b"1.2.4\0"
    assert command[command_set.MOVE_DESTINATION] == b"OURSX "


def test_a_number_of_another_length_is_none_and_a_uid_has_no_padding() -> None:
    assert command_set.us({command_set.STATUS: b"\x01\x02"}, command_set.STATUS) == 0x0201
    assert command_set.us({command_set.STATUS: b"\x01"}, command_set.STATUS) is None
    assert command_set.us({}, command_set.STATUS) is None
    assert command_set.uid({command_set.AFFECTED_SOP_CLASS_UID: b"1.2 \0"}, command_set.AFFECTED_SOP_CLASS_UID) == "1.2"
    assert command_set.uid({}, command_set.AFFECTED_SOP_CLASS_UID) == ""


def test_decoding_gives_what_was_encoded() -> None:
    command = command_set.decode(command_set.c_echo_rq(9))
    assert command_set.us(command, command_set.MESSAGE_ID) == 9
    assert command_set.uid(command, command_set.AFFECTED_SOP_CLASS_UID) == "1.2.840.10008.1.1"
    assert not command_set.has_data_set(command)


@pytest.mark.parametrize("cut", [1, 7, 11, 15])
def test_a_cut_off_command_is_an_error(cut: int) -> None:
    with pytest.raises(ValueError, match="command set"):
        command_set.decode(command_set.c_echo_rq(1)[:-cut][: 30 - cut])


def test_a_data_set_is_no_command() -> None:
    with pytest.raises(ValueError, match="malformed"):
        command_set.decode(b"\x08\x00\x16\x00\x02\x00\x00\x001\x00")


def test_offending_elements_are_named_by_tag_alone() -> None:
    assert command_set.offending_elements({command_set.OFFENDING_ELEMENT: b"\x10\x00\x10\x00"}) == "(0010,0010)"
    several = {command_set.OFFENDING_ELEMENT: b"\x08\x00\x16\x00\x28\x00\x0a\x00\x01"}
    assert command_set.offending_elements(several) == "(0008,0016), (0028,000A)"
    assert not command_set.offending_elements({})
