"""``find`` and ``fetch`` from a shell: what they print, write and exit with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from pydicom import dcmread

from dcm_processor_service.testing import FakePacs, Faults
from tests.command_line import run_here, run_process
from tests.ports import free_port
from tests.unit.dicom_network.instances import make_ct

if TYPE_CHECKING:
    from pathlib import Path

    from pydicom import Dataset

FAILED, CONFIGURATION, RETRYABLE = 1, 2, 3
STUDY, SERIES = str(make_ct().StudyInstanceUID), str(make_ct().SeriesInstanceUID)


def holding() -> list[Dataset]:
    held = [make_ct(number) for number in range(3)]
    for dataset in held:
        dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.StudyDate, dataset.StudyDescription = "20240131", "Head\u202e"
    return held


@pytest.mark.parametrize(
    ("level", "uid"), [("study", STUDY), ("series", SERIES), ("instance", str(make_ct(1).SOPInstanceUID))]
)
def test_find_lists_what_matches_without_the_patient(level: str, uid: str) -> None:
    with FakePacs(holds=holding()) as pacs:
        ran = run_here(
            "find", pacs.peer.address, "--patient-id", "TEST", "--level", level, variables={"COLUMNS": "250"}
        )
    assert ran.code == 0, ran.stderr
    assert uid in ran.stdout
    assert "Test^Case" not in ran.stdout
    assert "\u202e" not in ran.stdout


def test_a_narrow_terminal_cuts_no_uid_off() -> None:
    with FakePacs(holds=holding()) as pacs:
        ran = run_here("find", pacs.peer.address, "--patient-id", "TEST", variables={"COLUMNS": "80"})
    cells = [line.split("\u2502")[1].strip() for line in ran.stdout.splitlines() if line.startswith("\u2502")]
    assert "".join(cells) == STUDY
    assert "\u2026" not in ran.stdout


def test_find_prints_a_line_of_json_for_each_with_its_patient() -> None:
    with FakePacs(holds=holding()) as pacs:
        ran = run_process("find", pacs.peer.address, "--study-date", "20240101-20240201", "--json")
    assert ran.code == 0, ran.stderr
    (found,) = [json.loads(line) for line in ran.stdout.splitlines()]
    assert (found["patient_id"], found["study_date"], found["instance_count"]) == ("TEST", "2024-01-31", 3)


def test_find_over_a_url() -> None:
    with FakePacs(holds=holding()) as pacs:
        ran = run_here("find", pacs.web_peer.url, "--modality", "CT", "--json")
    assert json.loads(ran.stdout)["modalities"] == ["CT"]


def test_find_prints_nothing_where_nothing_matches() -> None:
    with FakePacs(holds=holding()) as pacs:
        ran = run_here("find", pacs.peer.address, "--patient-id", "4711", "--json")
    assert (ran.code, ran.stdout) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--study-date", "yesterday"), CONFIGURATION, "study_date is not a date"),
        (("--patient-id", "a\\b"), CONFIGURATION, "patient_id holds a backslash"),
        (("--limit", "1", "--level", "instance", "--patient-id", "TEST"), FAILED, "found more than 1; ask for less"),
    ],
)
def test_find_says_what_is_wrong(arguments: tuple[str, ...], code: int, message: str) -> None:
    with FakePacs(holds=holding()) as pacs:
        ran = run_here("find", pacs.peer.address, *arguments)
    assert ran.code == code
    assert message in " ".join(ran.stderr.split())


@pytest.mark.parametrize("url", ["https://", "http://[", "http://host:port/"])
def test_a_url_that_is_none_is_reported(url: str) -> None:
    ran = run_here("find", url, "--patient-id", "TEST")
    assert ran.code == CONFIGURATION, ran.stderr


@pytest.mark.parametrize("web", [False, True])
def test_fetch_writes_a_file_for_each_instance(tmp_path: Path, *, web: bool) -> None:
    with FakePacs(holds=holding()) as pacs:
        place = pacs.web_peer.url if web else pacs.peer.address
        ran = run_here("fetch", place, "--patient-id", "TEST", "--out", tmp_path)
    assert ran.code == 0, ran.stderr
    assert ran.stdout.startswith("3 of 3 instances fetched from ")
    written = {str(dataset.SOPInstanceUID): dataset for dataset in map(dcmread, tmp_path.rglob("*.dcm"))}
    assert written == {str(one.SOPInstanceUID): one for one in holding()}


def test_fetch_by_c_move_to_a_port_of_ours(tmp_path: Path) -> None:
    port = free_port()
    with FakePacs(Faults(retrieve=["c-move"]), holds=holding(), destinations={"HERE": ("127.0.0.1", port)}) as pacs:
        ran = run_here(
            *("fetch", pacs.peer.address, "--study", STUDY, "--modality", "CT", "--calling", "HERE"),
            *("--listen-port", port, "--out", tmp_path, "--json"),
        )
    assert ran.code == 0, ran.stderr
    assert [json.loads(line)["outcome"] for line in ran.stdout.splitlines()] == ["fetched"] * 3


@pytest.mark.parametrize(
    ("faults", "code", "message"),
    [
        (Faults(withholds=[str(make_ct(1).SOPInstanceUID)]), RETRYABLE, "1 missing: the peer listed it"),
        (Faults(alters={str(make_ct(1).SOPInstanceUID): {"StudyInstanceUID": "1.9"}}), FAILED, "1 rejected"),
        (Faults(retrieve=()), FAILED, "offers no C-GET"),
        (Faults(query="fail"), RETRYABLE, "out of resources"),
    ],
)
def test_fetch_tells_by_its_exit_code_whether_trying_again_may_help(
    tmp_path: Path, faults: Faults, code: int, message: str
) -> None:
    with FakePacs(faults, holds=holding()) as pacs:
        ran = run_here("fetch", pacs.peer.address, "--patient-id", "TEST", "--out", tmp_path)
    assert ran.code == code, ran.stdout + ran.stderr
    assert message in " ".join((ran.stdout + ran.stderr).split())


def test_fetch_refuses_to_take_all_that_a_peer_holds(tmp_path: Path) -> None:
    ran = run_here("fetch", "PACS@127.0.0.1:1", "--out", tmp_path)
    assert ran.code == CONFIGURATION
    assert "say what" in ran.stderr


def test_fetch_of_nothing_is_a_failure(tmp_path: Path) -> None:
    with FakePacs(holds=holding()) as pacs:
        ran = run_here("fetch", pacs.peer.address, "--patient-id", "4711", "--out", tmp_path)
    assert ran.code == FAILED
    assert "found nothing that matches" in ran.stderr
