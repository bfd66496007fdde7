"""A test that needs real scans says so where they are missing, and never passes over them in CI."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.shared_data import shared_folder

if TYPE_CHECKING:
    from pathlib import Path


def test_a_folder_that_is_there_is_returned(tmp_path: Path) -> None:
    (tmp_path / "shared" / "data").mkdir(parents=True)
    assert shared_folder("data", tmp_path / "repository") == tmp_path / "shared" / "data"


def test_a_missing_folder_skips_and_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"\.\./shared/cases is not beside the repository"):
        shared_folder("cases", tmp_path / "repository")


def test_a_missing_folder_fails_in_ci(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=r"\.\./shared/terms is not beside the repository"):
        shared_folder("terms", tmp_path / "repository")
