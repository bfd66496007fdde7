"""Sending to DICOM nodes, with a memory: the same sending after a crash sends only what was not acknowledged."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, TypeAlias, cast

from dcm_processor_service.models import InstanceRecord, Peer
from dcm_processor_service.session.series import AsyncDicomSeries, DicomSeries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from dcm_processor_service.models import SendOptions, SendReport
    from dcm_processor_service.ports import Offload, Sendable, Sender
    from dcm_processor_service.runtime.execution.cancellation import Cancellation
    from dcm_processor_service.session.data import AsyncData
    from dcm_processor_service.session.peers import AsyncPeers

__all__ = ["AsyncSending", "SendItem", "journal_key"]

SendItem: TypeAlias = "Sendable | AsyncDicomSeries | DicomSeries"
"""What a session sends: a dataset, a DICOM file, a DICOMDIR, a folder, or a series."""

SEGMENT_RECORDS = 64


class AsyncSending:
    """Sends, and keeps a journal of what was acknowledged in the session's data."""

    def __init__(
        self,
        data: AsyncData,
        peers: AsyncPeers,
        sender: Callable[[], Sender],
        offload: Offload,
        defaults: SendOptions,
        cancellation: Cancellation,
    ) -> None:
        self._data = data
        self._peers = peers
        self._sender = sender
        self._offload = offload
        self._defaults = defaults
        self._cancellation = cancellation

    async def send(
        self,
        what: SendItem | Iterable[SendItem],
        to: Peer | str,
        options: SendOptions | None,
        on_record: Callable[[], None],
    ) -> SendReport:
        """Sends what a node has not acknowledged yet; see :meth:`Dicom.send`."""
        peer = to if isinstance(to, Peer) else await self._peers.get(to)
        sender, chosen = self._sender(), options or self._defaults
        items = await _unpacked(what)
        uids = await self._offload(lambda: sender.identify(items))
        journal = _Journal(self._data, journal_key(peer, uids))
        acknowledged = await journal.read()
        run = self._offload.way_back()

        def remember(record: InstanceRecord) -> None:
            if record.outcome.acknowledged and record != acknowledged.get(record.sop_instance_uid):
                run(journal.append(record))
            on_record()

        report = await self._offload(
            lambda: sender.send(
                items,
                peer,
                options=chosen,
                acknowledged=acknowledged,
                on_record=remember,
                cancelled=lambda: self._cancellation.requested,
            )
        )
        if report.ok:
            await journal.forget()
        return report


async def _unpacked(what: SendItem | Iterable[SendItem]) -> Sequence[Sendable]:
    """Gives datasets and paths; a series becomes its files."""
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


def _is_one(what: object) -> bool:
    """Tells one parcel from several: a dataset is iterable too."""
    return (
        isinstance(what, (str, DicomSeries, AsyncDicomSeries))
        or hasattr(what, "__fspath__")
        or hasattr(what, "SOPInstanceUID")
    )


def journal_key(peer: Peer, sop_instance_uids: Iterable[str]) -> str:
    """Names the sending of these instances, in whatever order, to this peer."""
    digest = hashlib.sha256((peer.url or peer.address).encode())
    for uid in sorted(set(sop_instance_uids)):
        digest.update(b"\0" + uid.encode())
    return f"sending-{digest.hexdigest()[:32]}"


class _Journal:
    """Records in segments of bounded size: one small write for each record, whatever their number."""

    def __init__(self, data: AsyncData, key: str) -> None:
        self._data = data
        self._prefix = f"{key}/"
        self._names: list[str] = []
        self._segment: list[dict[str, object]] = []
        self._name = ""

    async def read(self) -> dict[str, InstanceRecord]:
        """Gives what was acknowledged before, by SOPInstanceUID; of an instance that was sent twice, the last."""
        self._names = sorted(name for name in await self._data.keys() if name.startswith(self._prefix))
        found = [record for name in self._names for record in await self._data.get(name, list[InstanceRecord])]
        return {record.sop_instance_uid: record for record in found}

    async def append(self, record: InstanceRecord) -> None:
        """Keeps a record."""
        if not self._name or len(self._segment) >= SEGMENT_RECORDS:
            self._name = f"{self._prefix}{len(self._names):06}"
            self._names.append(self._name)
            self._segment = []
        self._segment.append(record.model_dump(mode="json", exclude_defaults=True))
        await self._data.set(self._name, self._segment)

    async def forget(self) -> None:
        """Removes what was kept, since all is stored."""
        for name in self._names:
            await self._data.delete(name)
