"""``run``, ``doctor`` and the help: what a person at a laptop sees."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import metadata
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from dcm_processor_service import Peer
from dcm_processor_service.cli.app import app
from dcm_processor_service.cli.doctor import _place
from dcm_processor_service.local.workspace import Workspace
from tests.command_line import run_process
from tests.integration.cli.test_exec import HEAD, write
from tests.unit.local.test_ingest import make_series, save

if TYPE_CHECKING:
    from pathlib import Path

COUNT = HEAD + (
    "def run(ctx: RuntimeContext):\n"
    "    count = ctx.session.dicom.get_series().instance_count()\n"
    "    ctx.session.data['count'] = count\n"
    "    ctx.session.files.put('out/count.txt', str(count).encode())\n"
    "    return {'count': count, 'params': ctx.job.params}\n"
)


@pytest.fixture
def scans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "path", list(sys.path))
    folder = tmp_path / "scans"
    save(make_series(1), folder)
    save(make_series(2, slices=3), folder)
    write(tmp_path, COUNT)
    return folder


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["run", *arguments], catch_exceptions=False)


def lines(result: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_table_tells_what_came_out(scans: Path) -> None:
    result = invoke("callback.py", "--dicom", str(scans))
    assert result.exit_code == 0
    for text in (
        "callback: series CT, 3 instances",
        "done, exit code 0",
        "data  count",
        "file  out/count.txt",
        "1 byte, text/plain",
        "files in",
        '{"count": 3, "params": {}}',
    ):
        assert text in result.stdout
    assert "5 instances: 2 series, 1 study, 1 patient" in result.stderr
    assert "Synthetic" not in result.output


def test_json_is_a_line_for_each_job(scans: Path) -> None:
    arguments = ["callback.py:run", "--dicom", str(scans), "--json", "--param", "t=0.5", "--param", "label=liver"]
    first, second = lines(invoke(*arguments))
    assert [one["result"]["count"] for one in (first, second)] == [2, 3]
    assert first["result"]["params"] == {"t": 0.5, "label": "liver"}
    assert first["data"] == {"count": 2}
    assert (first["exit_code"], first["subject"]["level"], first["job"]["name"]) == (0, "series", "callback")
    (stored,) = first["files"]
    assert (stored["name"], stored["size_bytes"]) == ("out/count.txt", 1)
    with open(stored["path"], encoding="utf-8") as content:  # noqa: PTH123  the path as a program gets it
        assert content.read() == "2"
    again = lines(invoke(*arguments))
    assert [one["job"] for one in again] == [first["job"], second["job"]]


def test_workers_run_a_callback_over_several_series(scans: Path) -> None:
    found = lines(invoke("callback.py", "--dicom", str(scans), "--json", "--workers", "2"))
    assert sorted(one["result"]["count"] for one in found) == [2, 3]
    assert sorted(one["data"]["count"] for one in found) == [2, 3]
    for one in found:
        (stored,) = one["files"]
        with open(stored["path"], encoding="utf-8") as content:  # noqa: PTH123  the path as a program gets it
            assert content.read() == str(one["result"]["count"])


def test_the_record_of_a_run_has_one_order_whichever_process_ends_first(scans: Path) -> None:
    os.mkfifo(scans.parent / "ended")
    text = (
        "import os\ndef run(ctx: RuntimeContext):\n"
        "    uid = ctx.session.dicom.get_series().series_instance_uid\n"
        "    if uid == ctx.job.params.get('first'):\n"
        "        open('ended').read()  # until the process of the other one has ended\n"
        "    elif 'first' in ctx.job.params:\n        os.open('ended', os.O_WRONLY)\n"
    )
    write(scans.parent, HEAD + text)

    def order(*options: str) -> list[str]:
        assert invoke("callback.py", "--dicom", str(scans), "--no-preview", *options).exit_code == 0
        record = json.loads((scans.parent / "dcm-workspace" / "run.json").read_text(encoding="utf-8"))
        return [job["inputs"][0]["series_instance_uid"] for job in record["jobs"]]

    alone = order()
    assert order("--workers", "2", "--param", f"first={alone[0]}") == alone


def test_json_stays_alone_on_the_standard_output(scans: Path) -> None:
    text = "import os, sys\ndef run():\n    print('printed')\n    os.write(1, b'raw\\n')\n    return 1\n"
    write(scans.parent, text)
    ran = run_process("run", "callback.py", "--dicom", scans, "--json", folder=scans.parent)
    assert ran.code == 0, ran.stderr
    assert [json.loads(line)["result"] for line in ran.stdout.splitlines()] == [1, 1]
    assert ran.stderr.count("printed") == ran.stderr.count("raw") == 2


@pytest.mark.parametrize(("event", "count"), [("stable-series", 2), ("stable-study", 1), ("stable-patient", 1)])
def test_an_event_runs_once_for_each_subject(scans: Path, event: str, count: int) -> None:
    write(scans.parent, HEAD + "def run(ctx: RuntimeContext):\n    return ctx.job.event.value\n")
    found = lines(invoke("callback.py", "--dicom", str(scans), "--event", event, "--json"))
    assert [one["result"] for one in found] == [event] * count


def test_a_module_gives_its_own_name_to_the_job(scans: Path) -> None:
    package = scans.parent / "services_of_cli_test"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "segment.py").write_text(COUNT, encoding="utf-8")
    found = lines(invoke("services_of_cli_test.segment:run", "--dicom", str(scans), "--json"))
    assert {one["job"]["name"] for one in found} == {"segment"}
    named = lines(invoke("callback.py", "--dicom", str(scans), "--json", "--job-name", "own"))
    assert {one["job"]["name"] for one in named} == {"own"}


def test_a_peer_can_be_given(scans: Path) -> None:
    write(scans.parent, HEAD + "def run(ctx: RuntimeContext):\n    return ctx.session.peers.current().address\n")
    result = invoke("callback.py", "--dicom", str(scans), "--json", "--peer", "PACS=ORTHANC@h:104")
    assert {one["result"] for one in lines(result)} == {"ORTHANC@h:104"}


def test_what_is_left_out_gets_a_sentence_and_its_name(scans: Path) -> None:
    save(make_series(3, PatientID="OTHER"), scans)
    (scans / "notes.txt").write_text("no scan", encoding="utf-8")
    for number in range(11):
        (scans / f"empty{number:02}.dcm").touch()
    result = invoke("callback.py", "--dicom", str(scans))
    assert result.exit_code == 0
    assert "1 file left out: not readable as DICOM.\n" in result.stderr
    assert "11 files left out: empty.\n" in result.stderr
    assert "Several patients: each one has a session of its own." in result.stderr
    assert "notes.txt" in result.stderr
    assert "empty09.dcm\n  … and 1 more\n" in result.stderr
    assert "empty10.dcm" not in result.stderr
    shown = invoke("callback.py", "--dicom", str(scans), "--show-files")
    assert "empty10.dcm" in shown.stderr


def test_a_failing_callback_shows_its_traceback_and_the_rest_goes_on(scans: Path) -> None:
    write(
        scans.parent,
        HEAD + "def run(ctx: RuntimeContext):\n"
        "    if ctx.session.dicom.get_series().instance_count() == 2:\n"
        "        raise ValueError('no [bold] liver')\n"
        "    return 'fine'\n",
    )
    result = invoke("callback.py", "--dicom", str(scans))
    assert result.exit_code == 1
    assert "failed, exit code 1" in result.stdout
    assert '"fine"' in result.stdout
    assert "in run" in result.stderr
    assert ": the callback failed\nTraceback" in result.stderr
    assert result.stderr.count("ValueError: no [bold] liver") == 1
    records = lines(invoke("callback.py", "--dicom", str(scans), "--json"))
    assert [one["exit_code"] for one in records] == [1, 0]
    assert records[0]["error"]["type"] == "ValueError"


def test_a_traceback_shows_the_users_own_frames_and_all_on_demand(scans: Path) -> None:
    text = HEAD + "import json\ndef inner():\n    json.loads('{')\ndef run(ctx: RuntimeContext):\n    inner()\n"
    write(scans.parent, text)
    result = invoke("callback.py", "--dicom", str(scans))
    assert "in inner" in result.stderr
    assert "frames of libraries left out" in result.stderr
    assert "decoder.py" not in result.stderr
    assert "runner.py" not in result.stderr
    every = invoke("callback.py", "--dicom", str(scans), "--traceback")
    for frame in ("in inner", "decoder.py", "runner.py"):
        assert frame in every.stderr


def test_an_error_that_no_frame_of_the_user_raised_is_its_sentence_alone(scans: Path) -> None:
    text = (
        "from dcm_processor_service import AsyncRuntimeContext\n"
        "async def run(ctx: AsyncRuntimeContext):\n    ctx.session.data.set('x', 1)\n"
    )
    write(scans.parent, text)
    result = invoke("callback.py", "--dicom", str(scans))
    assert result.exit_code == 1
    assert "called without await, so that nothing was done: AsyncData.set (" in result.stderr
    assert "Traceback" not in result.stderr
    assert "Traceback" in invoke("callback.py", "--dicom", str(scans), "--traceback").stderr


def test_each_result_is_there_before_the_next_subject_begins(scans: Path) -> None:
    text = HEAD + (
        "import sys\ndef run(ctx: RuntimeContext):\n"
        "    print('begun', ctx.session.dicom.get_series().instance_count(), flush=True)\n"
    )
    write(scans.parent, text)
    lines_printed = invoke("callback.py", "--dicom", str(scans)).stdout.splitlines()
    order = [line.split()[0] for line in lines_printed if line.startswith(("begun", "callback:"))]
    assert order == ["begun", "callback:", "begun", "callback:"]


def test_the_workspace_holds_a_page_and_a_record_of_the_run(scans: Path) -> None:
    result = invoke("callback.py", "--dicom", str(scans))
    assert "The report is in dcm-workspace/report.html." in result.stderr
    record = json.loads((scans.parent / "dcm-workspace" / "run.json").read_text())
    assert [job["data"][0]["value"] for job in record["jobs"]] == [2, 3]
    page = (scans.parent / "dcm-workspace" / "report.html").read_text()
    assert page.count("<figure>") == 2
    assert "Synthetic" not in page
    assert "SYNTHETIC" not in page


def test_the_patient_is_shown_on_demand(scans: Path) -> None:
    result = invoke("callback.py", "--dicom", str(scans), "--show-patient")
    assert "Synthetic^Series" in result.stdout
    assert "Synthetic^Series" in (scans.parent / "dcm-workspace" / "report.html").read_text()
    assert "Synthetic^Series" not in (scans.parent / "dcm-workspace" / "run.json").read_text()


def test_params_that_do_not_fit_are_a_sentence_without_a_traceback(scans: Path) -> None:
    text = HEAD + "from pydantic import BaseModel\nclass P(BaseModel):\n    t: float\ndef run(p: P):\n    return p.t\n"
    write(scans.parent, text)
    result = invoke("callback.py", "--dicom", str(scans), "--param", "t=much")
    assert result.exit_code == 2
    assert "t: Input should be a valid number" in result.stderr
    assert "Traceback" not in result.stderr
    assert [
        one["result"] for one in lines(invoke("callback.py", "--dicom", str(scans), "--param", "t=2", "--json"))
    ] == [2, 2]


def test_a_param_by_hand_that_no_model_knows_is_refused_before_anything_runs(scans: Path) -> None:
    text = HEAD + "from pydantic import BaseModel\nclass P(BaseModel):\n    threshold: float = 1\ndef run(p: P): ...\n"
    write(scans.parent, text)
    result = invoke("callback.py", "--dicom", str(scans), "--param", "treshold=2")
    assert result.exit_code == 2
    assert "--param: P has no param 'treshold'; did you mean 'threshold'?" in result.stderr
    assert not (scans.parent / "dcm-workspace").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["callback.py"], "no scans were given; give a folder, --dicom DIR, or try --sample"),
        (["callback.py", "--dicom", "nowhere"], "there is no folder 'nowhere'"),
        (["callback.py", "--dicom", "empty"], "no DICOM file was found"),
        (["missing.py", "--sample"], "there is no file 'missing.py'"),
        (["callback.py:other", "--sample"], "has no function 'other'; its functions are: run"),
        (["callback.py", "--sample", "--param", "novalue"], "'novalue' is not a param; give NAME=VALUE"),
        (["callback.py", "--sample", "--param", "=1"], "'=1' is not a param"),
        (["callback.py", "--sample", "--peer", "PACS"], "'PACS' is not a peer; give NAME=AET@HOST:PORT"),
        (["callback.py", "--sample", "--job-name", "../up"], "job name '../up' is not allowed"),
        (["callback.py", "--sample", "--event", "stable"], "stable-series"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(scans: Path, arguments: list[str], sentence: str) -> None:
    (scans.parent / "empty").mkdir()
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_a_wrong_annotation_is_refused_before_anything_is_read(scans: Path) -> None:
    write(scans.parent, "def run(ctx): ...\n")
    result = invoke("callback.py", "--dicom", str(scans))
    assert result.exit_code == 2
    assert "'ctx' of run has no annotation" in result.stderr
    assert not (scans.parent / "dcm-workspace").exists()


def test_a_workspace_that_cannot_be_made_is_a_sentence(scans: Path) -> None:
    result = invoke("callback.py", "--dicom", str(scans), "--workspace", "callback.py")
    assert result.exit_code == 3
    assert "cannot be" in result.stderr


def test_the_environment_of_a_shell_has_no_say(scans: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCM_PROCESSOR_SERVICE_DB_PROVIDER", "mongodb")
    monkeypatch.setenv("DCM_PROCESSOR_SERVICE_JOB_ID", "nonsense")
    (scans.parent / ".env").write_bytes(b"\xff")
    assert invoke("callback.py", "--dicom", str(scans)).exit_code == 0


def doctor(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["doctor", *arguments], catch_exceptions=False)


def test_doctor_says_what_is_there(scans: Path) -> None:
    found = {(row["area"], row["name"]): row for row in lines(doctor("--json"))}
    for name in ("mongodb", "sqlite", "memory"):
        assert found["store", name]["available"]
    assert found["environment", "job"]["available"] is False
    assert all(found["converter", name]["available"] for name in ("native", "dcm2niix", "dicom2nifti"))
    assert found["extra", "web"]["available"]
    assert any(area == "decoder" for area, _name in found)
    table = doctor()
    assert table.exit_code == 0
    assert "dicom2nifti" in table.stdout


def test_doctor_knows_every_extra_and_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    extras = set(metadata("dcm-processor-service").get_all("Provides-Extra") or ()) - {
        "test",
        "dev",
        "docs",
        "mutation",
    }
    monkeypatch.setattr("dcm_processor_service.cli.doctor.find_spec", lambda _module: None)
    rows = {row["name"]: row["detail"] for row in lines(doctor("--json")) if row["area"] == "extra"}
    assert rows.keys() == extras
    for extra, detail in rows.items():
        assert detail.endswith(f'pip install "dcm-processor-service[{extra}]"')


def test_doctor_tries_the_store_of_the_environment(
    scans: Path, monkeypatch: pytest.MonkeyPatch, closed_port: int
) -> None:
    monkeypatch.setenv("DCM_PROCESSOR_SERVICE_DB_PROVIDER", "mongodb")
    rows = [row for row in lines(doctor("--json")) if row["area"] == "environment"]
    assert "DCM-PROCESSOR-SERVICE-DB-URL is not set" in rows[0]["detail"]
    for name, value in {
        "DB_URL": f"mongodb://user:SECRET@127.0.0.1:{closed_port}",
        "DB_NAME": "platform",
        "SESSION_ID": "a" * 24,
        "JOB_ID": "b" * 24,
        "STORE_TIMEOUT_S": "0.2",
    }.items():
        monkeypatch.setenv(f"DCM_PROCESSOR_SERVICE_{name}", value)
    result = doctor("--json")
    rows = [row for row in lines(result) if row["area"] == "environment"]
    assert rows[0]["available"] is False
    assert rows[0]["detail"].startswith(f"mongodb at 127.0.0.1:{closed_port}: MongoDB did not answer in time")
    assert result.exit_code == 1
    assert "SECRET" not in result.output
    monkeypatch.setenv("DCM_PROCESSOR_SERVICE_DB_PROVIDER", "sqlite")
    monkeypatch.setenv("DCM_PROCESSOR_SERVICE_DB_URL", str(scans.parent / "work"))
    for command in (("doctor", "--json"), ("peers", "list"), ("peers", "echo", "PACS")):
        result = CliRunner().invoke(app, command, catch_exceptions=False)
        assert "no such folder" in result.output
        assert result.exit_code == 1
        assert not (scans.parent / "work").exists()
    Workspace(scans.parent / "work").add_peer(Peer(name="PACS", ae_title="PACS", host="127.0.0.1", port=closed_port))
    rows = [row for row in lines(doctor("--json")) if row["area"] == "environment"]
    assert "reachable, but it has no job of this id" in rows[0]["detail"]
    for name in ("SESSION_ID", "JOB_ID"):
        monkeypatch.delenv(f"DCM_PROCESSOR_SERVICE_{name}")
    result = doctor("--json")
    (row,) = [row for row in lines(result) if row["area"] == "environment"]
    assert (row["available"], row["detail"]) == (True, f"sqlite at {scans.parent / 'work'}: it answers")
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("mongodb://user:p/a?s@s@db1:27017,db2/admin?tls=true", "db1:27017,db2"),
        ("mongodb+srv://db.example", "db.example"),
        ("user:SECRET@db1", "db1"),
        ("/srv/work", "/srv/work"),
        ("", ""),
    ],
)
def test_doctor_names_where_a_store_is_without_its_secrets(url: str, place: str) -> None:
    assert _place(url) == place


def test_peers_are_listed_without_a_job(scans: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Workspace(scans.parent / "work")
    place.add_peer(Peer(id="1" * 24, name="PACS", ae_title="ORTHANC", host="127.0.0.1", port=104))
    monkeypatch.setenv("DCM_PROCESSOR_SERVICE_DB_PROVIDER", "sqlite")
    monkeypatch.setenv("DCM_PROCESSOR_SERVICE_DB_URL", str(place.folder))
    listed = CliRunner().invoke(app, ["peers", "list", "--json"], catch_exceptions=False)
    assert (listed.exit_code, [row["name"] for row in lines(listed)]) == (0, ["PACS"])
    monkeypatch.delenv("DCM_PROCESSOR_SERVICE_DB_URL")
    refused = CliRunner().invoke(app, ["peers", "list"], catch_exceptions=False)
    assert refused.exit_code == 2
    assert "DB-URL is not set" in refused.stderr
    assert "JOB-ID" not in refused.stderr


def test_help_loads_no_heavy_library(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from dcm_processor_service.cli import main\n"
        "for arguments in ([], ['run'], ['exec'], ['doctor']):\n"
        "    sys.argv = ['dcm-processor-service', *arguments, '--help']\n"
        "    try:\n"
        "        main()\n"
        "    except SystemExit as leaving:\n"
        "        print('left with', leaving.code)\n"
        "heavy = {'pydicom', 'numpy', 'nibabel', 'pynetdicom', 'dicom2nifti', 'pymongo', 'motor', 'puremagic'}\n"
        "print('loaded:', sorted(heavy & sys.modules.keys()))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("Usage: dcm-processor-service") == 4
    assert ran.stdout.count("left with 0") == 4
    assert "loaded: []" in ran.stdout


def test_no_arguments_show_the_help() -> None:
    result = CliRunner().invoke(app, [])
    words = " ".join(result.output.split())
    for meaning in ("0 done", "1 the callback failed", "2 configuration", "3 try again later"):
        assert meaning in words
