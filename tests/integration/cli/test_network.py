"""``send``, ``echo`` and ``probe`` from a shell: what they exit with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from dcm_processor_service.testing import FakePacs, Faults
from tests.command_line import run_here
from tests.integration.dicom_network.stow_server import running_stow_service
from tests.scripted_peer import Wire, abort, answer, scripted_peer
from tests.unit.dicom_network.instances import make_ct, write_series

if TYPE_CHECKING:
    from pathlib import Path

REFUSED, RETRYABLE = 1, 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_series(tmp_path, 3)
    return tmp_path


@pytest.mark.parametrize(
    ("faults", "options", "code"),
    [
        (Faults(), (), 0),
        (Faults(status=0xA700), (), RETRYABLE),
        (Faults(status=0xA700, status_after=1), (), RETRYABLE),
        (Faults(status=0xC000, status_after=1), (), REFUSED),
        (Faults(reject=(2, 3, 1)), (), RETRYABLE),
        (Faults(), ("--commit",), 0),
        (Faults(commitment="none"), ("--commit",), REFUSED),
        (Faults(commitment="fail"), ("--commit",), REFUSED),
        (Faults(), ("--verify",), 0),
        (Faults(query="none"), ("--verify",), REFUSED),
        (Faults(forgets=[str(make_ct(1).SOPInstanceUID)]), ("--verify",), RETRYABLE),
    ],
)
def test_the_exit_code_tells_whether_trying_again_may_help(
    folder: Path, faults: Faults, options: tuple[str, ...], code: int
) -> None:
    with FakePacs(faults) as pacs:
        ran = run_here("send", folder, "--to", pacs.peer.address, *options)
    assert ran.code == code, ran.stdout + ran.stderr


def test_a_peer_that_dies_midway_is_worth_another_try(folder: Path) -> None:
    def script(wire: Wire) -> None:
        wire.accept()
        wire.send(answer(wire.read_request()))
        wire.read_request()
        wire.send(abort())

    def gone(wire: Wire) -> None:
        wire.read_pdu()
        wire.send(abort())

    with scripted_peer(script, gone) as seen:
        ran = run_here("send", folder, "--to", seen.peer.address, "--json")
    assert ran.code == RETRYABLE
    assert [json.loads(line)["outcome"] for line in ran.stdout.splitlines()] == ["stored", "failed", "not_attempted"]


@pytest.mark.parametrize("command", ["echo", "probe"])
def test_a_silent_peer_is_given_up_after_the_time_of_the_environment(command: str) -> None:
    def silent(wire: Wire) -> None:
        wire.read_pdu()
        wire.read_pdu()

    with scripted_peer(silent) as seen:
        ran = run_here(command, seen.peer.address, variables={"DCM_PROCESSOR_SERVICE_DICOM_TIMEOUT_S": "0.2"})
    assert ran.code == RETRYABLE
    assert "timed out" in ran.stdout + ran.stderr or "in time" in ran.stdout + ran.stderr


def test_a_time_that_is_none_is_reported() -> None:
    ran = run_here("echo", "A@127.0.0.1:1", variables={"DCM_PROCESSOR_SERVICE_DICOM_TIMEOUT_S": "soon"})
    assert ran.code == 2
    assert "DICOM" in ran.stderr


def test_files_are_sent_to_a_url_with_the_token_of_a_file(folder: Path, tmp_path: Path) -> None:
    token = tmp_path / "token.txt"
    token.write_text("good", encoding="utf-8")
    with running_stow_service() as service:
        ran = run_here("send", folder, "--to", service.peer.url, "--token-file", token)
    assert ran.code == 0, ran.stderr
    assert set(service.authorizations) == {"Bearer good"}
    assert "good" not in ran.stdout + ran.stderr


def test_a_token_file_for_a_peer_without_a_url_is_refused(folder: Path) -> None:
    ran = run_here("send", folder, "--to", "PACS@127.0.0.1:1", "--token-file", "token")
    assert (ran.code, "given by a URL" in ran.stderr) == (2, True)
