"""Counts the commands that each function sends to the database; runs with our package and with the 0.0.1 API.

Prints one JSON object: for each call the collections that its commands went to, in order.
"""

from __future__ import annotations

import json
from io import BytesIO
from typing import TYPE_CHECKING, Any

from pymongo import monitoring

if TYPE_CHECKING:
    from collections.abc import Callable

Calls = dict[str, "Callable[[], object]"]


class Listener(monitoring.CommandListener):
    """Notes where each command goes."""

    def __init__(self) -> None:
        self.collections: list[str] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        """Takes the collection, which is the value of the command's own name but for ``getMore``."""
        command = event.command
        self.collections.append(str(command.get("collection", command[event.command_name])))

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Counts nothing."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Counts nothing."""


def functions() -> Calls:
    """The 0.0.1 API's functions, in an order in which each finds what it needs."""
    import dcm_processor_service as sdk

    return {
        "set_session_data, first": lambda: sdk.set_session_data("value", 1),
        "set_session_data, again": lambda: sdk.set_session_data("value", 2),
        "get_session_data": lambda: sdk.get_session_data("value"),
        "get_session_data, job_name": lambda: sdk.get_session_data("value", job_name="producer"),
        "has_session_data": lambda: sdk.has_session_data("value"),
        "remove_session_data": lambda: sdk.remove_session_data("value"),
        "upload_session_file, first": lambda: sdk.upload_session_file(BytesIO(b"old"), "file.bin"),
        "upload_session_file, again": lambda: sdk.upload_session_file(BytesIO(b"new"), "file.bin"),
        "get_session_file": lambda: sdk.get_session_file("file.bin"),
        "has_session_file": lambda: sdk.has_session_file("file.bin"),
        "download_session_file": lambda: sdk.download_session_file("file.bin"),
        "remove_session_file": lambda: sdk.remove_session_file("file.bin"),
        "get_peer": lambda: sdk.get_peer(),  # noqa: PLW0108  looked up when it is called, as the others
        "get_peer, name": lambda: sdk.get_peer("scanner"),
    }


def facades(session: Any) -> Calls:
    """Our own calls, in the same manner."""
    data, files = session.data, session.files
    return {
        "data.set, first": lambda: data.set("value", 1),
        "data.set, again": lambda: data.set("value", 2),
        "data.get": lambda: data.get("value"),
        "data.get, job": lambda: data.get("value", job="producer"),
        "data.has": lambda: data.has("value"),
        "data.keys": data.keys,
        "data.items": data.items,
        "data.increment": lambda: data.increment("value"),
        "data.compare_and_set": lambda: data.compare_and_set("value", 3, 4),
        "data.collect": lambda: data.collect("value", job="producer"),
        "data.delete": lambda: data.delete("value"),
        "files.put, first": lambda: files.put("file.bin", b"old"),
        "files.put, again": lambda: files.put("file.bin", b"new"),
        "files.info": lambda: files.info("file.bin"),
        "files.has": lambda: files.has("file.bin"),
        "files.read": lambda: files.read("file.bin"),
        "files.list": files.list,
        "files.delete": lambda: files.delete("file.bin"),
        "peers.current": session.peers.current,
    }


def counted(calls: Calls, listener: Listener) -> dict[str, list[str]]:
    """Makes each call once; gives the collections of its commands."""
    found = {}
    for label, call in calls.items():
        listener.collections.clear()
        call()
        found[label] = list(listener.collections)
    return found


def main() -> None:
    listener = Listener()
    monitoring.register(listener)  # before any client is made
    import dcm_processor_service

    counts = {"functions": counted(functions(), listener)}
    if hasattr(dcm_processor_service, "Container"):
        with dcm_processor_service.opened(dcm_processor_service.Container()) as container:
            counts["facades"] = counted(facades(container.session()), listener)
    print(json.dumps(counts))  # noqa: T201  its last line is the answer


if __name__ == "__main__":
    main()
