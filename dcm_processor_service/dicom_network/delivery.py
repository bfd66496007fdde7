"""The rounds of a sending: what is unacknowledged and may yet succeed goes again, after a pause, over new associations.

A round that brought nothing is fruitless; as many in a row as an instance has attempts end the sending. So a peer that
aborts now and then delays a sending, and one that went away ends it.
"""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from dcm_processor_service.dicom_network.dimse.connection import PeerRefusesError
from dcm_processor_service.dicom_network.dimse.lane import Lane, Ledger, Parcel
from dcm_processor_service.dicom_network.planning import Kind, plan
from dcm_processor_service.errors import PeerUnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dcm_processor_service.dicom_network.dimse.negotiation import ProposedContext
    from dcm_processor_service.dicom_network.sources import Outgoing
    from dcm_processor_service.models import Peer, SendOptions

__all__ = ["Delivery"]


class Delivery:
    """Brings instances to one peer over one or more lanes."""

    def __init__(
        self,
        peer: Peer,
        options: SendOptions,
        calling_ae_title: str,
        ledger: Ledger,
        pause: Callable[[float], None],
    ) -> None:
        self.where = peer.address
        self._options = options
        self._ledger = ledger
        self._pause = pause
        self._stop = threading.Event()
        self._lanes = [Lane(peer, options, calling_ae_title, ledger) for _ in range(options.associations)]
        self.failure: PeerUnreachableError | None = None
        """Why the peer could not be reached any more; nothing further is sent then."""

    def deliver(self, instances: Iterable[tuple[int, Outgoing]], cancelled: Callable[[], bool]) -> None:
        """Sends instances, and writes a record for each."""
        pending = [Parcel(position, instance, Kind.of(instance)) for position, instance in instances]
        fruitless = 0
        while pending and not cancelled() and self.failure is None:
            answered = len(self._ledger.records), sum(parcel.kind.recompress for parcel in pending)
            lost = self._round(pending, cancelled)
            if (len(self._ledger.records), sum(parcel.kind.recompress for parcel in pending)) == answered:
                fruitless += 1
            else:
                fruitless = 0
            pending = self._left(pending)
            if isinstance(lost, PeerRefusesError) or fruitless >= self._options.attempts:
                self.failure = lost or self._no_answer(pending)
            elif lost or any(parcel.attempts for parcel in pending):
                self._wait(fruitless)
        reason = "cancelled" if self.failure is None else str(self.failure)
        for parcel in pending:
            self._ledger.put(parcel.position, parcel.give_up(reason))

    def finish(self) -> None:
        """Releases every association."""
        for lane in self._lanes:
            lane.release()

    def abort(self) -> None:
        """Aborts every association."""
        for lane in self._lanes:
            lane.abort()

    def _round(self, pending: list[Parcel], cancelled: Callable[[], bool]) -> PeerUnreachableError | None:
        for batch in plan((parcel.kind for parcel in pending), transcode=self._options.transcode):
            kinds = frozenset(batch.kinds)
            queue = deque(parcel for parcel in pending if parcel.kind in kinds)
            lost = self._run_lanes(queue, batch.contexts, cancelled)
            if lost is not None:
                return lost
        return None

    def _run_lanes(
        self, queue: deque[Parcel], contexts: tuple[ProposedContext, ...], cancelled: Callable[[], bool]
    ) -> PeerUnreachableError | None:
        """Runs the lanes side by side; a single one in this thread."""
        lanes = self._lanes[: len(queue)]

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
        # a lane that found no room does no harm while the others emptied the queue
        return next((error for error in errors if error is not None), None) if queue else None

    def _left(self, pending: list[Parcel]) -> list[Parcel]:
        """What has no record yet and attempts left; gives the others their last record.

        What was tried least goes first: an instance that makes the peer abort must not stand in the way of the others.
        """
        for lane in self._lanes:
            lane.renew()
        left = []
        for parcel in pending:
            if parcel.position in self._ledger.records:
                continue
            if parcel.attempts < self._options.attempts:
                left.append(parcel)
            else:
                self._ledger.put(parcel.position, parcel.give_up())
        return sorted(left, key=lambda parcel: parcel.attempts)

    def _no_answer(self, pending: list[Parcel]) -> PeerUnreachableError | None:
        if not pending:
            return None  # the last one has used up its attempts: nothing to give up for
        problem = next((parcel.problem for parcel in reversed(pending) if parcel.problem), "no answer")
        return PeerUnreachableError(f"{self.where}: {self._options.attempts} times in a row, {problem}")

    def _wait(self, fruitless: int) -> None:
        delay_s = self._options.backoff_s * 2.0 ** max(fruitless - 1, 0)
        self._pause(min(delay_s, self._options.backoff_limit_s))
