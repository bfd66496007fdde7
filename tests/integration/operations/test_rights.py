"""Each command with a MongoDB user that has the rights of docs/operations.md, and with one that lacks one of them."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from dcm_processor_service import RuntimeSettings, explain_session, list_sessions, retry_session, sweep_sessions
from dcm_processor_service.errors import ConfigurationError
from tests.command_line import ROOT
from tests.integration.operations.conftest import DIED, LOST, Guarded, Platform, Rights

if TYPE_CHECKING:
    from collections.abc import Callable

    Work = Callable[[Platform, str, RuntimeSettings], object]

pytestmark = pytest.mark.mongodb

DOCUMENT = ROOT / "docs" / "operations.md"


def row_rights() -> list[tuple[set[str], set[str], set[str]]]:
    """The rows of the table: commands, collections, actions."""
    text = DOCUMENT.read_text(encoding="utf-8").partition("## Rights")[2]
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| `")]
    return [tuple({*re.findall(r"`([^`]+)`", cell)} for cell in row) for row in rows]  # type: ignore[misc]  # three


def rights_of(command: str) -> Rights:
    """What the table gives a command."""
    found: Rights = {}
    for commands, collections, actions in row_rights():
        if command in commands:
            for collection in collections:
                found.setdefault(collection, set()).update(actions)
    return found


@pytest.fixture
def platform(guarded: Guarded) -> Platform:
    """Two dead sessions, one of them lost, in a database of their own."""
    database = guarded.client[f"operations_{uuid.uuid4().hex[:12]}"]
    made = Platform(database, guarded.url)
    made.install("def worker(): ...")
    made.session(segment=LOST)
    return made


COMMANDS: dict[str, Work] = {
    "list": lambda _platform, _session_id, settings: list_sessions(settings=settings),
    "why": lambda _platform, session_id, settings: explain_session(session_id, settings=settings),
    "retry": lambda _platform, session_id, settings: retry_session(session_id, settings=settings),
    "sweep": lambda _platform, _session_id, settings: sweep_sessions(timedelta(days=7), settings=settings),
    "sweep --dry-run": lambda _platform, _session_id, settings: sweep_sessions(
        timedelta(days=7), dry_run=True, settings=settings
    ),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_listed_rights_suffice(guarded: Guarded, platform: Platform, command: str) -> None:
    made = platform.session(segment=DIED)
    settings = guarded.settings(platform.database.name, rights_of(command))
    COMMANDS[command](platform, made.id, settings)
    if command == "sweep":
        assert platform.count("sessions", "patients", "dicomfiles.chunks", "sessionfiles.chunks") == dict.fromkeys(
            ("sessions", "patients", "dicomfiles.chunks", "sessionfiles.chunks"), 0
        )


@pytest.mark.parametrize(
    ("command", "collection", "action"),
    [
        (command, collection, action)
        for command in COMMANDS
        for collection, actions in sorted(rights_of(command).items())
        for action in sorted(actions)
    ],
)
def test_no_right_of_the_list_can_be_left_out(
    guarded: Guarded, platform: Platform, command: str, collection: str, action: str
) -> None:
    made = platform.session(segment=DIED)
    needed = rights_of(command)
    settings = guarded.settings(platform.database.name, {**needed, collection: needed[collection] - {action}})
    with pytest.raises(ConfigurationError, match="lacks a right"):
        COMMANDS[command](platform, made.id, settings)


def test_who_may_look_may_neither_retry_nor_sweep(guarded: Guarded, platform: Platform) -> None:
    made = platform.session(segment=DIED)
    settings = guarded.settings(platform.database.name, rights_of("why"))
    for command in ("retry", "sweep"):
        with pytest.raises(ConfigurationError, match="lacks a right"):
            COMMANDS[command](platform, made.id, settings)
    assert platform.count("sessions") == {"sessions": 2}
