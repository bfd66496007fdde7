"""Sends instances in rounds: each round sends again those that were not acknowledged but may still succeed.

Each further round begins after a pause, over new associations. A round without progress is fruitless. If the number of
fruitless rounds in a row reaches the number of attempts that an instance has, a C-ECHO asks whether the peer is alive.
If it is not, the sending ends. If it is, the peer probably refuses certain instances or contexts. So the sending goes
on with other instances, whose attempts are counted separately, and with half as many contexts in an association.
"""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from dcm_processor_service.dicom_network.dimse.connection import PeerRefusesError
from dcm_processor_service.dicom_network.dimse.echo import is_alive
from dcm_processor_service.dicom_network.dimse.lane import Lane
from dcm_processor_service.dicom_network.dimse.negotiation import MOST_CONTEXTS
from dcm_processor_service.dicom_network.parcels import Parcel
from dcm_processor_service.dicom_network.planning import Batch, Kind, plan
from dcm_processor_service.errors import PeerUnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dcm_processor_service.dicom_network.dimse.negotiation import ProposedContext
    from dcm_processor_service.dicom_network.parcels import Ledger
    from dcm_processor_service.dicom_network.sources import Outgoing
    from dcm_processor_service.models import Peer, SendOptions

__all__ = ["Delivery"]


class Delivery:
    """Sends instances to one peer over one or more lanes, each of which has its own association."""

    def __init__(
        self,
        peer: Peer,
        options: SendOptions,
        calling_ae_title: str,
        ledger: Ledger,
        pause: Callable[[float], None],
    ) -> None:
        self.where = peer.address
        self._peer = peer
        self._options = options
        self._calling_ae_title = calling_ae_title
        self._ledger = ledger
        self._pause = pause
        self._stop = threading.Event()
        self._lanes = [Lane(peer, options, calling_ae_title, ledger) for _ in range(options.associations)]
        self._most_contexts = MOST_CONTEXTS
        self.failure: PeerUnreachableError | None = None
        """The reason why the peer cannot be reached any more; after it is set, nothing more is sent."""

    def deliver(self, instances: Iterable[tuple[int, Outgoing]], cancelled: Callable[[], bool]) -> None:
        """Sends instances, and writes a record of each into the ledger."""
        pending = [
            Parcel(position, instance, Kind.of(instance, self._peer, self._options)) for position, instance in instances
        ]
        fruitless = unanswered = 0
        while pending and not cancelled() and self.failure is None:
            before = self._progress(pending)
            lost = self._round(pending, cancelled)
            advanced = self._progress(pending) != before
            if not advanced:
                fruitless += 1
                unanswered += any(parcel.timed_out for parcel in pending)
            else:
                fruitless = unanswered = 0
            doubtful = fruitless >= self._options.attempts
            pending = self._remaining(pending, scattered=doubtful)
            if isinstance(lost, PeerRefusesError) and not advanced:  # after progress, another lane may send the rest
                self.failure = lost
            elif doubtful and not (self._may_yet_succeed(pending, unanswered) and self._halve_contexts(lost, pending)):
                self.failure = lost or self._no_answer(pending)
            elif lost or any(parcel.attempts for parcel in pending):
                self._wait(fruitless)
            fruitless = 0 if doubtful else fruitless
        reason = "cancelled" if self.failure is None else str(self.failure)
        temporary = self.failure is None or self.failure.retryable
        for parcel in pending:
            self._ledger.put(parcel.position, parcel.give_up(reason, retryable=temporary))

    def _progress(self, pending: list[Parcel]) -> tuple[int, int]:
        return len(self._ledger.records), sum(parcel.kind.recompress for parcel in pending)

    def _may_yet_succeed(self, pending: list[Parcel], unanswered: int) -> bool:
        """Returns whether more attempts make sense: the peer is alive, and answers requests.

        Waiting for an answer takes long. So if answers fail to come, not all instances are tried, but only a few: one
        more for each doubling of their number.
        """
        if unanswered >= self._options.attempts + len(pending).bit_length():
            return False
        return bool(pending) and is_alive(self._peer, self._options, self._calling_ae_title)

    def _halve_contexts(self, lost: PeerUnreachableError | None, pending: list[Parcel]) -> bool:
        """Halves the number of contexts of the next associations, if an association was lost.

        Returns False if this is impossible, because each association has only one kind of instance already.
        """
        if lost is None:
            return True
        batches = self._plan(pending)
        if all(len(batch.kinds) == 1 for batch in batches):
            return False
        self._most_contexts = max(len(batch.contexts) for batch in batches) // 2
        return True

    def _plan(self, pending: list[Parcel]) -> list[Batch]:
        kinds = (parcel.kind for parcel in pending)
        return plan(kinds, transcode=self._options.transcode, most_contexts=self._most_contexts)

    def finish(self) -> None:
        """Releases every association."""
        for lane in self._lanes:
            lane.release()

    def abort(self) -> None:
        """Aborts every association."""
        for lane in self._lanes:
            lane.abort()

    def _round(self, pending: list[Parcel], cancelled: Callable[[], bool]) -> PeerUnreachableError | None:
        """Sends pending instances, over as many associations as their contexts need; returns an error if one fails.

        The round ends with the first association that fails. But if the number of contexts was halved, the round goes
        on, and a failed association counts only as an attempt of its own instances.
        """
        first: PeerUnreachableError | None = None
        for batch in self._plan(pending):
            mine = frozenset(batch.kinds)
            queue = deque(parcel for parcel in pending if parcel.kind in mine)
            lost = self._run_lanes(queue, batch.contexts, cancelled)
            first = first or lost
            if lost is not None and (self._most_contexts == MOST_CONTEXTS or isinstance(lost, PeerRefusesError)):
                return lost
            if lost is not None and len(batch.kinds) == 1:
                for parcel in queue:
                    parcel.denied += 1
                    parcel.problem = str(lost)
        return first

    def _run_lanes(
        self, queue: deque[Parcel], contexts: tuple[ProposedContext, ...], cancelled: Callable[[], bool]
    ) -> PeerUnreachableError | None:
        """Runs the lanes side by side, each in a thread; a single lane runs in the calling thread."""
        # lanes with an open association come first, because a peer that allows few associations may refuse new ones
        lanes = sorted(self._lanes, key=lambda lane: not lane.is_open)[: len(queue)]

        def run(lane: Lane) -> PeerUnreachableError | None:
            try:
                lane.run(queue, contexts, lambda: self._stop.is_set() or cancelled())
            except PeerUnreachableError as error:
                return error
            except BaseException:
                self._stop.set()
                raise
            return None

        if len(lanes) == 1:
            return run(lanes[0])
        with ThreadPoolExecutor(len(lanes), thread_name_prefix="dicom-send") as pool:
            errors = list(pool.map(run, lanes))
        # the error of a lane does not matter if the other lanes have sent everything
        return next((error for error in errors if error is not None), None) if queue else None

    def _remaining(self, pending: list[Parcel], *, scattered: bool) -> list[Parcel]:
        """Returns the instances that have no record yet and attempts left; records the others as given up.

        Instances with the fewest attempts come first, so that an instance that makes the peer abort does not block the
        others. Faulty instances often follow each other. So if ``scattered``, instances with equally many attempts are
        put in another order: first the middle one, then the middles of both halves, and so on.
        """
        for lane in self._lanes:
            lane.renew()
        left = []
        for parcel in pending:
            if parcel.position in self._ledger.records:
                continue
            if parcel.counted < self._options.attempts:
                left.append(parcel)
            else:
                self._ledger.put(parcel.position, parcel.give_up())
        if scattered:
            bits = len(left).bit_length()
            order = sorted(range(len(left)), key=lambda number: f"{number + 1:0{bits}b}"[::-1])
            left = [left[number] for number in order]
        return sorted(left, key=lambda parcel: parcel.attempts)

    def _no_answer(self, pending: list[Parcel]) -> PeerUnreachableError | None:
        if not pending:
            return None  # no instance is left, so there is nothing to give up
        problem = next((parcel.problem for parcel in reversed(pending) if parcel.problem), "no answer")
        return PeerUnreachableError(f"{self.where}: {self._options.attempts} times in a row, {problem}")

    def _wait(self, fruitless: int) -> None:
        delay_s = self._options.backoff_s * 2.0 ** max(fruitless - 1, 0)
        self._pause(min(delay_s, self._options.backoff_limit_s))
