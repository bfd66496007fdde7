"""Values for the fields of a peer, proposed after it was probed."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from dcm_processor_service.models.network.peers import Peer

__all__ = ["PeerProposal"]


class PeerProposal(BaseModel):
    """A peer with the field values that probing it suggests; the caller decides whether to use them.

    Example:
        >>> from dcm_processor_service import Peer
        >>> asked = Peer(name="PACS", ae_title="ORTHANC", host="127.0.0.1", port=4242)
        >>> better = asked.model_copy(update={"max_associations": 2})
        >>> print(PeerProposal(peer=better, reasons=("max_associations=2: it refused a third one",)))
        PACS: max_associations=2: it refused a third one
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    peer: Peer = Field(description="With the proposed values in its fields")
    reasons: tuple[str, ...] = Field(default=(), description="Why each value is proposed, one sentence for each")
    notes: tuple[str, ...] = Field(default=(), description="Measurements that confirm the present values")

    def __str__(self) -> str:
        return f"{self.peer.name}: {'; '.join([*(self.reasons or ['nothing to propose']), *self.notes])}"
