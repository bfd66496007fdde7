"""A file is transferred over a line on which a batch takes longer than the time limit, as long as it makes progress."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

import pytest
from bson import ObjectId
from gridfs import GridFSBucket

from dcm_processor_service.models import Instance
from dcm_processor_service.ports import NewFile
from dcm_processor_service.ports.concurrency import iterate_inline, run_inline
from tests.faults.mongo.conftest import KEY, Opener
from tests.faults.mongo.proxy import Proxy, proxied

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.mongo.servers import Mongod

MIB = 2**20
BYTES_PER_S = 1.25 * MIB
PATIENCE_S = 5.0
SIZE_BYTES = 8 * MIB  # one batch, of 6.4 s; a piece of it takes 0.8 s, and more on a busy machine


@pytest.fixture
def slow(standalone: Mongod) -> Iterator[Proxy]:
    with proxied(standalone.port, BYTES_PER_S) as proxy:
        yield proxy


def test_a_session_file_passes_both_ways(slow: Proxy, opener: Opener) -> None:
    assert SIZE_BYTES / BYTES_PER_S > PATIENCE_S > MIB / BYTES_PER_S
    files = opener(slow.url, transfer_timeout_s=PATIENCE_S).files
    content = os.urandom(SIZE_BYTES)
    stored = run_inline(files.put(KEY, "a", io.BytesIO(content), NewFile("a/b", {})))
    sink = io.BytesIO()
    assert run_inline(files.fetch(KEY, "a", sink)) == stored
    assert sink.getvalue() == content


def test_an_instance_is_read_over_a_slow_line(standalone: Mongod, slow: Proxy, opener: Opener) -> None:
    content = os.urandom(SIZE_BYTES)
    bucket = GridFSBucket(opener.seen(standalone.url), "dicomfiles")
    file_id = ObjectId()
    bucket.upload_from_stream_with_id(file_id, "a.dcm", content)
    backend = opener(slow.url, transfer_timeout_s=PATIENCE_S)
    instance = Instance(id=str(file_id), sop_instance_uid="1.2", size_bytes=len(content))
    assert [found for _instance, found in iterate_inline(backend.dicom.fetch([instance]))] == [content]
