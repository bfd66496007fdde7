"""What of one sending is acknowledged already, so that the same sending after a crash sends only the rest."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict

from dcm_processor_service.models.sending import InstanceRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dcm_processor_service.models.peers import Peer

__all__ = ["Outbox"]


class Outbox(BaseModel):
    """The acknowledged records of one sending: of these instances to this peer.

    The key tells sendings apart; the same instances to the same peer, in whatever order, have the same key. Keep
    :meth:`to_value` under it after each record, take it up again with :meth:`restored`, forget it when all is stored.

    Example:
        >>> from dcm_processor_service.models import Peer
        >>> peer = Peer(name="PACS", ae_title="ORTHANC", host="127.0.0.1", port=4242)
        >>> before = Outbox.for_send(peer, ["1.2.3", "1.2.4"])
        >>> before = before.with_record(InstanceRecord(sop_instance_uid="1.2.3", outcome="stored"))
        >>> after = Outbox.for_send(peer, ["1.2.4", "1.2.3"]).restored(before.to_value())
        >>> after.key == before.key, list(after.acknowledged)
        (True, ['1.2.3'])
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    key: str
    records: tuple[InstanceRecord, ...] = ()

    @classmethod
    def for_send(cls, peer: Peer, sop_instance_uids: Iterable[str]) -> Outbox:
        """The empty outbox of a sending."""
        digest = hashlib.sha256((peer.url or peer.address).encode())
        for uid in sorted(set(sop_instance_uids)):
            digest.update(b"\0" + uid.encode())
        return cls(key=f"outbox-{digest.hexdigest()[:32]}")

    @property
    def acknowledged(self) -> Mapping[str, InstanceRecord]:
        """What need not be sent again, by SOPInstanceUID."""
        return {record.sop_instance_uid: record for record in self.records}

    def with_record(self, record: InstanceRecord) -> Outbox:
        """The outbox with one record more, or in place of an older one; only what is acknowledged is kept."""
        if not record.outcome.acknowledged:
            return self
        others = tuple(kept for kept in self.records if kept.sop_instance_uid != record.sop_instance_uid)
        return Outbox(key=self.key, records=(*others, record))

    def to_value(self) -> dict[str, Any]:
        """The outbox as session data can hold it."""
        return {"records": [record.model_dump(mode="json", exclude_defaults=True) for record in self.records]}

    def restored(self, value: Mapping[str, Any] | None) -> Outbox:
        """The outbox with what :meth:`to_value` gave before; None stands for nothing.

        Raises:
            pydantic.ValidationError: The value is none of an outbox.
        """
        kept = Outbox.model_validate({"key": self.key, **(value or {})})
        return Outbox(key=self.key, records=kept.records)
