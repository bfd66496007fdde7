"""Fetches instances in rounds: asks again for missing instances, as long as new ones arrive."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dcm_processor_service.dicom_network.dimse.pdu_stream import AssociationLostError
from dcm_processor_service.dicom_network.retrieval.contexts import batches
from dcm_processor_service.errors import PeerUnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from typing import Protocol

    from dcm_processor_service.dicom_network.retrieval.inbox import Inbox
    from dcm_processor_service.dicom_network.retrieval.wanted import WantedSeries
    from dcm_processor_service.models import FetchOptions

    class Channel(Protocol):
        """A connection over which we ask a peer to send instances."""

        def ask(self, series: WantedSeries, sop_instance_uids: Sequence[str] = ()) -> Ending:
            """Asks the peer to send a series, or some of its instances."""


__all__ = ["Ending", "NotOfferedError", "Rounds"]

_NOT_SENT = ("the peer says that it could not send it", True)
_LISTED_AT_ONCE = 50  # so many UIDs, of up to 64 characters, fit into one value at any peer


class NotOfferedError(Exception):
    """The peer does not offer C-GET or C-MOVE, or not for the SOP classes that are needed."""


@dataclass(frozen=True)
class Ending:
    """How a request to send instances has ended."""

    problem: str = ""
    """Why the peer sent fewer instances than requested; empty if it reports that it has sent all."""
    retryable: bool = True
    failed: tuple[str, ...] = ()
    """SOPInstanceUIDs of those instances that the peer could not send, according to its report."""
    reasons: Mapping[str, tuple[str, bool]] = field(default_factory=dict)
    """The reason by SOPInstanceUID, and whether it is temporary, for failed instances that were requested singly."""


class Rounds:
    """Asks for series until they have arrived, or nothing more arrives.

    Args:
        inbox: Receives the instances.
        open_channel: Opens a channel over which the peer can send instances of the given SOP classes.
        options: The number of attempts and the pause between them.
        pause: Function that waits; it is called with the number of seconds.
        cancelled: Called before each request; returns whether to stop.
    """

    def __init__(
        self,
        inbox: Inbox,
        open_channel: Callable[[frozenset[str]], AbstractContextManager[Channel]],
        options: FetchOptions,
        pause: Callable[[float], None],
        cancelled: Callable[[], bool],
    ) -> None:
        self._inbox = inbox
        self._open_channel = open_channel
        self._options = options
        self._pause = pause
        self._cancelled = cancelled
        self.not_offered: NotOfferedError | None = None
        """The error for which some series were given up; None if the peer offers the service for all series."""

    def run(self, wanted: Sequence[WantedSeries]) -> None:
        """Asks for all series, then again for missing instances.

        Only rounds in which no instance arrives count as attempts.

        Raises:
            PeerUnreachableError: No association could be opened, and nothing has arrived.
        """
        fruitless = 0
        while fruitless < self._options.attempts and not self._cancelled():
            pending = [one for one in wanted if not one.given_up and not self._inbox.is_complete(one)]
            if not pending:
                return
            if fruitless:
                self._pause(self._options.backoff_s * 2.0 ** (fruitless - 1))
            before = len(self._inbox.records)
            for members, classes in batches(pending):
                self._ask_for_all(members, classes, is_last=fruitless + 1 >= self._options.attempts)
            fruitless = 0 if len(self._inbox.records) > before else fruitless + 1

    def _ask_for_all(self, series: Sequence[WantedSeries], classes: frozenset[str], *, is_last: bool) -> None:
        waiting = list(series)
        try:
            with self._open_channel(classes) as channel:
                while waiting and not self._cancelled():
                    self._ask_for(channel, waiting[0])
                    waiting.pop(0)
        except NotOfferedError as error:
            self.not_offered = error
            for one in waiting:
                one.given_up = True
                self._inbox.problems[one.series_instance_uid] = (str(error), False)
        except AssociationLostError as error:
            for one in waiting[:1]:
                one.cut_short = True
            for one in waiting:
                self._inbox.problems[one.series_instance_uid] = (str(error), True)
        except PeerUnreachableError as error:
            if not self._inbox.records and (is_last or not error.retryable):
                raise
            for one in waiting:
                one.given_up = one.given_up or not error.retryable
                self._inbox.problems[one.series_instance_uid] = (str(error), error.retryable)

    def _ask_for(self, channel: Channel, series: WantedSeries) -> None:
        missing = self._inbox.missing(series)
        some = series.only_listed or (series.takes_lists and 0 < len(missing) < len(series.listed))
        parts = [missing[start : start + _LISTED_AT_ONCE] for start in range(0, len(missing), _LISTED_AT_ONCE)]
        before = self._inbox.count(series)
        series.cut_short = False
        self._inbox.problems.pop(series.series_instance_uid, None)
        for part in parts if some else [[]]:
            ending = channel.ask(series, part)
            for uid in ending.failed:
                self._inbox.asked_in[uid] = series.series_instance_uid
                self._inbox.problems[uid] = ending.reasons.get(uid, _NOT_SENT)
            series.cut_short |= bool(ending.problem or ending.failed)
            if ending.problem:
                self._inbox.problems[series.series_instance_uid] = (ending.problem, ending.retryable)
            if ending.problem and not ending.retryable and self._inbox.count(series) == before:
                series.given_up = series.only_listed or not some
                series.takes_lists = False
                return
