"""The file of 40 MB over a line of 10 Mbit/s, as it is: 32 s each way, so in CI alone or when it is asked for."""

from __future__ import annotations

import hashlib
import io
import os
import time
from typing import TYPE_CHECKING

import pytest

from dcm_processor_service.ports import NewFile
from dcm_processor_service.ports.concurrency import run_inline
from tests.faults.mongo.conftest import KEY, Opener
from tests.faults.mongo.proxy import proxied

if TYPE_CHECKING:
    from tests.faults.mongo.servers import Mongod

ASKED_FOR = os.environ.get("CI") or os.environ.get("DCM_PROCESSOR_TEST_SLOW")
MEGABYTE, MEGABIT = 10**6, 10**6
SIZE_BYTES = 40 * MEGABYTE
BYTES_PER_S = 10 * MEGABIT / 8
LEAST_S = SIZE_BYTES / BYTES_PER_S


@pytest.mark.skipif(not ASKED_FOR, reason="takes a minute; set DCM_PROCESSOR_TEST_SLOW=1")
@pytest.mark.parametrize("direction", ["there", "back"])
def test_a_file_of_40_megabytes_passes_a_line_of_10_megabits(
    standalone: Mongod, opener: Opener, direction: str
) -> None:
    content = os.urandom(SIZE_BYTES)
    with proxied(standalone.port, BYTES_PER_S, shared=True) as line:
        slow, near = opener(line.url).files, opener(standalone.url).files
        writer, reader = (slow, near) if direction == "there" else (near, slow)
        began = time.monotonic()
        stored = run_inline(writer.put(KEY, "volume.nii", io.BytesIO(content), NewFile("a/b", {})))
        sink = io.BytesIO()
        assert run_inline(reader.fetch(KEY, "volume.nii", sink)) == stored
        assert time.monotonic() - began >= 0.9 * LEAST_S
    assert stored.sha256 == hashlib.sha256(content).hexdigest()
    assert sink.getvalue() == content
