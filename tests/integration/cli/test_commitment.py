"""``send --commit-later`` and ``commitment``: an answer that comes when the process that asked is gone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from dcm_processor_service.testing import FakePacs, Faults
from tests.command_line import run_here, run_process
from tests.ports import free_port
from tests.unit.dicom_network.instances import write_series

if TYPE_CHECKING:
    from pathlib import Path

REFUSED, CONFIGURATION, RETRYABLE = 1, 2, 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_series(tmp_path / "scans", 3)
    return tmp_path / "scans"


def test_a_later_process_takes_the_answer_and_keeps_it(folder: Path, tmp_path: Path) -> None:
    port, file = free_port(), tmp_path / "kept.json"
    with FakePacs(Faults(commitment_port=port, commitment_retries=True)) as pacs:
        sent = run_process("send", folder, "--to", pacs.peer.address, "--calling", "OURS", "--commit-later", file)
        assert sent.code == 0, sent.stderr
        assert json.loads(file.read_text("utf-8"))["peer"]["calling_ae_title"] == "OURS"
        waited = run_process("commitment", file, "--listen-port", port, "--json")
    assert waited.code == 0, waited.stderr
    assert [json.loads(line)["outcome"] for line in waited.stdout.splitlines()] == ["committed"] * 3
    again = run_here("commitment", file)
    assert (again.code, "commits to keep 3 of 3 instances" in again.stdout) == (0, True)


@pytest.mark.parametrize(("commitment", "code"), [("ok", 0), ("fail", REFUSED), ("silent", RETRYABLE)])
def test_the_peer_is_asked_again(folder: Path, tmp_path: Path, commitment: str, code: int) -> None:
    file = tmp_path / "kept.json"
    with FakePacs(Faults(commitment="silent")) as pacs:
        assert run_here("send", folder, "--to", pacs.peer.address, "--commit-later", file).code == 0
        held = pacs.datasets()
    kept = json.loads(file.read_text("utf-8"))
    with FakePacs(Faults(commitment=commitment), holds=held) as pacs:  # type: ignore[arg-type]  # one of its words
        kept["peer"]["port"] = pacs.peer.port
        file.write_text(json.dumps(kept), encoding="utf-8")
        ran = run_here("commitment", file, "--ask-again", "--timeout", "0.5")
    assert ran.code == code, ran.stdout + ran.stderr
    assert json.loads(file.read_text("utf-8"))["transaction_uid"] != kept["transaction_uid"]


def test_a_peer_that_offers_none_is_reported_at_once(folder: Path, tmp_path: Path) -> None:
    with FakePacs(Faults(commitment="none")) as pacs:
        ran = run_here("send", folder, "--to", pacs.peer.address, "--commit-later", tmp_path / "kept.json")
    assert ran.code == REFUSED
    assert run_here("commitment", tmp_path / "kept.json").code == REFUSED


def test_a_peer_that_is_down_may_be_asked_again(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "kept.json"
    with FakePacs(Faults(commitment="silent")) as pacs:
        assert run_here("send", folder, "--to", pacs.peer.address, "--commit-later", file).code == 0
        held = pacs.datasets()
    down = run_here("commitment", file, "--ask-again", "--timeout", "0.5")
    assert down.code == RETRYABLE, down.stdout + down.stderr
    asked_once = json.loads(file.read_text("utf-8"))
    assert asked_once["problem"] == ""
    for problem in ("", "the peer was down"):
        with FakePacs(holds=held) as pacs:
            asked_once["peer"]["port"], asked_once["problem"] = pacs.peer.port, problem
            file.write_text(json.dumps(asked_once), encoding="utf-8")
            ran = run_here("commitment", file, "--ask-again", "--timeout", "5")
        assert ran.code == 0, ran.stdout + ran.stderr


def test_a_file_that_cannot_be_written_is_noticed_before_anything_is_sent(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("no folder", encoding="utf-8")
    with FakePacs() as pacs:
        ran = run_here("send", folder, "--to", pacs.peer.address, "--commit-later", tmp_path / "taken" / "kept.json")
        assert not pacs.received
    assert (ran.code, "cannot be written" in ran.stderr) == (CONFIGURATION, True), ran.stderr
    new = tmp_path / "new" / "kept.json"
    assert run_here("send", folder, "--to", pacs.peer.address, "--commit-later", new).code == RETRYABLE
    assert [*new.parent.iterdir()] == []


def test_an_open_transaction_is_not_written_over(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "kept.json"
    with FakePacs(Faults(commitment="silent")) as pacs:
        arguments = ("send", folder, "--to", pacs.peer.address, "--commit-later", file)
        assert run_here(*arguments).code == 0
        before, held = file.read_bytes(), len(pacs.received)
        ran = run_here(*arguments)
    assert (ran.code, "has no answer yet" in ran.stderr) == (CONFIGURATION, True)
    assert (file.read_bytes(), held) == (before, 3)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("commitment", "none.json"), "cannot be read"),
        (("commitment", "other.json"), "is not a file of send --commit-later"),
        (("send", "scans", "--to", "A@h:1", "--commit-later", "other.json"), "is not a file of send --commit-later"),
        (("send", "scans", "--to", "A@h:1", "--commit", "--commit-later", "new.json"), "give one of them"),
        (("send", "scans", "--to", "http://127.0.0.1:1/web", "--commit"), "give AET@HOST:PORT, or --verify"),
        (("send", "scans", "--to", "http://127.0.0.1:1/web", "--commit-later", "new.json"), "give AET@HOST:PORT, or"),
    ],
)
def test_what_makes_no_sense_is_reported(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], reason: str
) -> None:
    assert folder.exists()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.json").write_text("[]", encoding="utf-8")
    ran = run_here(*arguments, folder=tmp_path)
    assert (ran.code, reason in ran.stderr) == (CONFIGURATION, True), ran.stderr
    assert (tmp_path / "other.json").read_text("utf-8") == "[]"


def test_a_way_for_the_answer_is_needed(folder: Path, tmp_path: Path) -> None:
    with FakePacs(Faults(commitment="silent")) as pacs:
        run_here("send", folder, "--to", pacs.peer.address, "--commit-later", tmp_path / "kept.json")
    ran = run_here("commitment", tmp_path / "kept.json")
    assert (ran.code, "--listen-port" in ran.stderr) == (CONFIGURATION, True)
