"""Arguments that nobody meant: one sentence on the standard error and an exit code, never a traceback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from dcm_processor_service.cli.app import app
from dcm_processor_service.cli.network.peer_options import parse_address
from dcm_processor_service.cli.run import parse_params
from dcm_processor_service.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

LONG = "n" * 300


@pytest.mark.parametrize(
    "arguments",
    [
        ["inspect", LONG],
        ["convert", "nul\0", "out"],
        ["run", f"{LONG}.py", "--sample"],
        ["run", "callback.py", "--dicom", LONG],
        ["run", "callback.py", "--sample", "--workspace", "file"],
        ["run", "callback.py", "--sample", "--job-name", LONG],
        ["run", "callback.py", "--sample", "--peer", "\udcff=A@h:1"],
        ["derive", LONG, "--like", "folder", "--out", "out"],
        ["pdf", "folder", "--like", "folder", "--out", "out"],
        ["echo", "A@h:1", "--ca-file", LONG],
        ["echo", "A@h:1", "--calling", "much too long a title"],
        ["peers", "echo", "\udcff", "--workspace", "work"],
    ],
    ids=lambda arguments: f"{arguments[0]} {ascii(arguments[-1])[:20]}",
)
def test_an_odd_argument_is_reported_in_a_sentence(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    (tmp_path / "callback.py").write_text("def run() -> None: ...\n", encoding="utf-8")
    ran = CliRunner().invoke(app, arguments)
    assert isinstance(ran.exception, SystemExit), ran.exception
    assert ran.exit_code in {1, 2, 3}
    assert "error" in ran.output.lower()


@pytest.mark.parametrize("port", ["0", "65536", "9" * 5000, "\u0661", "-1", "1e3"])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a peer"):
        parse_address(f"A@h:{port}")


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 100_000, "{", ""])
def test_a_param_that_json_cannot_hold_is_text(value: str) -> None:
    assert parse_params([f"x={value}"]) == {"x": value}
