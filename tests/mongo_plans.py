"""How MongoDB executes commands: which index each uses, and how many documents it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bson import BSON
from pymongo.monitoring import CommandListener

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo.database import Database
    from pymongo.monitoring import CommandFailedEvent, CommandStartedEvent, CommandSucceededEvent

__all__ = ["TESTS", "Commands", "examined", "explained", "profile", "scanned", "whole_collections_read"]

TESTS = "tests"
"""The application name of the tests' own client, by which its commands are known in the server's profile."""

_LAST: dict[str, Any] = {}
"""By database, the time of the newest command in the profile when it was last read."""


_EXPLAINED = frozenset({"find", "aggregate", "update", "delete", "findAndModify"})
_KEPT = {
    "find": ("find", "filter", "sort", "projection", "limit"),
    "aggregate": ("aggregate", "pipeline", "cursor"),
    "update": ("update", "updates"),
    "delete": ("delete", "deletes"),
    "findAndModify": ("findAndModify", "query", "sort", "remove", "update", "upsert"),
}


class Commands(CommandListener):
    """Keeps every command that reaches the server, as a copy, and the number of bytes that they have."""

    def __init__(self) -> None:
        self.all: list[dict[str, Any]] = []
        self.sent_bytes = 0

    def started(self, event: CommandStartedEvent) -> None:
        command = BSON.encode(event.command)
        self.sent_bytes += len(command)
        if event.command_name in _EXPLAINED:
            self.all.append({name: value for name, value in event.command.items() if name in _KEPT[event.command_name]})
        else:
            self.all.append({event.command_name: event.command[event.command_name]})

    def succeeded(self, event: CommandSucceededEvent) -> None: ...

    def failed(self, event: CommandFailedEvent) -> None: ...

    def names(self) -> list[str]:
        return [f"{name} {command[name]}" for command in self.all for name in [next(iter(command))]]

    def clear(self) -> None:
        self.all, self.sent_bytes = [], 0


def explained(database: Database[dict[str, Any]], command: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the server's explanation of each part of a command, with the statistics of its execution.

    Changes nothing: an update or a removal that is explained is not done.
    """
    name = next(iter(command))
    if name not in _EXPLAINED:
        return []
    parts = [command]
    if name in {"update", "delete"}:
        field = f"{name}s"
        parts = [{name: command[name], field: [part]} for part in command[field]]
    return [database.command({"explain": part, "verbosity": "executionStats"}) for part in parts]


def scanned(account: dict[str, Any]) -> bool:
    """Returns whether the plan reads a whole collection."""
    return any(stage.get("stage") == "COLLSCAN" for stage in _stages(account.get("queryPlanner", account)))


def examined(account: dict[str, Any]) -> int:
    """Returns how many documents the server looks at."""
    statistics = account.get("executionStats") or account["stages"][0]["$cursor"]["executionStats"]
    count: int = statistics["totalDocsExamined"]
    return count


def profile(database: Database[dict[str, Any]]) -> None:
    """Makes the server record every command on a database, with the plan by which it was executed."""
    database.create_collection("system.profile", capped=True, size=32 * 1024 * 1024)
    database.command("profile", 2)


def whole_collections_read(database: Database[dict[str, Any]]) -> list[str]:
    """Returns the commands since the last call that read a whole collection, though they do not ask for all of it.

    Leaves out commands of the tests themselves, and the list of all peers.
    """
    last = _LAST.get(database.name)
    query = {"planSummary": {"$regex": "COLLSCAN"}, "appName": {"$ne": TESTS}}
    rows = list(database["system.profile"].find(query | ({"ts": {"$gt": last}} if last else {})))
    newest = database["system.profile"].find_one(sort=[("$natural", -1)])
    _LAST[database.name] = newest["ts"] if newest else None
    return [str(row["command"]) for row in rows if not _asks_for_all(row["command"])]


def _asks_for_all(command: dict[str, Any]) -> bool:
    return command.get("find") in {"peers", "dicomnodes"} and not command.get("filter")


def _stages(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if "stage" in node:
            yield node
        for key, value in node.items():
            if key != "rejectedPlans":
                yield from _stages(value)
    elif isinstance(node, list):
        for item in node:
            yield from _stages(item)
