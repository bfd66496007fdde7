"""Each command with a MongoDB user that has the rights of docs/operations.md, and with one that lacks one of them."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from pymongo import MongoClient

from dcm_processor_service import RuntimeSettings, explain_session, list_sessions, retry_session, sweep_sessions
from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.models.platform_ids import NO_ID
from tests.command_line import ROOT
from tests.faults.mongo.servers import running_standalone
from tests.integration.operations.conftest import DIED, LOST, Platform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Work = Callable[[Platform, str, RuntimeSettings], object]

pytestmark = pytest.mark.mongodb

ADMIN = "admin:secret"
DOCUMENT = ROOT / "docs" / "operations.md"

Rights = dict[str, set[str]]


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


@dataclass
class Guarded:
    """A server that asks for a login."""

    url: str
    client: MongoClient[dict[str, Any]]

    def settings(self, database: str, rights: Rights) -> RuntimeSettings:
        """Settings with a user of a new role, which has these rights on the database."""
        name = uuid.uuid4().hex
        privileges = [
            {"resource": {"db": database, "collection": collection}, "actions": sorted(actions)}
            for collection, actions in rights.items()
            if actions
        ]
        self.client.admin.command("createRole", name, privileges=privileges, roles=[])
        self.client.admin.command("createUser", name, pwd="secret", roles=[name])
        return self.settings_of(f"{name}:secret", database)

    def settings_of(self, login: str, database: str) -> RuntimeSettings:
        url = self.url.replace("//", f"//{login}@") + "&authSource=admin"
        return RuntimeSettings.without_environment(
            db_provider="mongodb",
            db_url=url,
            db_name=database,
            session_id=NO_ID,
            job_id=NO_ID,
            durability="fast",
        )


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    with running_standalone("--auth") as server:
        name, password = ADMIN.split(":")
        with MongoClient[dict[str, Any]](server.url) as first:
            first.admin.command("createUser", name, pwd=password, roles=["root"])
        url = server.url.replace("//", f"//{ADMIN}@")
        with MongoClient[dict[str, Any]](url, tz_aware=True) as client:
            yield Guarded(server.url, client)


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
    with pytest.raises(ConfigurationError, match="lacks the right"):
        COMMANDS[command](platform, made.id, settings)


def test_who_may_look_may_neither_retry_nor_sweep(guarded: Guarded, platform: Platform) -> None:
    made = platform.session(segment=DIED)
    settings = guarded.settings(platform.database.name, rights_of("why"))
    for command in ("retry", "sweep"):
        with pytest.raises(ConfigurationError, match="lacks the right"):
            COMMANDS[command](platform, made.id, settings)
    assert platform.count("sessions") == {"sessions": 2}
