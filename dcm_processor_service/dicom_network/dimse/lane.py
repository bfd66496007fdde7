"""One lane of a sending: takes instances from a queue and sends them over its own association, one after the other."""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from dcm_processor_service.dicom_network.dimse import command_set
from dcm_processor_service.dicom_network.dimse.association import Association, AssociationLostError, open_association
from dcm_processor_service.dicom_network.parcels import UNSENDABLE
from dcm_processor_service.dicom_network.planning import Choice, Refusal, choose
from dcm_processor_service.dicom_network.sources import Checksum, UnreadableInstanceError
from dcm_processor_service.dicom_network.status import DUPLICATE_SOP_INSTANCE, explain
from dcm_processor_service.errors import UnsupportedTransferSyntaxError
from dcm_processor_service.models import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from dcm_processor_service.dicom_network.dimse.negotiation import ProposedContext
    from dcm_processor_service.dicom_network.parcels import Ledger, Parcel
    from dcm_processor_service.models import Peer, SendOptions

__all__ = ["Lane"]


class _RefusedError(Exception):
    """The peer accepted no context for an instance."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal


class Lane:
    """Sends instances to one peer, over one association at a time."""

    def __init__(self, peer: Peer, options: SendOptions, calling_ae_title: str, ledger: Ledger) -> None:
        self._peer = peer
        self._options = options
        self._calling_ae_title = calling_ae_title
        self._ledger = ledger
        self._association: Association | None = None
        self._proposed: frozenset[ProposedContext] = frozenset()
        self._answered = False  # whether the peer has answered a request over the present association
        self._again = False  # whether an instance must be sent again in the next round
        self._queue: deque[Parcel] = deque()

    def run(self, queue: deque[Parcel], contexts: tuple[ProposedContext, ...], stopped: Callable[[], bool]) -> None:
        """Sends the instances in the queue until it is empty, the association is lost or the sending is cancelled.

        Raises:
            PeerUnreachableError: No association could be opened; the instance was put back into the queue.
        """
        self._queue = queue
        while not stopped():
            try:
                parcel = queue.popleft()
            except IndexError:
                return
            try:
                self._deliver(parcel, contexts)
            except AssociationLostError as lost:
                self._association = None
                parcel.unacknowledged = True
                parcel.problem, parcel.timed_out = str(lost), lost.timed_out
                if lost.by_end and self._answered:
                    # Many peers end an association after each instance, so this request may have come too late. If the
                    # instance itself is the cause, it fails again over a new association, and then the attempt counts.
                    parcel.excused += 1
                return
            except BaseException:
                queue.appendleft(parcel)
                raise

    def renew(self) -> None:
        """Releases the association if an instance must be sent again, because that needs a new association."""
        if self._again:
            self.release()
        self._again = False

    def release(self) -> None:
        """Releases the association, if there is one."""
        association, self._association = self._association, None
        if association is not None:
            association.release()

    def abort(self) -> None:
        """Aborts the association, if there is one."""
        association, self._association = self._association, None
        if association is not None:
            association.abort()

    @property
    def is_open(self) -> bool:
        """Whether this lane has an association."""
        return self._association is not None

    def _ensure_association(self, contexts: tuple[ProposedContext, ...]) -> Association:
        """Returns an association with the contexts; opens a new one only if the present one cannot be used.

        The present one is kept if possible, because some archives think that a study is complete when it ends.
        """
        if self._association is not None and self._proposed.issuperset(contexts):
            if not self._association.is_over():
                return self._association
            self._association = None
        self.release()
        self._answered = False
        association = open_association(self._peer, contexts, self._options, self._calling_ae_title)
        self._association, self._proposed = association, frozenset(contexts)
        return association

    def _deliver(self, parcel: Parcel, contexts: tuple[ProposedContext, ...]) -> None:
        """Sends an instance; if it cannot be sent, no association is opened for it."""
        try:
            if self._association is None:
                parcel.instance.require_sound()
            association, choice, file = self._make_ready(parcel, contexts)
            with file:
                started = time.monotonic()
                command = self._store(association, parcel, choice, file)
        except _RefusedError as error:
            self._refuse(parcel, error.refusal)
        except UNSENDABLE as error:
            self._ledger.put(parcel.position, parcel.unsendable(error))
        else:
            parcel.duration_s += time.monotonic() - started
            self._answered = True
            self._judge(parcel, choice, command)

    def _make_ready(
        self, parcel: Parcel, contexts: tuple[ProposedContext, ...]
    ) -> tuple[Association, Choice, BinaryIO]:
        """Opens an instance in a transfer syntax that the peer accepts, and an association if there is none.

        A conversion may take so long that a peer ends the idle association. So the association is checked again after a
        conversion, and a new one is opened if necessary.
        """
        association = self._ensure_association(contexts)
        choice, file = self._open(parcel, association)
        if choice.transfer_syntax_uid == parcel.instance.transfer_syntax_uid:
            return association, choice, file
        try:
            association = self._ensure_association(contexts)
            again = self._choose(parcel, association)
        except BaseException:
            file.close()
            raise
        if again.transfer_syntax_uid != choice.transfer_syntax_uid:  # the peer agreed to another syntax this time
            file.close()
            file = parcel.instance.open_file(again.transfer_syntax_uid)
        return association, again, file

    def _open(self, parcel: Parcel, association: Association) -> tuple[Choice, BinaryIO]:
        """Opens an instance in the transfer syntax that was agreed for it.

        If that is the peer's preferred syntax, and the instance cannot be converted to it, another one is chosen.
        """
        choice = self._choose(parcel, association)
        try:
            return choice, parcel.instance.open_file(choice.transfer_syntax_uid)
        except UnsupportedTransferSyntaxError:
            if choice.transfer_syntax_uid != parcel.kind.preferred:
                raise
        parcel.kind = parcel.kind.without_preference()
        choice = self._choose(parcel, association)
        return choice, parcel.instance.open_file(choice.transfer_syntax_uid)

    def _choose(self, parcel: Parcel, association: Association) -> Choice:
        choice = choose(parcel.kind, association.agreed, transcode=self._options.transcode)
        if isinstance(choice, Refusal):
            raise _RefusedError(choice)
        return choice

    def _refuse(self, parcel: Parcel, refusal: Refusal) -> None:
        if refusal.recompress:
            parcel.kind = replace(parcel.kind, recompress=True)
            self._again = True
        else:
            self._ledger.put(parcel.position, parcel.record(Outcome.REFUSED, refusal.reason))

    def _store(
        self, association: Association, parcel: Parcel, choice: Choice, file: BinaryIO
    ) -> command_set.CommandSet:
        instance, checksum = parcel.instance, Checksum()
        coming: list[str] = []
        encode = partial(
            command_set.c_store_rq, sop_class_uid=instance.sop_class_uid, sop_instance_uid=instance.sop_instance_uid
        )
        with suppress(IndexError):  # the queue is empty, perhaps because another lane has taken the next instance
            coming = [self._queue[0].instance.sop_instance_uid]
        self._ledger.begin([instance.sop_instance_uid, *coming])
        parcel.attempts += 1
        parcel.status, parcel.timed_out = None, False
        try:
            answer = association.request(
                choice.context_id, encode, lambda piece_bytes: checksum.of(instance.read(file, piece_bytes))
            )
        except UnreadableInstanceError:
            self._association = None  # the association was aborted, because only a part of the instance was sent
            raise
        parcel.checksum = checksum.text
        return answer

    def _judge(self, parcel: Parcel, choice: Choice, command: command_set.CommandSet) -> None:
        code = command_set.us(command, command_set.STATUS)
        if code is None:
            self.abort()
            raise AssociationLostError("the peer answered without a status")
        status = explain(code)
        if code == DUPLICATE_SOP_INSTANCE:
            status = self._ledger.explain_duplicate(parcel, status)
        parcel.status = code
        parcel.problem = status.meaning
        if status.retryable and parcel.counted < self._options.attempts:
            self._again = True
            return
        elements = command_set.offending_elements(command)
        meaning = f"{status.meaning} {elements}" if elements else status.meaning
        record = parcel.record(status.outcome, meaning, choice, retryable=status.retryable)
        self._ledger.put(parcel.position, record)
