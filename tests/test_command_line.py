"""The commands that tests run leave nothing in the repository."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.command_line import run_here, run_process

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize("run", [run_here, run_process])
def test_a_page_is_not_written_into_the_repository(run: Callable[..., object], tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"give folder=tmp_path"):
        run("inspect", tmp_path)
    run("inspect", tmp_path, "--html", tmp_path / "page.html")
    run("inspect", tmp_path, folder=tmp_path)
