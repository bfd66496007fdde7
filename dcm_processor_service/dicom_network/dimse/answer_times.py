"""Time-outs for a peer, from how long it took to answer idle questions.

What is measured is the least that the peer needs: at work, before a tape or a lock, it may be silent for longer. So a
time-out is only ever proposed longer than what holds, never shorter: too short a one turns what is stored into a
failure.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dcm_processor_service.dicom_network.dimse import command_set
from dcm_processor_service.dicom_network.dimse.association import AssociationLostError

if TYPE_CHECKING:
    from dcm_processor_service.dicom_network.dimse.association import Association
    from dcm_processor_service.models import SendOptions

__all__ = ["AnswerTimes", "Proposed", "time_outs"]

_ROOM = 10
"""How many times as long as a measured answer a time-out has to be: the peer may be at work then."""

_STEP_S = 5


@dataclass
class AnswerTimes:
    """The longest of each that was measured, in seconds."""

    connect_s: float = 0.0
    answer_s: float = 0.0
    """Of associations (with TLS) and C-ECHO."""
    echo_lost: str = ""
    """Why a C-ECHO was not answered; empty if it was, or none was asked for."""

    def add_association(self, association: Association, *, over_tls: bool) -> None:
        """Adds how long it took to open one."""
        self.connect_s = max(self.connect_s, association.connect_s)
        opening_s = association.accept_s + (association.connect_s if over_tls else 0.0)
        self.answer_s = max(self.answer_s, opening_s)

    def add_echo(self, association: Association, context_id: int) -> None:
        """Asks for a C-ECHO, and adds how long the answer took; nothing where the peer takes none."""
        if not association.agreed[context_id].accepted:
            return
        began_s = time.monotonic()
        try:
            association.request(context_id, command_set.c_echo_rq)
        except AssociationLostError as error:
            self.echo_lost = str(error)
        self.answer_s = max(self.answer_s, time.monotonic() - began_s)


@dataclass(frozen=True)
class Proposed:
    """A value of a field of the peer, or None where what holds leaves room, and a sentence about it."""

    value: float | None
    sentence: str


def time_outs(times: AnswerTimes, options: SendOptions) -> dict[str, Proposed]:
    """Returns what to set for ``timeout_s`` and ``connection_timeout_s`` of the peer.

    Args:
        times: What was measured.
        options: What holds so far, with the peer's own values in it.
    """
    shortest_s = min(options.acse_timeout_s, options.dimse_timeout_s, options.network_timeout_s)
    longest_s = max(options.acse_timeout_s, options.dimse_timeout_s, options.network_timeout_s)
    lost = f" (it left a C-ECHO without an answer: {times.echo_lost})" if times.echo_lost else ""
    return {
        "timeout_s": _proposed("timeout_s", "answer to an idle question" + lost, times.answer_s, shortest_s, longest_s),
        "connection_timeout_s": _proposed(
            "connection_timeout_s",
            "connection",
            times.connect_s,
            options.connection_timeout_s,
            options.connection_timeout_s,
        ),
    }


def _proposed(field: str, what: str, measured_s: float, shortest_s: float, longest_s: float) -> Proposed:
    """Proposes no less than the longest time-out that holds: one value stands for several of them."""
    wanted_s = _ROOM * measured_s
    if wanted_s <= shortest_s:
        return Proposed(
            None,
            f"{field} stays: {what} took {measured_s:.2f} s at most, and the {shortest_s:g} s that hold leave room",
        )
    value = max(longest_s, float(math.ceil(wanted_s / _STEP_S) * _STEP_S))
    return Proposed(
        value,
        f"{field}={value:g}: {what} took {measured_s:.1f} s, and {shortest_s:g} s leave too little room for when it is "
        "at work",
    )
