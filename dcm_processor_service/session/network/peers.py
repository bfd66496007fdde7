"""``session.peers``: the DICOM peers that the platform knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast, overload

from dcm_processor_service.codec import check_text, shown
from dcm_processor_service.errors import PeerNotFoundError
from dcm_processor_service.models import Peer
from dcm_processor_service.ports.concurrency import run_inline

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Unpack

    from dcm_processor_service.models import (
        AcceptedContext,
        EchoResult,
        FindKeys,
        FindLevel,
        FindQuery,
        FoundInstance,
        FoundItem,
        FoundSeries,
        FoundStudy,
        PeerProposal,
    )
    from dcm_processor_service.ports import Offload, PeerRepository, Retriever, Sender

__all__ = ["AsyncPeers", "Peers"]


class AsyncPeers:
    """DICOM peers, for asynchronous callbacks; :class:`Peers` explains them.

    Example:
        >>> import asyncio
        >>> from dcm_processor_service.testing import fake_async_context
        >>> async def names(ctx):
        ...     return [peer.name for peer in await ctx.session.peers.list()]
        >>> asyncio.run(names(fake_async_context()))
        []
    """

    def __init__(
        self,
        repository: PeerRepository,
        current_id: str | None,
        sender: Callable[[], Sender],
        offload: Offload,
        retriever: Callable[[], Retriever],
        learn: Callable[[FindQuery | FoundItem], None],
    ) -> None:
        self._repository = repository
        self._current_id = current_id
        self._sender = sender
        self._offload = offload
        self._retriever = retriever
        self._learn = learn

    async def current(self) -> Peer:
        """Returns the peer that sent this session's images; see :meth:`Peers.current`."""
        if self._current_id is None:
            raise PeerNotFoundError(
                "this job does not know who sent its images (DCM-PROCESSOR-SERVICE-PEER-ID is not set); name a peer: "
                "session.peers.get(name)"
            )
        peer = await self._repository.get(self._current_id)
        if peer is None:
            raise PeerNotFoundError(
                f"the peer {self._current_id} that sent this session's images is no longer known; add it to the "
                "platform again or name another: session.peers.get(name)"
            )
        return await self._checked(peer)

    async def get(self, name: str) -> Peer:
        """Returns a peer by name; see :meth:`Peers.get`."""
        peer = await self._repository.find(check_text(name, "name of a peer"))
        if peer is None:
            known = ", ".join(sorted(peer.name for peer in await self._repository.list()))
            raise PeerNotFoundError(f"no DICOM peer is named {shown(name)}; known peers: {known or 'none'}")
        return await self._checked(peer)

    async def _find_peer(self, peer: Peer | str) -> Peer:
        return peer if isinstance(peer, Peer) else await self.get(peer)

    async def _ask(self, peer: Peer, query: FindQuery) -> list[FoundItem]:
        """Sends a query; from then on, the patient attributes in the query and its answers are removed from logs."""
        self._learn(query)
        found = await self._offload(lambda: self._retriever().find(peer, query))
        for one in found:
            self._learn(one)
        return found

    async def _checked(self, peer: Peer) -> Peer:
        """Returns the peer; raises now, not in the middle of a sending, if its certificate cannot be used."""
        if peer.tls:
            await self._offload(lambda: self._sender().check(peer))
        return peer

    async def echo(self, peer: Peer | str) -> EchoResult:
        """Asks a peer whether it is there; see :meth:`Peers.echo`."""
        known = await self._find_peer(peer)
        return await self._offload(lambda: self._sender().echo(known))

    async def probe(self, peer: Peer | str) -> list[AcceptedContext]:
        """Asks a peer what it accepts; see :meth:`Peers.probe`."""
        known = await self._find_peer(peer)
        return await self._offload(lambda: self._sender().probe(known))

    async def propose(self, peer: Peer | str) -> PeerProposal:
        """Tests a peer and proposes values for its fields; see :meth:`Peers.propose`."""
        known = await self._find_peer(peer)
        return await self._offload(lambda: self._sender().propose(known))

    @overload
    async def find(
        self, peer: Peer | str, *, level: Literal["study"] = ..., **keys: Unpack[FindKeys]
    ) -> list[FoundStudy]: ...
    @overload
    async def find(
        self, peer: Peer | str, *, level: Literal["series"], **keys: Unpack[FindKeys]
    ) -> list[FoundSeries]: ...
    @overload
    async def find(
        self, peer: Peer | str, *, level: Literal["instance"], **keys: Unpack[FindKeys]
    ) -> list[FoundInstance]: ...
    async def find(
        self, peer: Peer | str, *, level: FindLevel = "study", **keys: Unpack[FindKeys]
    ) -> list[FoundStudy] | list[FoundSeries] | list[FoundInstance]:
        """Asks a peer what it holds; see :meth:`Peers.find`."""
        from dcm_processor_service.models import FindQuery  # takes time to import, and most jobs do not need it

        query = FindQuery.of(level, keys)
        found = await self._ask(await self._find_peer(peer), query)
        return cast("list[FoundStudy] | list[FoundSeries] | list[FoundInstance]", found)

    async def list(self) -> list[Peer]:
        """Lists all peers by name."""
        return await self._repository.list()


class Peers:
    """The DICOM peers that the platform knows: those that send images and those that results go to.

    Example:
        >>> from dcm_processor_service import Peer
        >>> from dcm_processor_service.testing import fake_context
        >>> ctx = fake_context(peers=[Peer(name="PACS", ae_title="ORTHANC", host="127.0.0.1", port=4242)])
        >>> ctx.session.peers.get("PACS").address
        'ORTHANC@127.0.0.1:4242'
    """

    def __init__(self, peers: AsyncPeers) -> None:
        self._async = peers

    def current(self) -> Peer:
        """Returns the peer that sent this session's images.

        Raises:
            PeerNotFoundError: The job's settings name no peer, or the peer is no longer known.
        """
        return run_inline(self._async.current())

    def get(self, name: str) -> Peer:
        """Returns a peer by name: one of the platform's peers, or else one of the platform's own listeners.

        Raises:
            PeerNotFoundError: There is no peer of that name; the message lists the known peers.
            InvalidNameError: The name is not text.
            ConfigurationError: A certificate file of the peer is unusable.
        """
        return run_inline(self._async.get(name))

    def echo(self, peer: Peer | str) -> EchoResult:
        """Asks a peer whether it answers (C-ECHO); the result has the time taken, or the reason why it failed.

        Raises:
            PeerNotFoundError: There is no peer of that name.
            ConfigurationError: A certificate file of the peer is unusable.
        """
        return run_inline(self._async.echo(peer))

    def probe(self, peer: Peer | str) -> list[AcceptedContext]:
        """Asks a peer which SOP classes it accepts, in which transfer syntaxes; sends no instance.

        Raises:
            PeerUnreachableError: No association could be opened; the message says why.
        """
        return run_inline(self._async.probe(peer))

    def propose(self, peer: Peer | str) -> PeerProposal:
        """Tests a peer and proposes values for its fields, each with a reason; sends no instance and changes nothing.

        Proposes the transfer syntax that the peer prefers, the number of associations that it accepts at a time (up to
        four), and over TLS the name that its certificate is for. If no trusted authority signed the certificate,
        proposes its fingerprint: ask the peer's operator for the fingerprint, and compare both.

        Proposes a longer time-out, ten times the measured time, if a connection, an association or a C-ECHO took more
        than a tenth of the present time-out. Never proposes a shorter one, however fast the answers were, because they
        do not show how long the peer is silent while it writes to a tape or waits for a lock. If a time-out is too
        short, an instance that the peer stored is reported as failed. If the present time-out is long enough, a note
        says so.

        Proposes no ``max_pdu_bytes`` or ``max_request_bytes``, because the peer announces its longest PDU itself, and
        only sent instances would show whether it accepts more. Proposes no calling AE title, because a peer that does
        not know ours refuses the association, and the error says so.

        Raises:
            PeerNotFoundError: There is no peer of that name.
            PeerUnreachableError: No association could be opened; the message says why.

        Example:
            >>> from dcm_processor_service.testing import FakePacs, fake_context
            >>> with FakePacs() as pacs:
            ...     proposal = fake_context().session.peers.propose(pacs.peer)
            >>> print(proposal.reasons[0])
            transfer_syntax_uid='1.2.840.10008.1.2': it chose Implicit VR Little Endian whatever the order
            >>> print(proposal.notes[0])
            calling_ae_title stays: it accepts us as DCM-PROCESSOR
            >>> proposal.peer.transfer_syntax_uid, proposal.peer.max_associations
            ('1.2.840.10008.1.2', None)
        """
        return run_inline(self._async.propose(peer))

    @overload
    def find(
        self, peer: Peer | str, *, level: Literal["study"] = ..., **keys: Unpack[FindKeys]
    ) -> list[FoundStudy]: ...
    @overload
    def find(self, peer: Peer | str, *, level: Literal["series"], **keys: Unpack[FindKeys]) -> list[FoundSeries]: ...
    @overload
    def find(
        self, peer: Peer | str, *, level: Literal["instance"], **keys: Unpack[FindKeys]
    ) -> list[FoundInstance]: ...
    def find(
        self, peer: Peer | str, *, level: FindLevel = "study", **keys: Unpack[FindKeys]
    ) -> list[FoundStudy] | list[FoundSeries] | list[FoundInstance]:
        """Asks a peer what it holds: by C-FIND, or by QIDO-RS if it has a URL.

        A study matches a modality if it has a series of that modality. Answers that contradict a key are left out,
        because not every peer matches every key; answers without UIDs are left out too. If nothing is found, the list
        is empty.

        Args:
            peer: The peer, or its name.
            level: The level to list: ``study``, ``series`` or ``instance``.
            keys: The values to match: ``patient_id``, ``issuer_of_patient_id``, ``patient_name`` (``Family^Given``),
                ``patient_birth_date``, ``accession_number``, ``study_instance_uid``, ``study_date``,
                ``study_description``, ``modality``, ``series_instance_uid``, ``series_description``,
                ``sop_instance_uid``. Texts take the wildcards ``*`` and ``?``; dates are a day, a range such as
                ``(date(2024, 1, 1), None)``, or as DICOM writes them; UIDs are one or a list. With more answers than
                ``limit`` (1000) the peer is told to stop, and the call raises.

        Raises:
            ConfigurationError: A key is unknown or malformed.
            FindError: The peer did not answer, or found more than ``limit``; FindIncompleteError if asking again may
                help.
            PeerUnreachableError: No association could be opened; the message says why.
            PeerNotFoundError: There is no peer of that name.

        Example:
            >>> from dcm_processor_service.testing import FakePacs, fake_context, synthetic_series
            >>> peers = fake_context().session.peers
            >>> with FakePacs(holds=synthetic_series(slices=3)) as pacs:
            ...     found = peers.find(pacs.peer, patient_id="SYNTHETIC", level="series")
            >>> found[0].modality, found[0].instance_count
            ('CT', 3)
        """
        found = run_inline(self._async.find(peer, level=level, **keys))
        return cast("list[FoundStudy] | list[FoundSeries] | list[FoundInstance]", found)

    def list(self) -> list[Peer]:
        """Lists all peers by name."""
        return run_inline(self._async.list())
