"""Sends to DICOM peers with a journal, so that after a crash only instances without acknowledgement are sent again."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, TypeAlias, cast

from dcm_processor_service.errors import DerivedObjectError, SendRejectedError
from dcm_processor_service.models import Peer, SendOptions
from dcm_processor_service.session.images.series import DicomSeries
from dcm_processor_service.session.images.series_async import AsyncDicomSeries
from dcm_processor_service.session.network.commitment_store import CommitmentStore
from dcm_processor_service.session.network.commitments import AsyncCommitments
from dcm_processor_service.session.network.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from dcm_processor_service.models import InstanceRecord, SendCheck, SendReport, StorageCommitment
    from dcm_processor_service.ports import DataRepository, Sendable
    from dcm_processor_service.session.network.peers import AsyncPeers
    from dcm_processor_service.session.network.sending_tools import SendingTools

__all__ = ["AsyncSending", "SendItem", "journal_key"]

SendItem: TypeAlias = "Sendable | AsyncDicomSeries | DicomSeries"
"""An item that a session sends: a dataset, a DICOM file, a DICOMDIR, a folder, or a series."""


class AsyncSending:
    """Sends, and keeps a journal of the instances that were acknowledged or are under way."""

    def __init__(self, tools: SendingTools, repository: DataRepository, peers: AsyncPeers) -> None:
        self._tools = tools
        self._repository = repository
        self._peers = peers
        self._commitments = CommitmentStore(repository)
        self.commitments = AsyncCommitments(tools, self._commitments)

    async def send(
        self,
        what: SendItem | Iterable[SendItem],
        to: Peer | str,
        options: SendOptions | None,
        on_record: Callable[[], None],
    ) -> SendReport:
        """Sends the instances that a peer has not acknowledged yet; see :meth:`Dicom.send`."""
        peer = to if isinstance(to, Peer) else await self._peers.get(to)
        sender, chosen = self._tools.sender(), options or SendOptions()
        items = await _unpacked(what)
        _refuse_differing_datasets_of_one_uid(items)
        uids = await self._tools.offload(lambda: sender.identify(items))
        key = journal_key(peer, uids)
        journal = Journal(self._repository, self._tools.jobs.key, key)
        acknowledged = await journal.read()
        if chosen.resend:
            acknowledged = {}
            await journal.forget_all()
        run = self._tools.offload.way_back()

        def remember(record: InstanceRecord) -> None:
            if record != acknowledged.get(record.sop_instance_uid):
                run(journal.note(record))
            on_record()

        def keep(commitment: StorageCommitment) -> None:
            named = {"job_id": self._tools.jobs.key.job_id, "sending": key.replace("sending-", "commitment-")}
            run(self._commitments.put(self._tools.jobs.key, commitment.model_copy(update=named)))

        try:
            report = await self._tools.offload(
                lambda: sender.send(
                    items,
                    peer,
                    options=chosen,
                    acknowledged=acknowledged,
                    on_record=remember,
                    on_begin=lambda uids: run(journal.begin(uids)),
                    may_hold=lambda uid: bool(run(journal.may_hold(uid))),
                    on_commitment=keep,
                    cancelled=lambda: self._tools.cancellation.requested,
                )
            )
        except SendRejectedError as error:
            if error.report is not None:
                self._tools.recording.add_sent(error.report)
            raise
        self._tools.recording.add_sent(report)
        if report.ok:
            await journal.finish()
        return report

    async def check(
        self, what: SendItem | Iterable[SendItem], to: Peer | str, options: SendOptions | None
    ) -> SendCheck:
        """Checks instances as if they were sent; see :meth:`Dicom.check`."""
        peer = to if isinstance(to, Peer) else await self._peers.get(to)
        items = await _unpacked(what)
        return await self._tools.offload(
            lambda: self._tools.sender().check_sending(items, peer, options=options or SendOptions())
        )


async def _unpacked(what: SendItem | Iterable[SendItem]) -> Sequence[Sendable]:
    """Returns datasets and paths; a series becomes its files."""
    parcels = (what,) if _is_one(what) else what
    items: list[Sendable] = []
    for parcel in cast("Iterable[SendItem]", parcels):
        if isinstance(parcel, DicomSeries):
            items.extend(parcel.paths())
        elif isinstance(parcel, AsyncDicomSeries):
            items.extend(await parcel.paths())
        else:
            items.append(parcel)
    return items


def _refuse_differing_datasets_of_one_uid(items: Iterable[Sendable]) -> None:
    """Refuses two datasets of one SOPInstanceUID, because a peer would keep one of them and call both stored.

    Raises:
        DerivedObjectError: Two such datasets differ.
    """
    known: dict[str, object] = {}
    for item in items:
        uid = str(getattr(item, "SOPInstanceUID", ""))
        if uid and known.setdefault(uid, item) != item:
            raise DerivedObjectError(
                f"two of the datasets have the SOPInstanceUID {uid} and differ, and the peer would keep one of them: "
                "make each with a role of its own"
            )


def _is_one(what: object) -> bool:
    """Returns whether this is one item to send, and not several; a dataset is one item, although it is iterable."""
    return (
        isinstance(what, (str, DicomSeries, AsyncDicomSeries))
        or hasattr(what, "__fspath__")
        or hasattr(what, "SOPInstanceUID")
    )


def journal_key(peer: Peer, sop_instance_uids: Iterable[str]) -> str:
    """Returns the name of the sending of these instances, in any order, to this peer."""
    digest = hashlib.sha256((peer.url or peer.address).encode())
    for uid in sorted(set(sop_instance_uids)):
        digest.update(b"\0" + uid.encode())
    return f"sending-{digest.hexdigest()[:32]}"
