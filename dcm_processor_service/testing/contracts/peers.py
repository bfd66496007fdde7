"""Contract tests: how every store lists and finds DICOM peers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dcm_processor_service.errors import PeerNotFoundError
from dcm_processor_service.models import Peer
from dcm_processor_service.testing.contracts.store import Contract

if TYPE_CHECKING:
    from dcm_processor_service.testing.contracts.store import StoreUnderTest

__all__ = ["PeersContract"]

PACS = Peer(id="b" * 24, name="PACS", ae_title="ORTHANC", host="pacs.local", port=104)
SCANNER = Peer(id="a" * 24, name="CT1", ae_title="CT", host="10.0.0.2", port=11112, tls=True)


class PeersContract(Contract):
    """DICOM peers are found by name and by id."""

    async def test_peers_are_found_and_listed(self, store: StoreUnderTest) -> None:
        store.seed.peer(PACS)
        store.seed.peer(SCANNER)
        peers = store.session(peer_id=SCANNER.id).peers
        current, named = await peers.current(), await peers.get("PACS")
        assert (current.name, current.ae_title, current.host, current.port, current.tls) == (
            "CT1",
            "CT",
            "10.0.0.2",
            11112,
            True,
        )
        assert named.address == "ORTHANC@pacs.local:104"
        assert [peer.name for peer in await peers.list()] == ["CT1", "PACS"]

    async def test_an_absent_peer_raises_peer_not_found(self, store: StoreUnderTest) -> None:
        store.seed.peer(PACS)
        with pytest.raises(PeerNotFoundError, match="'PAC'; known peers: PACS"):
            await store.session().peers.get("PAC")
        with pytest.raises(PeerNotFoundError, match="PEER-ID is not set"):
            await store.session().peers.current()
        with pytest.raises(PeerNotFoundError, match="no longer known"):
            await store.session(peer_id="c" * 24).peers.current()

    async def test_only_the_exact_name_is_found(self, store: StoreUnderTest) -> None:
        store.seed.peer(PACS)
        for name in ("pacs", "PA_S", "PAC%", "PAC.", "", " PACS"):
            with pytest.raises(PeerNotFoundError):
                await store.session().peers.get(name)
