"""Documents of DICOM peers: those that send, and those that results go to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from bson import ObjectId

from dcm_processor_service.errors import StoredValueError
from dcm_processor_service.models import Peer

if TYPE_CHECKING:
    from tests.integration.mongo.conftest import Store

SENDER = {"host": "10.0.0.2", "aet": "CT", "port": 11112, "tls": False, "whitelist_aet": ["CT"], "whitelist_ip": []}
NODE = {"host": "pacs", "aet": "ORTHANC", "port": 104, "tls": False, "device_id": "d", "pdu": None}


def add(store: Store, collection: str, name: str, **fields: Any) -> str:
    document = {"peers": SENDER, "dicomnodes": NODE}[collection] | {"name": name} | fields
    return str(store.database[collection].insert_one(document).inserted_id)


async def test_a_sender_is_read_by_id_and_a_node_by_name(store: Store) -> None:
    sender_id, node_id = add(store, "peers", "CT1"), add(store, "dicomnodes", "PACS")
    sender = await store.backend.peers.get(sender_id)
    assert sender == Peer(id=sender_id, name="CT1", ae_title="CT", host="10.0.0.2", port=11112)
    node = await store.backend.peers.find("PACS")
    assert node == Peer(id=node_id, name="PACS", ae_title="ORTHANC", host="pacs", port=104)
    assert await store.backend.peers.get(node_id) is None
    assert await store.backend.peers.get("no id") is None
    assert await store.backend.peers.find("pacs") is None
    assert (await store.backend.peers.find("CT1")) == sender


async def test_of_one_name_the_peer_comes_before_our_own_listener(store: Store) -> None:
    add(store, "peers", "B", aet="ARCHIVE")
    add(store, "dicomnodes", "B", aet="OURSELVES")
    add(store, "peers", "A")
    add(store, "dicomnodes", "C")
    found = await store.backend.peers.find("B")
    assert found is not None
    assert found.ae_title == "ARCHIVE"
    assert [(peer.name, peer.ae_title) for peer in await store.backend.peers.list()] == [
        ("A", "CT"),
        ("B", "ARCHIVE"),
        ("C", "ORTHANC"),
    ]


async def test_tls_files_are_read(store: Store) -> None:
    add(store, "peers", "P", tls=True, cert_file="/c.pem", key_file="/k.pem", ca_file=None)
    peer = await store.backend.peers.find("P")
    assert peer is not None
    assert (peer.tls, peer.cert_file, peer.key_file, peer.ca_file) == (True, "/c.pem", "/k.pem", None)


async def test_a_port_as_text_is_read(store: Store) -> None:
    add(store, "dicomnodes", "P", port="4242")
    peer = await store.backend.peers.find("P")
    assert peer is not None
    assert peer.port == 4242


MALFORMED: list[tuple[dict[str, Any], str]] = [
    ({"port": 0}, "port: "),
    ({"port": None}, "port: "),
    ({"aet": "TOO LONG AN AE TITLE"}, "aet: "),
    ({"aet": ""}, "aet: "),
    ({"host": None}, "host: "),
    ({"host": None, "port": 70000}, "host: .*; port: "),
]


@pytest.mark.parametrize(("fields", "told"), MALFORMED)
async def test_a_malformed_node_is_reported_by_name_and_field(store: Store, fields: dict[str, Any], told: str) -> None:
    add(store, "dicomnodes", "PACS", **fields)
    for reading in (store.backend.peers.find("PACS"), store.backend.peers.list()):
        with pytest.raises(StoredValueError, match=f"'PACS' is malformed in the database: {told}"):
            await reading


async def test_a_node_without_name_is_reported_by_id(store: Store) -> None:
    node_id = str(ObjectId())
    add(store, "dicomnodes", "", _id=ObjectId(node_id))
    with pytest.raises(StoredValueError, match=f"'{node_id}' is malformed in the database: name: "):
        await store.backend.peers.list()
