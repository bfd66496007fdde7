"""The watch over plans: the contracts of the stores fail where a query reads a whole collection, and this one would."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from pymongo import MongoClient

from dcm_processor_service.backends.mongo.driver import blocking
from dcm_processor_service.models import Study, SubjectLevel
from dcm_processor_service.ports import StoreLocation, inline
from dcm_processor_service.ports.concurrency import run_inline
from tests.mongo_plans import TESTS, profile, whole_collections_read
from tests.mongod import remove_database

if TYPE_CHECKING:
    from dcm_processor_service.ports import Backend


def ask(backend: Backend) -> None:
    """Asks what the platform's collections have no index for."""
    run_inline(backend.dicom.find(SubjectLevel.SERIES, "1.2.3"))
    run_inline(backend.dicom.find(SubjectLevel.PATIENT, "a hash"))
    run_inline(backend.dicom.parent(Study(id="d" * 24)))
    run_inline(backend.sessions.of_patient("c" * 24))
    run_inline(backend.peers.find("PACS"))
    run_inline(backend.peers.list())


def test_queries_without_an_index_are_reported_and_the_indexes_of_a_session_serve_them(mongo_url: str) -> None:
    with MongoClient[dict[str, Any]](mongo_url, appname=TESTS) as client:
        database = client[f"plans_{uuid.uuid4().hex[:12]}"]
        for name in ("patients", "studies", "series", "sessions", "peers", "dicomnodes"):
            database[name].insert_one({"name": "another", "aet": "A", "host": "h", "port": 104})
        profile(database)
        location = StoreLocation(mongo_url, database.name, 30.0, "blocking")
        with blocking.open_blocking(location, inline) as backend:
            ask(backend)
            assert len(whole_collections_read(database)) == 6  # of peers two: theirs, and our own listeners
            assert whole_collections_read(database) == []
            run_inline(backend.sessions.ensure_indexes())
            ask(backend)
            assert whole_collections_read(database) == []
        database.command("profile", 0)
        remove_database(database)
