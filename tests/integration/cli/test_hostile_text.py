"""No text of data, headers, paths or peers steers the terminal, reads as markup, or ends a command: every command."""

from __future__ import annotations

import json
import re
import unicodedata
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from dcm_processor_service import cli
from dcm_processor_service.cli.console import output_console, print_json_line, printable, styled
from dcm_processor_service.local.workspace import Workspace, sample_folder
from dcm_processor_service.models import Peer
from dcm_processor_service.testing import FakePacs, synthetic_series
from tests.command_line import Ran, run_here

if TYPE_CHECKING:
    from collections.abc import Sequence

HOSTILE = "x[/liver][red]\x1b[2J\x1b]0;title\x07\r\x9b31m\u202egnp\u2066:smile:"
"""Ends rich's markup, clears the screen, names the window, goes back to the line's start, turns the text around."""
MARKUP = "roi[/liver]"
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

SERVICE = f"""
from dcm_processor_service import RuntimeContext

HOSTILE = {HOSTILE!r}

def run(ctx: RuntimeContext) -> object:
    ctx.session.data[{MARKUP!r}] = HOSTILE
    ctx.session.files.put({MARKUP + "/mask.txt"!r}, b"1")
    return {{HOSTILE: [HOSTILE]}}

def fail(ctx: RuntimeContext) -> object:
    raise ValueError("a[/b]" + HOSTILE)  # the rest is a patient's name here, and removed
"""


def checked(ran: Ran, *codes: int) -> Ran:
    """Fails where the command ended otherwise than it should, or printed what a terminal obeys."""
    assert ran.code in codes, (ran.code, ran.stdout, ran.stderr)
    assert STEERING.findall(ran.stdout + ran.stderr) == []
    assert "Traceback" not in ran.stderr or "ValueError" in ran.stderr
    return ran


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """A series whose texts and whose place are hostile, and a file that is not DICOM."""
    folder = tmp_path / HOSTILE.replace("/", "") / "scans"
    folder.mkdir(parents=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, of values that the standard does not allow
        for dataset in synthetic_series(slices=3):
            dataset.Modality = MARKUP + "\x1b[31m"
            dataset.SeriesInstanceUID = "1.2[/b]\x1b[2J"
            dataset.SeriesDescription = HOSTILE
            dataset.PatientName = HOSTILE
            dataset.save_as(folder / f"{dataset.InstanceNumber}.dcm", enforce_file_format=True)
    (folder / f"note{HOSTILE.replace('/', '')}.txt").write_text("no image")
    return folder


@pytest.fixture
def service(tmp_path: Path) -> Path:
    place = tmp_path / "service.py"
    place.write_text(SERVICE)
    return place


pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


@pytest.mark.parametrize("json_lines", [[], ["--json"]], ids=["table", "json"])
def test_run_shows_what_a_callback_left(scans: Path, service: Path, tmp_path: Path, json_lines: list[str]) -> None:
    options = ("--dicom", scans, "--workspace", tmp_path / "w", "--show-files", "--param", f"p={HOSTILE}", *json_lines)
    ran = checked(run_here("run", service, *options), 0)
    assert MARKUP in ran.stdout
    if json_lines:
        (row,) = map(json.loads, ran.stdout.splitlines())
        assert row["data"] == {MARKUP: HOSTILE}
        assert row["result"] == {HOSTILE: [HOSTILE]}
    else:
        assert r"\u001b[2J" in ran.stdout
        assert f"series {MARKUP}" in ran.stdout
    failed = checked(run_here("run", f"{service}:fail", *options), 1)
    assert "a[/b][removed]" in failed.stderr + failed.stdout


def test_exec_tells_an_error_with_its_text(service: Path) -> None:
    settings = {
        f"DCM_PROCESSOR_SERVICE_{name}": value
        for name, value in {"DB_PROVIDER": "memory", "SESSION_ID": "1" * 24, "JOB_ID": "2" * 24}.items()
    }
    ran = checked(run_here("exec", f"{service}:fail", variables=settings), 1)
    assert r"\x1b[2J" in ran.stderr
    done = checked(run_here("exec", f"{service}:run", variables=settings), 0)
    assert json.loads(done.stdout)["result"] == {HOSTILE: [HOSTILE]}


@pytest.mark.parametrize("json_lines", [[], ["--json"]], ids=["text", "json"])
def test_inspect_and_convert_name_series_and_paths(scans: Path, tmp_path: Path, json_lines: list[str]) -> None:
    page = tmp_path / f"{MARKUP.replace('/', '')}.html"
    checked(run_here("inspect", scans, "--html", page, *json_lines), 0)
    ran = checked(run_here("convert", scans, tmp_path / HOSTILE.replace("/", "") / "out", *json_lines), 0, 1)
    assert "1.2[/b]" in ran.stdout


def test_derive_and_pdf_name_the_series_that_there_are(scans: Path, tmp_path: Path) -> None:
    checked(run_here("convert", sample_folder(), tmp_path / "nifti"), 0)
    (nifti,) = (tmp_path / "nifti").glob("*.nii.gz")
    report = tmp_path / "report.pdf"
    report.write_bytes(b"%PDF-1.4\n%%EOF\n")
    for command in (("derive", nifti), ("pdf", report)):
        wanted = ("--like", scans, "--out", tmp_path / HOSTILE.replace("/", ""))
        checked(run_here(*command, *wanted, "--series-uid", HOSTILE), 2)
        checked(run_here(*command, *wanted), 0, 1, 2)
        missing = checked(run_here(command[0], tmp_path / f"no{HOSTILE.replace('/', '')}", *wanted), 2)
        assert r"\x1b" in missing.stderr


def test_network_commands_name_peers_and_paths(scans: Path, tmp_path: Path) -> None:
    with FakePacs() as pacs:
        for json_lines in ([], ["--json"]):
            checked(run_here("send", scans, "--to", pacs.peer.address, *json_lines), 0, 1)
            checked(run_here("echo", pacs.peer.address, *json_lines), 0)
            checked(run_here("probe", pacs.peer.address, *json_lines), 0)
    for command in ("echo", "probe"):
        assert "x[/liver][red]" in checked(run_here(command, HOSTILE), 2).stderr
    assert "x[/liver][red]" in checked(run_here("send", tmp_path / HOSTILE, "--to", HOSTILE), 2).stderr


def test_peers_are_named_as_the_store_names_them(tmp_path: Path, closed_port: int) -> None:
    place = Workspace(tmp_path / "w")
    place.add_peer(Peer(id="1" * 24, name=HOSTILE, ae_title="A[/b]", host=f"127.0.0.1{MARKUP}", port=closed_port))
    options = ("--workspace", place.folder)
    listed = checked(run_here("peers", "list", *options), 0)
    assert "[/liver]" in listed.stdout
    row = json.loads(checked(run_here("peers", "list", "--json", *options), 0).stdout)
    assert row["name"] == HOSTILE
    checked(run_here("peers", "echo", HOSTILE, *options), 1, 3)
    checked(run_here("peers", "probe", HOSTILE, *options), 1, 3)
    assert r"\x1b[2J" in checked(run_here("peers", "echo", "another", *options), 1).stderr


def test_doctor_tells_what_is_wrong_with_the_environment(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    url = str(tmp_path / "file" / HOSTILE.replace("/", ""))
    settings = {"DB_PROVIDER": "sqlite", "DB_URL": url, "SESSION_ID": "1" * 24, "JOB_ID": "2" * 24}
    variables = {f"DCM_PROCESSOR_SERVICE_{name}": value for name, value in settings.items()}
    for json_lines in ([], ["--json"]):
        ran = checked(run_here("doctor", *json_lines, variables=variables), 1)
        assert "x[liver][red]" in ran.stdout


def printed(arguments: Sequence[Any], capsys: pytest.CaptureFixture[str]) -> str:
    output_console().print(*arguments)
    return capsys.readouterr().out


def test_a_table_a_title_and_a_styled_part_show_markup_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(MARKUP, title=MARKUP)
    table.add_row(MARKUP)
    table.add_row(styled((MARKUP, "red"), f" {HOSTILE}"))
    out = printed([table], capsys)
    assert out.count(MARKUP) == 4
    assert STEERING.findall(out) == []


@given(st.text())
def test_what_is_printable_holds_nothing_that_steers_and_stays_as_it_is(text: str) -> None:
    shown = printable(text)
    assert STEERING.findall(shown) == []
    assert all(unicodedata.category(one) not in {"Cc", "Cs", "Zl", "Zp"} or one in "\n\t" for one in shown)
    assert printable(shown) == shown
    if all(one.isprintable() for one in text):
        assert shown == text


@pytest.mark.parametrize(
    "code", [0xAD, 0x180E, 0x200B, 0x2060, 0x2063, 0x206A, 0x206F, 0xFEFF, 0xFFF9, 0xE0041], ids=hex
)
def test_what_has_no_shape_is_shown_by_its_escape(code: int) -> None:
    assert printable(f"seg{chr(code)}ment") == f"seg{ascii(chr(code))[1:-1]}ment"


@pytest.mark.parametrize(
    "name", ["\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u0915\u094d\u200d\u0937"], ids=["Persian", "Hindi"]
)
def test_joiners_that_scripts_need_stay(name: str) -> None:
    assert printable(name) == name


def test_a_line_of_json_says_the_same_without_what_steers(capsys: pytest.CaptureFixture[str]) -> None:
    print_json_line({HOSTILE: HOSTILE, "tag": "\U000e0041", "text": "Müller 肝 \ud800"})
    out = capsys.readouterr().out
    assert STEERING.findall(out) == []
    assert "Müller 肝" in out
    assert json.loads(out) == {HOSTILE: HOSTILE, "tag": "\U000e0041", "text": "Müller 肝 \ud800"}


def test_commands_print_through_the_console_alone() -> None:
    others = re.compile(
        r"(?<!\.)\bprint\(|typer\.s?echo|sys\.std(?:out|err)|rich\.(?:text|markup)|\bText[.(]|\bConsole\("
    )
    for module in Path(str(cli.__file__)).parent.rglob("*.py"):
        if module.name not in {"console.py", "lines.py"}:
            assert others.findall(module.read_text(encoding="utf-8")) == [], module.name
