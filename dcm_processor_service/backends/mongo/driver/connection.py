"""The driver's clients: made when needed, with the options of this package, and closed within a time limit."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from pymongo import ReadPreference
from pymongo.synchronous import monitor

from dcm_processor_service.backends.mongo.documents import CODEC
from dcm_processor_service.backends.mongo.driver.failures import translated_url
from dcm_processor_service.backends.mongo.driver.url_options import check_options, spelled_for_driver, url_options
from dcm_processor_service.errors import ConfigurationError, StoreError
from dcm_processor_service.ports.forks import SharedLock

if TYPE_CHECKING:
    from dcm_processor_service.backends.mongo.driver.modes import DriverMode
    from dcm_processor_service.ports import StoreLocation

__all__ = ["Handle", "LazyClient", "Patience"]

CLOSING_S = 0.5
"""The longest time that closing may take, because a server that hangs or is gone does not answer.

A healthy server answers within milliseconds. The process has to end within two seconds, and that includes everything
else that it closes, and the wait for a cancelled write.
"""

_NO_LIMIT_S = 3600.0


class Patience(NamedTuple):
    """Time limits in seconds: for finding a server, for one operation, and for progress of a transfer."""

    connect_s: float
    operation_s: float
    transfer_s: float


class Handle(NamedTuple):
    """A client of the driver, whether it has reached a server yet, and its collections by name."""

    client: Any
    reached: threading.Event
    collections: dict[str, Any]


class LazyClient:
    """A driver's clients, made at the first use: opening a backend neither connects nor resolves names.

    An asynchronous client belongs to one event loop, and no client survives a fork, so each loop and process has its
    own. Several threads may use this and share one client.
    """

    def __init__(self, location: StoreLocation, mode: DriverMode, options: dict[str, Any]) -> None:
        self._location = location
        self._mode = mode
        self._options = options
        self._url = spelled_for_driver(location.url)
        self._url_options = url_options(self._url)
        self._handles: dict[tuple[int, object], Handle] = {}
        self._closed = False
        self._lock = SharedLock()
        self.patience = self._patience()

    def __repr__(self) -> str:
        return f"LazyClient({self._location!r})"

    @property
    def selection_is_the_urls(self) -> bool:
        """Whether the URL sets the time limit for finding a server."""
        return "serverselectiontimeoutms" in self._url_options

    def handle(self) -> Handle:
        """Returns the client of this process and event loop; makes it at the first call.

        Raises:
            StoreError: The store is closed.
            ConfigurationError: The URL is malformed.
            StoreUnavailableError: The URL's SRV record cannot be looked up now.
        """
        scope = (os.getpid(), self._mode.scope())
        with self._lock:
            if self._closed:
                raise StoreError("the store is closed; use it inside the container or context manager that opened it")
            if scope not in self._handles:
                check_options(self._url_options)
                options = {**self._client_options(), **self._options}
                with translated_url():
                    client = self._mode.make(self._url, **options)
                self._handles[scope] = Handle(client, threading.Event(), {})
            return self._handles[scope]

    def collection(self, handle: Handle, name: str) -> Any:
        """Returns the driver's collection, made at the first call."""
        found = handle.collections.get(name)
        if found is None:
            # reads from the primary: a secondary may not have yet what an earlier job has just written
            database = handle.client.get_database(
                self._location.database, codec_options=CODEC, read_preference=ReadPreference.PRIMARY
            )
            found = handle.collections[name] = database[name]
        return found

    def _client_options(self) -> dict[str, Any]:
        """Returns the options for the driver, except those that the URL sets.

        ``timeoutMS`` limits each message of a transfer; every other operation sets its own limit.
        """
        wanted: dict[str, Any] = {
            "timeoutMS": _milliseconds(self.patience.transfer_s),
            "serverSelectionTimeoutMS": _milliseconds(self.patience.operation_s),
            "connectTimeoutMS": _milliseconds(self.patience.connect_s),
            **self._write_concern(),
        }
        options = {name: value for name, value in wanted.items() if name.lower() not in self._url_options}
        return {"connect": False, **options}

    def _write_concern(self) -> dict[str, Any]:
        """Returns the write concern: the majority of members, on disk; less if the settings or the URL ask for less."""
        named = self._url_options.keys() & {"w", "journal"}
        if self._url_options.get("w") == "0":
            raise ConfigurationError(
                "DCM-PROCESSOR-SERVICE-DB-URL has w=0, so MongoDB does not say whether it stored a value; leave it "
                "out, or set DCM-PROCESSOR-SERVICE-DURABILITY=fast"
            )
        if self._location.durability == "fast":
            return {} if named else {"w": 1}
        concern = {"w": "majority"}
        return concern if "journal" in named else {**concern, "journal": True}

    def _patience(self) -> Patience:
        """Returns the time limits of the URL, or else those of the location."""
        location, in_url = self._location, self._url_options
        whole_s = _seconds(in_url.get("timeoutms"))
        return Patience(
            _seconds(in_url.get("serverselectiontimeoutms")) or min(location.timeout_s, whole_s or _NO_LIMIT_S),
            whole_s or location.operation_timeout_s,
            whole_s or _seconds(in_url.get("sockettimeoutms")) or location.transfer_timeout_s,
        )

    def close(self) -> None:
        """Closes the clients of this process within half a second; does nothing while the interpreter ends."""
        with self._lock:
            self._closed = True
            own = [handle.client for (pid, _scope), handle in self._handles.items() if pid == os.getpid()]
            self._handles.clear()
        if not own or sys.is_finalizing():
            return
        _end_without_waiting_for_monitors()
        closing = [threading.Thread(target=self._mode.close, args=(client,), daemon=True) for client in own]
        with suppress(
            RuntimeError
        ):  # no thread can be started, because the process is ending; that also ends its connections
            for thread in closing:
                thread.start()
        deadline = time.monotonic() + CLOSING_S
        for thread in closing:
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))


def _end_without_waiting_for_monitors() -> None:
    """Lets the process end without waiting half a second or more for the driver's monitors.

    The monitors are daemon threads. When the process ends, they only sleep, or wait for a server that nothing uses
    any more.
    """
    hook = getattr(monitor, "_shutdown_resources", None)
    if hook is not None:
        atexit.unregister(hook)


def _seconds(milliseconds: str | None) -> float:
    """Returns the seconds of an option; 0 if it is not set, or not a number, which is refused later."""
    try:
        value = float(milliseconds or "")
    except ValueError:
        return 0.0
    return value / 1000 if value > 0 else _NO_LIMIT_S


def _milliseconds(seconds: float) -> int:
    return max(1, int(seconds * 1000))
