"""Runs the code blocks of a page of documentation, in their order, in a folder of their own.

A block of Python that begins with a file's name as its docstring becomes that file; any other block of Python is
executed, with the names that earlier blocks defined. Commands of a console run one after the other. A block of JSON
that begins with ``"params"`` replaces the params of the job in ``dcm-processor.json``. A mark may stand above a block:

- ``<!-- test: fails -->``: its commands end with another code than 0;
- ``<!-- test: background -->``: they run until the page ends;
- ``<!-- test: elsewhere -->``: another test runs them, because they need a server.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from packaging.requirements import Requirement

from tests.command_line import ROOT, run_here
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["PORT", "blocks_of", "run_page"]

PORT = "4242"
"""The port of a PACS in a page; when the page runs, a free port replaces it."""
_BLOCK = re.compile(
    r"(?:^<!-- test: (?P<mark>\w+) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
_FILE = re.compile(r'"""(?P<name>[\w/.-]+\.py)"""\n')
_RAN_BY_A_PAGE = {"python", "console", "json"}
_EXTRAS = re.compile(r"^(\w+) = \[$", re.MULTILINE)


class Block(NamedTuple):
    """A code block of a page."""

    language: str
    text: str
    mark: str
    line: int
    """How many lines of the page stand before it."""


def blocks_of(text: str) -> list[Block]:
    """Returns the code blocks of a page, except those that only show output."""
    return [
        Block(found["language"], found["text"], found["mark"] or "", text[: found.start("text")].count("\n"))
        for found in _BLOCK.finditer(text)
        if found["language"] in _RAN_BY_A_PAGE
    ]


def run_page(path: Path, folder: Path) -> _Page:
    """Runs a page in a folder; returns the folder in which it ended, and the names that its Python defined."""
    text = path.read_text(encoding="utf-8").replace(PORT, str(free_port()))
    with ExitStack() as background, pytest.MonkeyPatch.context() as patch:
        page = _Page(path.name, folder, background)
        for block in blocks_of(text):
            if block.mark == "elsewhere":
                continue
            patch.chdir(page.folder)
            page.run(block)
    return page


class _Page:
    def __init__(self, name: str, folder: Path, background: ExitStack) -> None:
        self.name = name
        self.folder = folder
        self.namespace: dict[str, Any] = {"__name__": "page"}
        self._background = background

    def run(self, block: Block) -> None:
        where = f"{self.name}, line {block.line}"
        file = _FILE.match(block.text)
        if block.language == "console":
            for command in block.text.splitlines():
                self._command(command, block.mark, where)
        elif block.language == "json":
            self._set_params(json.loads(f"{{{block.text}}}"))
        elif file:
            place = self.folder / file["name"]
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(block.text, encoding="utf-8")
        else:
            padded = "\n" * block.line + block.text  # so that a traceback names the line of the page
            exec(compile(padded, self.name, "exec"), self.namespace)

    def _command(self, command: str, mark: str, where: str) -> None:
        program, *arguments = shlex.split(command)
        if program == "cd":
            self.folder /= arguments[0]
        elif program == "dcm-processor-service":
            ran = run_here(*arguments, folder=self.folder)
            assert (ran.code != 0) == (mark == "fails"), f"{where}: {command}\n{ran.stdout}\n{ran.stderr}"
        elif program == "pip":
            _assert_installable(arguments)
        elif program == "python" and mark == "background":
            self._background.enter_context(_running(arguments, self.folder))
        elif program == "python":
            finished = subprocess.run(
                [sys.executable, *arguments], cwd=self.folder, capture_output=True, text=True, check=False
            )
            assert finished.returncode == 0, f"{where}: {command}\n{finished.stdout}\n{finished.stderr}"
        else:
            assert command in {"python3 -m venv .venv", ". .venv/bin/activate"}, f"{where}: nobody runs {command!r}"

    def _set_params(self, part: dict[str, Any]) -> None:
        path = self.folder / "dcm-processor.json"
        manifest = json.loads(path.read_text(encoding="utf-8"))
        (job,) = manifest["service"]["jobs"]
        job |= part
        path.write_text(json.dumps(manifest), encoding="utf-8")


@contextmanager
def _running(arguments: list[str], folder: Path) -> Iterator[None]:
    """Runs a program that waits for Enter: enters the block when it asks for Enter, and presses it at the end."""
    with subprocess.Popen(
        [sys.executable, *arguments], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline(), f"{arguments} ended"
        try:
            yield
        finally:
            process.communicate("\n")
    assert process.returncode == 0


def _assert_installable(arguments: list[str]) -> None:
    """Asserts that a command of pip names this package, or pytest, with extras that exist."""
    command, *wanted = arguments
    assert command == "install"
    extras = set(_EXTRAS.findall((ROOT / "pyproject.toml").read_text(encoding="utf-8")))
    for one in map(Requirement, wanted):
        assert one.name in {"dcm-processor-service", "pytest"}
        assert one.extras <= extras
