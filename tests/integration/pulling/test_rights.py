"""``pull`` with a MongoDB user that has the rights of docs/pulling.md, and with one that lacks one of them."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from pymongo import MongoClient

from tests.command_line import ROOT, Ran, run_here
from tests.faults.mongo.servers import running_standalone
from tests.integration.pulling.conftest import Session, made_session

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.mongodb

ADMIN = "admin:secret"
SENTENCE = re.search(
    r"needs `find` on (.*?)\.\s", (ROOT / "docs" / "pulling.md").read_text(encoding="utf-8"), re.DOTALL
)
assert SENTENCE is not None
COLLECTIONS = re.findall(r"`([\w.]+)`", SENTENCE[1])


@pytest.fixture(scope="module")
def guarded() -> Iterator[tuple[str, Session]]:
    """A server that asks for a login: its URL without one, and a session there."""
    with running_standalone("--auth") as server:
        name, password = ADMIN.split(":")
        with MongoClient[dict[str, Any]](server.url) as first:
            first.admin.command("createUser", name, pwd=password, roles=["root"])
        url = server.url.replace("//", f"//{ADMIN}@")
        with MongoClient[dict[str, Any]](url, tz_aware=True) as client:
            database = client[f"pulling_{uuid.uuid4().hex[:12]}"]
            yield server.url, made_session(database, url)


def pulled_by_user(guarded: tuple[str, Session], collections: list[str], folder: Path) -> Ran:
    """Pulls as a new user who may read these collections."""
    url, session = guarded
    name = uuid.uuid4().hex
    resources = [{"db": session.database.name, "collection": one} for one in collections]
    privileges = [{"resource": one, "actions": ["find"]} for one in resources]
    admin = session.database.client.admin
    admin.command("createRole", name, privileges=privileges, roles=[])
    admin.command("createUser", name, pwd="secret", roles=[name])
    parts = urlsplit(url.replace("//", f"//{name}:secret@") + "&authSource=admin")
    address = urlunsplit(parts._replace(path=f"/{session.database.name}"))
    return run_here("pull", session.id, "--from", address, "--workspace", folder)


def test_the_rights_of_the_page_are_enough(guarded: tuple[str, Session], tmp_path: Path) -> None:
    ran = pulled_by_user(guarded, COLLECTIONS, tmp_path / "night")
    assert ran.code == 0, ran.stderr


@pytest.mark.parametrize("missing", COLLECTIONS)
def test_each_of_them_is_needed_and_what_was_begun_is_removed(
    guarded: tuple[str, Session], missing: str, tmp_path: Path
) -> None:
    ran = pulled_by_user(guarded, [one for one in COLLECTIONS if one != missing], tmp_path / "night")
    assert ran.code == 2
    assert "secret" not in ran.stderr
    assert list((tmp_path / "night").glob("*")) == []
