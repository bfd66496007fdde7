"""Sending to DICOM peers, and finding and fetching what they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from pydicom import Dataset

    from dcm_processor_service.models import (
        AcceptedContext,
        EchoResult,
        FetchOptions,
        FetchRecord,
        FetchReport,
        FindQuery,
        FoundItem,
        InstanceRecord,
        Peer,
        PeerProposal,
        SendCheck,
        SendOptions,
        SendReport,
        StorageCommitment,
    )

__all__ = ["Retriever", "Sendable", "Sender"]

Sendable: TypeAlias = "Dataset | str | os.PathLike[str]"
"""Something to send: a dataset, a DICOM file, a DICOMDIR, or a folder with DICOM files somewhere below."""


class Sender(Protocol):
    """Sends instances to DICOM peers; ordinary functions, which the facade offloads."""

    def send(
        self,
        items: Sendable | Iterable[Sendable],
        peer: Peer,
        *,
        options: SendOptions = ...,
        acknowledged: Mapping[str, InstanceRecord] = ...,
        on_record: Callable[[InstanceRecord], None] | None = None,
        on_begin: Callable[[Sequence[str]], None] | None = None,
        may_hold: Callable[[str], bool] = ...,
        on_commitment: Callable[[StorageCommitment], None] | None = None,
        cancelled: Callable[[], bool] = ...,
    ) -> SendReport:
        """Sends what is not acknowledged yet; tells ``on_record`` of each instance, asks ``cancelled`` before each.

        Tells ``on_begin`` the SOPInstanceUIDs that are about to be sent, the first at once and the others next. Asks
        ``may_hold`` whether an instance that the peer calls a duplicate may have come from an earlier sending of ours.
        Tells ``on_commitment`` of a storage commitment before the peer is asked for it, and again when that has an end.

        Raises:
            SendRejectedError: Not everything was stored, and ``options.check`` is set.
            PeerUnreachableError: No association, or none any more.
            ConfigurationError: A certificate file of the peer is unusable.
        """

    def identify(self, items: Sendable | Iterable[Sendable]) -> list[str]:
        """Returns the SOPInstanceUIDs of what would be sent."""

    def wait_for_commitments(
        self,
        open_ones: Sequence[StorageCommitment],
        *,
        options: SendOptions = ...,
        ask_again: bool = False,
        on_commitment: Callable[[StorageCommitment], None],
        cancelled: Callable[[], bool] = ...,
    ) -> None:
        """Waits for the answers to requests for storage commitment.

        Tells ``on_commitment`` of each, perhaps from another thread; with ``ask_again`` also of the new transaction
        that it starts for each first.

        Raises:
            ConfigurationError: The port that answers may come to is taken, or it cannot speak as all of the peers do.
        """

    def echo(self, peer: Peer, *, options: SendOptions = ...) -> EchoResult:
        """Asks a peer whether it is there."""

    def probe(self, peer: Peer, *, options: SendOptions = ...) -> list[AcceptedContext]:
        """Asks a peer which kinds of objects it takes."""

    def propose(self, peer: Peer, *, options: SendOptions = ...) -> PeerProposal:
        """Asks a peer for values of its own fields; sends no instance.

        Raises:
            PeerUnreachableError: No association.
        """

    def check_sending(
        self, items: Sendable | Iterable[Sendable], peer: Peer, *, options: SendOptions = ...
    ) -> SendCheck:
        """Tells what would become of instances if they were sent; sends none.

        Raises:
            PeerUnreachableError: No association.
        """

    def check(self, peer: Peer) -> None:
        """Reads the certificate files of a peer.

        Raises:
            ConfigurationError: One of them is unusable.
        """


class Retriever(Protocol):
    """Finds what DICOM peers hold, and fetches it; ordinary functions, which the facade offloads."""

    def find(self, peer: Peer, query: FindQuery, *, options: FetchOptions = ...) -> list[FoundItem]:
        """Returns a record of each study, series or instance, by ``query.level``, that matches.

        Raises:
            FindError: The peer did not answer, or found more than ``query.limit``.
            PeerUnreachableError: No association.
        """

    def fetch(
        self,
        found: Iterable[FoundItem],
        peer: Peer,
        folder: Path,
        *,
        options: FetchOptions = ...,
        on_record: Callable[[FetchRecord], None] | None = None,
        on_begin: Callable[[int], None] | None = None,
        cancelled: Callable[[], bool] = ...,
    ) -> FetchReport:
        """Writes every instance that was found below ``folder``, a file each, and reports each.

        Tells ``on_begin`` how many instances are expected, ``on_record`` of each that is here, and asks ``cancelled``
        between them.

        Raises:
            FetchError: Not everything was fetched, and ``options.check`` is set.
            PeerUnreachableError: No association.
        """
