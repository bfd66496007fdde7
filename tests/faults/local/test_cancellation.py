"""A cancelled write of an asynchronous callback ends before the cancellation is raised, so before later writes."""

from __future__ import annotations

import asyncio
import io
import threading
from typing import TYPE_CHECKING

import pytest

from dcm_processor_service import AsyncContainer, opened
from dcm_processor_service.ports import in_thread
from tests.faults.local.kinds import sqlite_settings

if TYPE_CHECKING:
    from pathlib import Path


class Held(io.BytesIO):
    """A source whose reads wait until the test lets them go on."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.reached, self.let_on = threading.Event(), threading.Event()

    def read(self, size: int | None = -1, /) -> bytes:
        block = super().read(size)
        if not block:
            self.reached.set()
            assert self.let_on.wait(60)
        return block


def test_a_cancelled_put_lands_before_a_later_one(tmp_path: Path) -> None:
    held = Held(b"cancelled")

    async def body() -> None:
        with opened(AsyncContainer(settings=sqlite_settings(tmp_path))) as container:
            files = container.session().files
            writing = asyncio.create_task(files.put("a", held, content_type="text/plain"))
            await asyncio.to_thread(held.reached.wait, 60)
            writing.cancel()
            await asyncio.sleep(0)
            assert not writing.done()
            writing.cancel()  # an impatient caller asks again
            held.let_on.set()
            with pytest.raises(asyncio.CancelledError):
                await writing
            await files.put("a", b"later")
            assert await files.read("a") == b"later"
        await asyncio.sleep(0)
        with opened(AsyncContainer(settings=sqlite_settings(tmp_path))) as container:
            assert await container.session().files.read("a") == b"later"

    asyncio.run(body())
    assert len(list((tmp_path / "files").iterdir())) == 1
    assert list((tmp_path / "claims").iterdir()) == []


def test_a_cancelled_increment_is_counted_once_and_before_the_next(tmp_path: Path) -> None:
    async def body() -> None:
        with opened(AsyncContainer(settings=sqlite_settings(tmp_path))) as container:
            data = container.session().data
            for turn in range(50):
                counting = asyncio.create_task(data.increment("count"))
                await asyncio.sleep(0)  # it is with its thread
                counting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await counting
                assert await data.get("count") == turn + 1

    asyncio.run(body())


def test_work_that_fails_after_a_cancellation_raises_the_cancellation() -> None:
    held = threading.Event()

    def work() -> None:
        assert held.wait(60)
        raise ValueError("nobody asks any more")

    async def body() -> None:
        working = asyncio.create_task(in_thread(work))
        await asyncio.sleep(0)
        working.cancel()
        held.set()
        with pytest.raises(asyncio.CancelledError):
            await working

    asyncio.run(body())
