"""Proposes values for the fields of ``Peer``, from a peer's TLS handshake, and from what it accepts and refuses."""

from __future__ import annotations

import socket
import ssl
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydicom.uid import UID, CTImageStorage

from dcm_processor_service.dicom_network.dimse import tls
from dcm_processor_service.dicom_network.dimse.answer_times import AnswerTimes, time_outs
from dcm_processor_service.dicom_network.dimse.association import open_association
from dcm_processor_service.dicom_network.dimse.connection import host_of
from dcm_processor_service.dicom_network.dimse.echo import CONTEXT
from dcm_processor_service.dicom_network.dimse.negotiation import ProposedContext
from dcm_processor_service.dicom_network.dimse.pinning import fingerprint
from dcm_processor_service.errors import PeerUnreachableError
from dcm_processor_service.models import PeerProposal
from dcm_processor_service.models.network.peers import WRITABLE_SYNTAXES

if TYPE_CHECKING:
    from dcm_processor_service.models import Peer, SendOptions

__all__ = ["propose"]

_MOST_ASSOCIATIONS = 4


def propose(peer: Peer, options: SendOptions, calling_ae_title: str) -> PeerProposal:
    """Tests a peer over up to four associations, which are open at the same time for a short while.

    Raises:
        PeerUnreachableError: No association could be opened, even with the values that the TLS handshake suggests.
        ConfigurationError: A certificate file of the peer is unusable.
    """
    reasons: list[str] = []
    if peer.tls:
        peer = _with_identity(peer, options, reasons)
    seen = _preference_and_room(peer, options, calling_ae_title)
    values: dict[str, object] = {}
    if seen.syntax is not None and seen.syntax != peer.transfer_syntax_uid:
        values["transfer_syntax_uid"] = seen.syntax
        reasons.append(f"transfer_syntax_uid={seen.syntax!r}: it chose {UID(seen.syntax).name} whatever the order")
    if seen.most < min(_MOST_ASSOCIATIONS, peer.max_associations or _MOST_ASSOCIATIONS):
        values["max_associations"] = seen.most
        reasons.append(f"max_associations={seen.most}: it refused one more at the same time")
    notes = [f"calling_ae_title stays: it accepts us as {calling_ae_title}"]
    for field, proposed in time_outs(seen.times, options).items():
        if proposed.value is None:
            notes.append(proposed.sentence)
        else:
            values[field] = proposed.value
            reasons.append(proposed.sentence)
    return PeerProposal(peer=peer.model_copy(update=values), reasons=tuple(reasons), notes=tuple(notes))


def _with_identity(peer: Peer, options: SendOptions, reasons: list[str]) -> Peer:
    """Returns the peer with the name in its certificate, or with the fingerprint if no trusted authority signed it.

    If the certificate is valid for the host name, the peer is returned unchanged.
    """
    context = tls.client_context(peer)
    if _shown(peer, context, options) is not None:
        return peer
    context.check_hostname = False
    shown = None if context.verify_mode == ssl.CERT_NONE else _shown(peer, context, options)
    names = [] if shown is None else [value for kind, value in shown[1] if kind in {"DNS", "IP Address"}]
    if names and "*" not in names[0]:
        reasons.append(f"tls_server_name={names[0]!r}: its certificate is good, and for that name")
        return peer.model_copy(update={"tls_server_name": names[0]})
    # if ca_file is set, only that authority shall be trusted, so no fingerprint is proposed
    if peer.certificate_sha256 or peer.ca_file:
        return peer
    context.verify_mode = ssl.CERT_NONE
    shown = _shown(peer, context, options)
    if shown is None:
        return peer
    reasons.append(
        f"certificate_sha256='{shown[0]}': no authority that is trusted here has signed its certificate; compare the "
        "fingerprint with the one that the peer's operator has before you set it"
    )
    return peer.model_copy(update={"certificate_sha256": shown[0]})


def _shown(peer: Peer, context: ssl.SSLContext, options: SendOptions) -> tuple[str, list[tuple[str, str]]] | None:
    """Returns the fingerprint of the peer's certificate, and its names if it was verified; None without a handshake."""
    host = host_of(peer)
    try:
        with (
            socket.create_connection((host, peer.port), timeout=options.connection_timeout_s) as connection,
            context.wrap_socket(connection, server_hostname=host) as wrapped,
        ):
            certificate = wrapped.getpeercert(binary_form=True) or b""
            names = (wrapped.getpeercert() or {}).get("subjectAltName", ())
    except OSError:  # no error here: the association will fail as well, and its error says more
        return None
    return fingerprint(certificate), [(str(one[0]), str(one[1])) for one in names if len(one) > 1]


@dataclass
class _Seen:
    """The observations that were made over the associations."""

    times: AnswerTimes
    syntax: str | None = None
    most: int = _MOST_ASSOCIATIONS


def _preference_and_room(peer: Peer, options: SendOptions, calling_ae_title: str) -> _Seen:
    """Returns the transfer syntax that the peer prefers, how many associations it allows at once, and its times.

    CT images are proposed in two contexts, with the transfer syntaxes in opposite orders. If the peer accepts different
    ones, it has no preference. All associations stay open while others are tried, because some peers still count an
    association for a while after its end.
    """
    orders = (WRITABLE_SYNTAXES, WRITABLE_SYNTAXES[::-1])
    images = tuple(ProposedContext(str(CTImageStorage), order) for order in orders)
    seen = _Seen(AnswerTimes())
    with ExitStack() as associations:
        newest = associations.enter_context(open_association(peer, (CONTEXT, *images), options, calling_ae_title))
        seen.times.add_association(newest, over_tls=peer.tls)
        picked = {
            answer.transfer_syntax_uid if answer.accepted else None
            for answer in newest.agreed.values()
            if answer.proposed in images
        }
        seen.syntax = picked.pop() if len(picked) == 1 else None
        for number in range(1, _MOST_ASSOCIATIONS):
            try:
                newest = associations.enter_context(open_association(peer, (CONTEXT,), options, calling_ae_title))
            except PeerUnreachableError:
                seen.most = number
                break
            seen.times.add_association(newest, over_tls=peer.tls)
        seen.times.add_echo(newest, 1)  # comes last, because the peer may end the association when it gets a C-ECHO
    return seen
