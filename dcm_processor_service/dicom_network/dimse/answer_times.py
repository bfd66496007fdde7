"""Proposes time-outs for a peer from the time that it takes to answer simple requests.

The measured time is the least that the peer needs: it may take longer while it waits for a tape or a lock. So a
proposed time-out is never shorter than the present one. If a time-out were too short, an instance that the peer has
stored would be reported as failed.
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
"""A time-out must be at least this many times as long as the measured time, because the peer may be busier later."""

_STEP_S = 5


@dataclass
class AnswerTimes:
    """The longest measured times, in seconds."""

    connect_s: float = 0.0
    """The longest time to open a connection."""
    answer_s: float = 0.0
    """The longest time to open an association (including TLS) or to answer a C-ECHO."""
    echo_lost: str = ""
    """The reason why a C-ECHO was not answered; empty if it was answered, or if none was sent."""

    def add_association(self, association: Association, *, over_tls: bool) -> None:
        """Records how long it took to open an association."""
        self.connect_s = max(self.connect_s, association.connect_s)
        opening_s = association.accept_s + (association.connect_s if over_tls else 0.0)
        self.answer_s = max(self.answer_s, opening_s)

    def add_echo(self, association: Association, context_id: int) -> None:
        """Sends a C-ECHO, if the peer accepts it, and records how long the answer took."""
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
    """A proposed time-out in seconds, or None if the present one is long enough, and a sentence about it."""

    value: float | None
    sentence: str


def time_outs(times: AnswerTimes, options: SendOptions) -> dict[str, Proposed]:
    """Returns proposals for ``timeout_s`` and ``connection_timeout_s`` of the peer.

    Args:
        times: The measured times.
        options: The present time-outs, including the peer's own values.
    """
    shortest_s = min(options.acse_timeout_s, options.dimse_timeout_s, options.network_timeout_s)
    longest_s = max(options.acse_timeout_s, options.dimse_timeout_s, options.network_timeout_s)
    lost = f" (it left a C-ECHO without an answer: {times.echo_lost})" if times.echo_lost else ""
    return {
        "timeout_s": _proposed("timeout_s", "answer to a simple request" + lost, times.answer_s, shortest_s, longest_s),
        "connection_timeout_s": _proposed(
            "connection_timeout_s",
            "connection",
            times.connect_s,
            options.connection_timeout_s,
            options.connection_timeout_s,
        ),
    }


def _proposed(field: str, what: str, measured_s: float, shortest_s: float, longest_s: float) -> Proposed:
    """Proposes a time-out that is not shorter than the longest present one, because it replaces several of them."""
    wanted_s = _ROOM * measured_s
    if wanted_s <= shortest_s:
        return Proposed(
            None,
            f"{field} stays: {what} took {measured_s:.2f} s at most, and the present {shortest_s:g} s leave room",
        )
    value = max(longest_s, float(math.ceil(wanted_s / _STEP_S) * _STEP_S))
    return Proposed(
        value,
        f"{field}={value:g}: {what} took {measured_s:.1f} s, and {shortest_s:g} s leave too little room for when the "
        "peer is busy",
    )
