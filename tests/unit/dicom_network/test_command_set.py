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
    assert not command_set.offending_elements({})
