"""Stepping a coroutine without a loop, and the temporary files of a process."""

from __future__ import annotations

import asyncio
import stat
from typing import TYPE_CHECKING

import pytest

from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.ports.concurrency import iterate_inline, run_inline
from dcm_processor_service.session.scratch import Scratch, open_scratch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


async def double(value: int) -> int:
    return 2 * value


async def nested(value: int) -> int:
    return await double(await double(value))


async def fail() -> None:
    raise KeyError("own")


def test_a_coroutine_that_never_suspends_runs_to_its_end() -> None:
    assert run_inline(nested(3)) == 12
    with pytest.raises(KeyError, match="own"):
        run_inline(fail())


def test_one_that_suspends_is_refused_and_closed() -> None:
    closed = []

    async def suspend() -> None:
        try:
            await asyncio.sleep(0)
        finally:
            closed.append(True)

    with pytest.raises(RuntimeError, match="use AsyncContainer"):
        run_inline(suspend())
    assert closed == [True]


def test_it_works_inside_a_running_loop_as_in_a_notebook() -> None:
    async def notebook() -> int:
        return run_inline(nested(1))

    assert asyncio.run(notebook()) == 4


def test_an_iterator_is_walked_and_closed_early() -> None:
    events: list[str] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            for number in range(5):
                events.append(f"gave {number}")
                yield await double(number)
        finally:
            events.append("closed")

    assert list(iterate_inline(numbers())) == [0, 2, 4, 6, 8]
    events.clear()
    walk = iter(iterate_inline(numbers()))
    assert next(walk) == 0
    del walk
    assert events == ["gave 0", "closed"]


def test_an_iterators_error_passes() -> None:
    async def broken() -> AsyncIterator[int]:
        yield 1
        raise ValueError("cut off")

    with pytest.raises(ValueError, match="cut off"):
        list(iterate_inline(broken()))


def test_scratch_is_made_at_the_first_use_for_this_user_alone_and_removed(tmp_path: Path) -> None:
    with open_scratch(tmp_path) as scratch:
        assert list(tmp_path.iterdir()) == []
        folder = scratch.folder("series")
        assert scratch.folder("series") == folder
        (folder / "a.dcm").write_bytes(b"x")
        (own,) = tmp_path.iterdir()
        assert stat.S_IMODE(own.stat().st_mode) == 0o700
    assert list(tmp_path.iterdir()) == []
    scratch.remove()


def test_scratch_is_removed_after_an_error(tmp_path: Path) -> None:
    def use() -> None:
        with open_scratch(tmp_path) as scratch:
            scratch.folder("x")
            raise ValueError("of the callback")

    with pytest.raises(ValueError, match="of the callback"):
        use()
    assert list(tmp_path.iterdir()) == []


def test_scratch_says_what_it_cannot_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="DCM-PROCESSOR-SERVICE-SCRATCH"):
        Scratch(tmp_path / "missing").folder("x")
    with open_scratch(tmp_path) as scratch, pytest.raises(ConfigurationError, match=r"are needed; free space or set"):
        scratch.folder("x", need_bytes=2**62)
