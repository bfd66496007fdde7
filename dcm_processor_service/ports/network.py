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
"""An item to send: a dataset, a DICOM file, a DICOMDIR, or a folder with DICOM files at any depth."""


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
        """Sends instances that are not acknowledged yet; calls ``on_record`` for each, and ``cancelled`` before each.

        Calls ``on_begin`` with the SOPInstanceUIDs that are sent next; the first of them is sent at once. Calls
        ``may_hold`` to learn whether an instance that the peer reports as a duplicate may come from an earlier
        sending. Calls ``on_commitment`` with a storage commitment before the peer is asked for it, and again when it is
        settled.

        Raises:
            SendRejectedError: Not every instance was stored, and ``options.check`` is set.
            PeerUnreachableError: An association could not be opened.
            ConfigurationError: A certificate file of the peer is unusable.
        """

    def identify(self, items: Sendable | Iterable[Sendable]) -> list[str]:
        """Returns the SOPInstanceUIDs of the instances that would be sent."""

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

        Calls ``on_commitment`` with each settled transaction, perhaps from another thread. With ``ask_again``, first
        starts a new transaction in place of each given one, and calls ``on_commitment`` with it, too.

        Raises:
            ConfigurationError: The port for the answers is in use, or the peers need different TLS settings on it.
        """

    def echo(self, peer: Peer, *, options: SendOptions = ...) -> EchoResult:
        """Asks a peer whether it answers (C-ECHO)."""

    def probe(self, peer: Peer, *, options: SendOptions = ...) -> list[AcceptedContext]:
        """Asks a peer which SOP classes it accepts."""

    def propose(self, peer: Peer, *, options: SendOptions = ...) -> PeerProposal:
        """Tests a peer and proposes values for its fields; sends no instance.

        Raises:
            PeerUnreachableError: No association could be opened.
        """

    def check_sending(
        self, items: Sendable | Iterable[Sendable], peer: Peer, *, options: SendOptions = ...
    ) -> SendCheck:
        """Returns what would happen to instances if they were sent; sends none.

        Raises:
            PeerUnreachableError: No association could be opened.
        """

    def check(self, peer: Peer) -> None:
        """Reads the certificate files of a peer.

        Raises:
            ConfigurationError: One of them is unusable.
        """


class Retriever(Protocol):
    """Finds what DICOM peers hold, and fetches it; ordinary functions, which the facade offloads."""

    def find(self, peer: Peer, query: FindQuery, *, options: FetchOptions = ...) -> list[FoundItem]:
        """Returns a record of each match: of a study, series or instance, as ``query.level`` says.

        Raises:
            FindError: The peer did not answer, or found more than ``query.limit``.
            PeerUnreachableError: No association could be opened.
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
        """Fetches each instance of ``found`` into a file below ``folder``, and returns a record of each.

        Calls ``on_begin`` with the number of instances expected, and ``on_record`` with the record of each that has
        arrived. Calls ``cancelled`` between instances, to learn whether it should stop.

        Raises:
            FetchError: Not every instance was fetched, and ``options.check`` is set.
            PeerUnreachableError: No association could be opened.
        """
