"""Encodes and decodes the DIMSE command sets that sending and fetching need (PS3.7, sections 6.3, 9.3 and 10.3).

A command set is a short list of elements in implicit VR little endian, whatever the transfer syntax of the data set.
"""

from __future__ import annotations

import struct
from typing import TypeAlias

__all__ = ["VERIFICATION", "CommandSet", "c_echo_rq", "c_store_rq", "decode", "n_action_rq", "n_event_report_rsp"]

CommandSet: TypeAlias = "dict[int, bytes]"
"""The encoded values of elements in group 0000, by element number."""

VERIFICATION = "1.2.840.10008.1.1"
"""The SOP class of a C-ECHO (PS3.4, annex A)."""

AFFECTED_SOP_CLASS_UID = 0x0002
REQUESTED_SOP_CLASS_UID = 0x0003
COMMAND_FIELD = 0x0100
MESSAGE_ID = 0x0110
MESSAGE_ID_RESPONDED_TO = 0x0120
MOVE_DESTINATION = 0x0600
PRIORITY = 0x0700
DATA_SET_TYPE = 0x0800
STATUS = 0x0900
OFFENDING_ELEMENT = 0x0901
AFFECTED_SOP_INSTANCE_UID = 0x1000
REQUESTED_SOP_INSTANCE_UID = 0x1001
EVENT_TYPE_ID = 0x1002
ACTION_TYPE_ID = 0x1008
FAILED_SUBOPERATIONS = 0x1022

C_STORE_RQ, C_STORE_RSP = 0x0001, 0x8001
C_GET_RQ, C_GET_RSP = 0x0010, 0x8010
C_FIND_RQ, C_FIND_RSP = 0x0020, 0x8020
C_MOVE_RQ, C_MOVE_RSP = 0x0021, 0x8021
C_CANCEL_RQ = 0x0FFF
C_ECHO_RQ, C_ECHO_RSP = 0x0030, 0x8030
N_ACTION_RQ, N_ACTION_RSP = 0x0130, 0x8130
N_EVENT_REPORT_RQ, N_EVENT_REPORT_RSP = 0x0100, 0x8100

_RESPONSE = 0x8000  # the command field of an answer is that of its request with this bit set (PS3.7, E.1)
_WARNING_CLASS = 0xB
_NO_DATA_SET = 0x0101
_WITH_DATA_SET = 0x0001
_MEDIUM_PRIORITY = 0x0000


def us(command: CommandSet, element: int) -> int | None:
    """Reads an unsigned short; None if the element is absent or malformed."""
    value = command.get(element, b"")
    return int.from_bytes(value, "little") if len(value) == 2 else None  # noqa: PLR2004  a short


def uid(command: CommandSet, element: int) -> str:
    """Reads a UID; empty if the element is absent."""
    return command.get(element, b"").rstrip(b"\0 ").decode("ascii", "replace")


def has_data_set(command: CommandSet) -> bool:
    """Returns whether a data set follows the command."""
    return us(command, DATA_SET_TYPE) != _NO_DATA_SET


def answers(command: CommandSet, request: CommandSet) -> bool:
    """Returns whether a command answers a request: it has the same operation, and names the request's message id."""
    operation, message_id = us(request, COMMAND_FIELD) or 0, us(request, MESSAGE_ID)
    return us(command, COMMAND_FIELD) == operation | _RESPONSE and us(command, MESSAGE_ID_RESPONDED_TO) == message_id


def is_response(command: CommandSet) -> bool:
    """Returns whether a command is an answer, not a request."""
    return bool((us(command, COMMAND_FIELD) or 0) & _RESPONSE)


def is_failure(command: CommandSet) -> bool:
    """Returns whether the status of an answer is a failure, not success or a warning (PS3.7, annex C)."""
    status = us(command, STATUS)
    return status is not None and status != 0 and status >> 12 != _WARNING_CLASS


def same_instance(command: CommandSet, request: CommandSet) -> bool:
    """Returns whether an answer names the instance of its request, or no instance, which PS3.7, 9.1.1.1, allows."""
    answered, asked = (uid(one, AFFECTED_SOP_INSTANCE_UID) for one in (command, request))
    return not asked or answered in {"", asked}


def offending_elements(command: CommandSet) -> str:
    """Returns the tags of the elements to which the peer objects, such as ``(0010,0010)``, but no values."""
    value = command.get(OFFENDING_ELEMENT, b"")
    pairs = struct.iter_unpack("<HH", value[: len(value) // 4 * 4])
    return ", ".join(f"({group:04X},{element:04X})" for group, element in pairs)


def c_store_rq(message_id: int, sop_class_uid: str, sop_instance_uid: str) -> bytes:
    """Encodes a C-STORE request (PS3.7, 9.3.1.1)."""
    return _encode(
        {
            AFFECTED_SOP_CLASS_UID: sop_class_uid,
            COMMAND_FIELD: C_STORE_RQ,
            MESSAGE_ID: message_id,
            PRIORITY: _MEDIUM_PRIORITY,
            DATA_SET_TYPE: _WITH_DATA_SET,
            AFFECTED_SOP_INSTANCE_UID: sop_instance_uid,
        }
    )


def c_echo_rq(message_id: int) -> bytes:
    """Encodes a C-ECHO request (PS3.7, 9.3.5.1)."""
    return _encode(
        {
            AFFECTED_SOP_CLASS_UID: VERIFICATION,
            COMMAND_FIELD: C_ECHO_RQ,
            MESSAGE_ID: message_id,
            DATA_SET_TYPE: _NO_DATA_SET,
        }
    )


def c_find_rq(message_id: int, sop_class_uid: str) -> bytes:
    """Encodes a C-FIND request with an identifier (PS3.7, 9.3.2.1)."""
    return _encode(_identified(C_FIND_RQ, message_id, sop_class_uid))


def c_get_rq(message_id: int, sop_class_uid: str) -> bytes:
    """Encodes a C-GET request with an identifier (PS3.7, 9.3.3.1)."""
    return _encode(_identified(C_GET_RQ, message_id, sop_class_uid))


def c_move_rq(message_id: int, sop_class_uid: str, destination: str) -> bytes:
    """Encodes a C-MOVE request with an identifier (PS3.7, 9.3.4.1)."""
    return _encode(_identified(C_MOVE_RQ, message_id, sop_class_uid) | {MOVE_DESTINATION: destination})


def _identified(command_field: int, message_id: int, sop_class_uid: str) -> dict[int, int | str]:
    return {
        AFFECTED_SOP_CLASS_UID: sop_class_uid,
        COMMAND_FIELD: command_field,
        MESSAGE_ID: message_id,
        PRIORITY: _MEDIUM_PRIORITY,
        DATA_SET_TYPE: _WITH_DATA_SET,
    }


def c_cancel_rq(request: CommandSet) -> bytes:
    """Encodes the request to cancel a C-FIND, C-GET or C-MOVE request (PS3.7, 9.3.2.3)."""
    return _encode(
        {
            COMMAND_FIELD: C_CANCEL_RQ,
            MESSAGE_ID_RESPONDED_TO: us(request, MESSAGE_ID) or 0,
            DATA_SET_TYPE: _NO_DATA_SET,
        }
    )


def c_store_rsp(request: CommandSet, status: int) -> bytes:
    """Encodes the answer to a C-STORE request (PS3.7, 9.3.1.2)."""
    return _encode(
        {
            AFFECTED_SOP_CLASS_UID: uid(request, AFFECTED_SOP_CLASS_UID),
            COMMAND_FIELD: C_STORE_RSP,
            MESSAGE_ID_RESPONDED_TO: us(request, MESSAGE_ID) or 0,
            DATA_SET_TYPE: _NO_DATA_SET,
            STATUS: status,
            AFFECTED_SOP_INSTANCE_UID: uid(request, AFFECTED_SOP_INSTANCE_UID),
        }
    )


def is_pending(command: CommandSet) -> bool:
    """Returns whether more answers to the same request follow (PS3.7, C.4.3)."""
    return us(command, STATUS) in {0xFF00, 0xFF01}


def n_action_rq(message_id: int, sop_class_uid: str, sop_instance_uid: str, action_type_id: int) -> bytes:
    """Encodes an N-ACTION request with a data set (PS3.7, 10.3.4.1)."""
    return _encode(
        {
            REQUESTED_SOP_CLASS_UID: sop_class_uid,
            COMMAND_FIELD: N_ACTION_RQ,
            MESSAGE_ID: message_id,
            DATA_SET_TYPE: _WITH_DATA_SET,
            REQUESTED_SOP_INSTANCE_UID: sop_instance_uid,
            ACTION_TYPE_ID: action_type_id,
        }
    )


def n_event_report_rsp(request: CommandSet) -> bytes:
    """Encodes the answer "success" to an N-EVENT-REPORT request (PS3.7, 10.3.1.2)."""
    return _encode(
        {
            AFFECTED_SOP_CLASS_UID: uid(request, AFFECTED_SOP_CLASS_UID),
            COMMAND_FIELD: N_EVENT_REPORT_RSP,
            MESSAGE_ID_RESPONDED_TO: us(request, MESSAGE_ID) or 0,
            DATA_SET_TYPE: _NO_DATA_SET,
            STATUS: 0,
            AFFECTED_SOP_INSTANCE_UID: uid(request, AFFECTED_SOP_INSTANCE_UID),
            EVENT_TYPE_ID: us(request, EVENT_TYPE_ID) or 0,
        }
    )


def decode(encoded: bytes) -> CommandSet:
    """Decodes a command set.

    Raises:
        ValueError: The bytes are not a command set.
    """
    command: CommandSet = {}
    position = 0
    while position < len(encoded):
        header = encoded[position : position + 8]
        if len(header) < 8:  # noqa: PLR2004  a tag and a length
            raise ValueError("the peer's command set is cut off")
        group, element, length = struct.unpack("<HHI", header)
        value = encoded[position + 8 : position + 8 + length]
        if group != 0 or len(value) != length:
            raise ValueError("the peer's command set is malformed")
        command[element] = value
        position += 8 + length
    return command


def _encode(values: dict[int, int | str]) -> bytes:
    body = b"".join(_element(number, value) for number, value in values.items())
    return struct.pack("<HHII", 0x0000, 0x0000, 4, len(body)) + body


def _element(number: int, value: int | str) -> bytes:
    if isinstance(value, int):
        encoded = struct.pack("<H", value)
    else:
        encoded = value.encode("ascii", "replace")
        encoded += (b" " if number == MOVE_DESTINATION else b"\0") * (len(encoded) % 2)
    return struct.pack("<HHI", 0x0000, number, len(encoded)) + encoded
