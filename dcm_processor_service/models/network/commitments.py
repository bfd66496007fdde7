"""The state of a storage commitment: the instances that a peer was asked to keep, and its answer (PS3.4, annex J)."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from dcm_processor_service.models.network.peers import Peer
from dcm_processor_service.models.network.sending import InstanceRecord, Outcome

__all__ = ["StorageCommitment"]


class StorageCommitment(BaseModel):
    """One transaction of storage commitment: which instances a peer was asked to keep, and its answer.

    The answer may come minutes after the request, to another process. Until then the transaction is open.

    Example:
        >>> from datetime import datetime, timezone
        >>> from dcm_processor_service import InstanceRecord, Peer
        >>> asked = StorageCommitment(
        ...     transaction_uid="2.25.7",
        ...     peer=Peer(name="PACS", ae_title="ORTHANC", host="127.0.0.1", port=4242),
        ...     asked_at=datetime(2026, 1, 31, tzinfo=timezone.utc),
        ...     records=(InstanceRecord(sop_instance_uid="1.2.3", outcome="stored"),),
        ... )
        >>> asked.is_open, asked.ok, str(asked)
        (True, False, 'ORTHANC@127.0.0.1:4242 has not answered yet whether it keeps 1 of 1 instances')
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, hide_input_in_errors=True)

    transaction_uid: str
    peer: Peer = Field(description="Without its URL, which may hold a token")
    asked_at: datetime = Field(description="UTC")
    records: tuple[InstanceRecord, ...] = Field(description="One for each instance: stored, then committed or failed")
    answered_at: datetime | None = Field(default=None, description="UTC; None without an answer so far")
    problem: str = Field(
        default="", description="Why no answer will come: the peer does not offer storage commitment, or refused"
    )
    job_id: str = Field(default="", description="The job that asked")
    sending: str = Field(default="", repr=False, description="Key under which the session stores this record")

    @property
    def is_open(self) -> bool:
        """Whether the answer may still come."""
        return self.answered_at is None and not self.problem

    @property
    def ok(self) -> bool:
        """Whether the peer promised to keep every instance."""
        return all(record.outcome is Outcome.COMMITTED for record in self.records)

    def is_awaited(self, *, ask_again: bool) -> bool:
        """Returns whether a call that waits for answers includes this transaction.

        It does if the answer may still come, or if the peer is asked again.

        Args:
            ask_again: Whether the peer is asked again for every instance that it has not promised to keep.

        Example:
            >>> from datetime import datetime, timezone
            >>> from dcm_processor_service import InstanceRecord, Peer
            >>> refused = StorageCommitment(
            ...     transaction_uid="2.25.7",
            ...     peer=Peer(name="PACS", ae_title="ORTHANC", host="127.0.0.1", port=4242),
            ...     asked_at=datetime(2026, 1, 31, tzinfo=timezone.utc),
            ...     records=(InstanceRecord(sop_instance_uid="1.2.3", outcome="failed"),),
            ...     answered_at=datetime(2026, 1, 31, tzinfo=timezone.utc),
            ... )
            >>> refused.is_awaited(ask_again=False), refused.is_awaited(ask_again=True)
            (False, True)
        """
        return self.is_open or (ask_again and not self.ok)

    def __str__(self) -> str:
        total = len(self.records)
        kept = sum(record.outcome is Outcome.COMMITTED for record in self.records)
        if self.is_open:
            return f"{self.peer.address} has not answered yet whether it keeps {total - kept} of {total} instances"
        reason = f": {self.problem}" if self.problem else ""
        return f"{self.peer.address} commits to keep {kept} of {total} instances{reason}"
