"""The examination of a service's code without running it."""

from __future__ import annotations

import io
import sys
import zipfile

import pytest

from dcm_processor_service.backends.mongo.operator.service_code import EntryCode, sources_of


def code(entry: str = "worker", /, **files: str) -> EntryCode:
    return EntryCode({f"{name.replace('__init', '__init__')}.py": text for name, text in files.items()}, entry)


def packed(files: dict[str, str]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return stream.getvalue()


def test_an_archive_gives_its_python_files_and_no_others() -> None:
    assert sources_of(packed({"__init__.py": "x = 1", "model.bin": "…"})) == {"__init__.py": "x = 1"}
    assert sources_of(b"no archive") == {}


@pytest.mark.parametrize("text", ["def (", "x = 1\nreturn 2", "x = '\0'"])
def test_code_that_is_no_python_is_found_in_what_an_import_reads(text: str) -> None:
    assert code(__init="from .steps import worker", steps=text).syntax_error.startswith("steps.py, line ")
    assert code(__init="def worker(): ...", steps=text).syntax_error == ""


def test_code_that_is_newer_than_the_workers_python_is_a_syntax_error() -> None:
    newer = {"__init__.py": "match 1:\n    case _: pass\ndef worker(): ..."}
    assert EntryCode(newer, "worker", (3, 9)).syntax_error
    assert EntryCode(newer, "worker", sys.version_info[:2]).syntax_error == ""


def test_nothing_is_reported_of_the_syntax_of_a_python_that_is_newer_than_this_one() -> None:
    assert EntryCode({"__init__.py": "def ("}, "worker", (99, 0)).syntax_error == ""


@pytest.mark.parametrize(
    ("files", "missing"),
    [
        ({"__init": "def run(): ..."}, "the entry worker"),
        ({"__init": "from .steps import worker"}, ".steps, which __init__.py imports"),
        ({"__init": "from .steps import worker", "steps": "from . import parts"}, ""),
        ({"__init": "from .steps import *"}, ".steps, which __init__.py imports"),
        ({"__init": "from .steps import *", "steps": "def worker(): ..."}, ""),
        ({"__init": "worker = 1"}, ""),
        ({"__init": "def __getattr__(name): ..."}, ""),
        ({"__init": "try:\n    from .fast import worker\nexcept ImportError:\n    worker = None"}, ""),
        ({"__init": "if True:\n    async def worker(): ...\nelse:\n    pass"}, ""),
        ({"__init": "for worker in (1,):\n    pass"}, ""),
    ],
)
def test_a_name_that_an_import_of_the_entry_does_not_find_is_reported(files: dict[str, str], missing: str) -> None:
    assert code("worker", **files).missing == missing


@pytest.mark.parametrize(
    ("text", "library"),
    [
        ("import no_such_library.part", "no_such_library"),
        ("from no_such_library import x", "no_such_library"),
        ("import os, json, pydicom", ""),
        ("from service_module import steps", ""),
        ("try:\n    import no_such_library\nexcept ImportError: ...", ""),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import no_such_library", ""),
        ("def worker():\n    import no_such_library", ""),
    ],
)
def test_a_library_that_nothing_here_has_is_named(text: str, library: str) -> None:
    assert code(__init=text).unknown_library == library


@pytest.mark.parametrize(
    ("files", "call"),
    [
        ({"__init": "import sys\ndef worker():\n    sys.exit(1)"}, "sys.exit in __init__.py, line 3"),
        ({"__init": "def worker():\n    raise SystemExit"}, "SystemExit in __init__.py, line 2"),
        ({"__init": "import os\ndef stop():\n    os._exit(1)\nworker = stop"}, "os._exit in __init__.py, line 3"),
        ({"__init": "from .steps import run as worker", "steps": "def run(): exit()"}, "exit in steps.py, line 1"),
        ({"__init": "import sys\ndef other(): sys.exit(1)\ndef worker(): ..."}, ""),
    ],
)
def test_an_exit_is_found_in_what_the_entry_reaches(files: dict[str, str], call: str) -> None:
    assert code("worker", **files).may_exit == call


def test_an_entry_that_entrypoint_made_is_distinguished_from_others() -> None:
    assert code(__init="worker = entrypoint(run)").is_entrypoint
    assert code(__init="worker = dcm_processor_service.entrypoint(run)").is_entrypoint
    assert not code(__init="def worker(): ...").is_entrypoint
    assert not code(__init="worker = wrapped(run)").is_entrypoint
