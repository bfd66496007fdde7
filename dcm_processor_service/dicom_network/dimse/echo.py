"""C-ECHO: asks whether a peer answers (PS3.4, annex A)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dcm_processor_service.dicom_network.dimse import command_set
from dcm_processor_service.dicom_network.dimse.association import AssociationLostError, open_association
from dcm_processor_service.dicom_network.dimse.command_set import VERIFICATION
from dcm_processor_service.dicom_network.dimse.negotiation import ProposedContext
from dcm_processor_service.dicom_network.status import explain
from dcm_processor_service.errors import PeerUnreachableError
from dcm_processor_service.models import EchoResult

if TYPE_CHECKING:
    from dcm_processor_service.models import Peer, SendOptions

__all__ = ["CONTEXT", "echo", "is_alive"]

CONTEXT = ProposedContext(VERIFICATION, (str(ImplicitVRLittleEndian), str(ExplicitVRLittleEndian)))


def echo(peer: Peer, options: SendOptions, calling_ae_title: str) -> EchoResult:
    """Asks a peer whether it answers; if it does not, the result states the reason.

    Raises:
        ConfigurationError: A certificate file of the peer is unusable.
    """
    started = time.monotonic()
    try:
        with open_association(peer, (CONTEXT,), options, calling_ae_title) as association:
            connected = time.monotonic()
            if not association.agreed[1].accepted:
                reason = f"it does not accept C-ECHO: {association.agreed[1].reason}"
                return EchoResult(peer=peer.address, ok=False, reason=reason, connect_s=connected - started)
            answer = association.request(1, command_set.c_echo_rq)
            ended = time.monotonic()
    except (PeerUnreachableError, AssociationLostError) as error:
        return EchoResult(peer=peer.address, ok=False, reason=str(error).removeprefix(f"{peer.address}: "))
    status = command_set.us(answer, command_set.STATUS)
    return EchoResult(
        peer=peer.address,
        ok=status == 0,
        status=status,
        reason="" if status == 0 else "no status" if status is None else explain(status).meaning,
        connect_s=connected - started,
        echo_s=ended - connected,
    )


def is_alive(peer: Peer, options: SendOptions, calling_ae_title: str) -> bool:
    """Returns whether a peer answers a C-ECHO, or at least the request for an association if it offers no C-ECHO."""
    result = echo(peer, options, calling_ae_title)
    return result.ok or result.status is not None or result.connect_s > 0
