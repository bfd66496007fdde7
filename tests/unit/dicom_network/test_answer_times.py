"""What is measured of a peer: the longest times, with TLS where it is spoken, and an echo that gets no answer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from dcm_processor_service.dicom_network.dimse import command_set
from dcm_processor_service.dicom_network.dimse.answer_times import AnswerTimes, time_outs
from dcm_processor_service.dicom_network.dimse.association import AssociationLostError
from dcm_processor_service.dicom_network.dimse.echo import CONTEXT
from dcm_processor_service.dicom_network.dimse.negotiation import Agreement
from dcm_processor_service.models import SendOptions


def association(connect_s: float = 0.0, accept_s: float = 0.0, **values: Any) -> Any:
    return SimpleNamespace(connect_s=connect_s, accept_s=accept_s, **values)


@pytest.mark.parametrize(("over_tls", "answer_s"), [(False, 3.0), (True, 5.0)])
def test_the_longest_times_are_kept(answer_s: float, *, over_tls: bool) -> None:
    times = AnswerTimes()
    for connect_s, accept_s in ((1.0, 1.0), (2.0, 3.0), (0.5, 0.5)):
        times.add_association(association(connect_s, accept_s), over_tls=over_tls)
    assert (times.connect_s, times.answer_s) == (2.0, answer_s)


class Echoing:
    """A fake association that notes its requests."""

    def __init__(self, syntax: str, error: Exception | None = None) -> None:
        self.agreed = {1: Agreement(CONTEXT, syntax)}
        self.error = error
        self.requests: list[tuple[int, bytes]] = []

    def request(self, context_id: int, encode: Any) -> None:
        self.requests.append((context_id, encode(2)))
        if self.error is not None:
            raise self.error


def test_an_echo_is_sent_where_the_peer_takes_it_and_a_lost_one_is_told() -> None:
    times = AnswerTimes()
    refusing: Any = Echoing("")
    times.add_echo(refusing, 1)
    assert (refusing.requests, times) == ([], AnswerTimes())
    taking: Any = Echoing(CONTEXT.transfer_syntax_uids[0])
    times.add_echo(taking, 1)
    assert taking.requests == [(1, command_set.c_echo_rq(2))]
    assert times.echo_lost == ""
    assert 0 <= times.answer_s < 60
    losing: Any = Echoing(CONTEXT.transfer_syntax_uids[0], AssociationLostError("it aborted"))
    times.add_echo(losing, 1)
    assert times.echo_lost == "it aborted"
    assert "it left a C-ECHO without an answer: it aborted" in time_outs(times, SendOptions())["timeout_s"].sentence


@pytest.mark.parametrize(
    ("answer_s", "value"), [(0.0, None), (2.0, None), (2.1, 40.0), (4.0, 40.0), (4.1, 45.0), (9.0, 90.0)]
)
def test_a_time_out_has_room_for_ten_measured_answers_in_steps_of_five_seconds(
    answer_s: float, value: float | None
) -> None:
    options = SendOptions(acse_timeout_s=20, dimse_timeout_s=40, network_timeout_s=30, connection_timeout_s=5)
    proposed = time_outs(AnswerTimes(answer_s=answer_s), options)
    assert proposed["timeout_s"].value == value
    assert proposed["connection_timeout_s"].value is None
    assert time_outs(AnswerTimes(connect_s=0.6), options)["connection_timeout_s"].value == 10.0
