"""QIDO-RS and WADO-RS over the instances that an archive of this process holds, on the loopback interface."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qsl, urlsplit

from pydicom import Dataset

from dcm_processor_service.testing.fake_query import answers
from dcm_processor_service.testing.fake_retrieval import file_of, to_send

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dcm_processor_service.testing.fake_faults import Faults

    class Holder(Protocol):
        """An archive: the instances that it holds and the requests that it received."""

        faults: Faults
        received: dict[str, bytes]
        queries: list[Dataset]
        retrievals: list[Dataset]

        def datasets(self) -> list[Dataset]:
            """Returns the instances that it holds."""


__all__ = ["serving_web"]

_LEVELS = {"studies": "STUDY", "series": "SERIES", "instances": "IMAGE"}
_KEYS = {"studies": "StudyInstanceUID", "series": "SeriesInstanceUID", "instances": "SOPInstanceUID"}
_ROOT = "/dicom-web/"
_BOUNDARY = "part-of-the-fake"
_PATIENCE_S = 30.0  # for a client that connects and sends nothing; a busy machine takes long for a request
_POLL_S = 0.02
_LONGEST_PAGE = 100  # even if a request asks for more, as with many services


class _WebServer(ThreadingHTTPServer):
    daemon_threads = False  # closing the server waits for them

    def __init__(self, pacs: Holder, drop_after: Callable[[], int | None]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pacs = pacs
        self.drop_after = drop_after
        self._accepted: list[socket.socket] = []

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        request, address = super().get_request()
        self._accepted.append(request)
        return request, address

    def server_close(self) -> None:
        """Waits for the answers under way; open connections accept no further request."""
        for request in self._accepted:
            with suppress(OSError):  # the connection is closed already
                request.shutdown(socket.SHUT_RD)
        super().server_close()

    def handle_error(self, *_arguments: object) -> None:
        """Logs nothing: a client may disconnect at any time."""


class _Handler(BaseHTTPRequestHandler):
    timeout = _PATIENCE_S
    server: _WebServer

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        steps = url.path.removeprefix(_ROOT).strip("/").split("/")
        query = _identifier(steps)
        if query is None or not url.path.startswith(_ROOT):
            self.send_error(404)
        elif len(steps) % 2:
            self._find(query, parse_qsl(url.query))
        else:
            self._send_instances(query)

    def _find(self, query: Dataset, pairs: list[tuple[str, str]]) -> None:
        pacs, given = self.server.pacs, dict(pairs)
        for keyword, value in pairs:
            if keyword == "includefield" and value not in query:
                setattr(query, value, None)
        for keyword, value in pairs:
            if keyword not in {"includefield", "limit", "offset"}:
                setattr(query, keyword, value.split(",") if keyword.endswith("UID") else value)
        pacs.queries.append(query)
        if pacs.faults.query != "ok" or query.QueryRetrieveLevel in pacs.faults.refuses_levels:
            self.send_error(503 if pacs.faults.query == "fail" else 501)
            return
        found = list(answers(pacs.datasets(), query, ignored=pacs.faults.ignores_keys, untold=pacs.faults.untold_keys))
        first = int(given.get("offset", 0))
        page = found[first : first + min(int(given.get("limit", _LONGEST_PAGE)), _LONGEST_PAGE)]
        self._answer("application/dicom+json", json.dumps([one.to_json_dict() for one in page]).encode())

    def _send_instances(self, query: Dataset) -> None:
        pacs = self.server.pacs
        pacs.retrievals.append(query)
        instances = to_send(pacs.received, query, pacs.faults)
        if pacs.faults.retrieve_status or not instances:
            self.send_error(503 if pacs.faults.retrieve_status else 404)
            return
        head = f"--{_BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        parts = [head + file_of(one) + b"\r\n" for one in instances]
        end = self.server.drop_after()
        cut = None if end is None else sum(map(len, parts[:end])) + len(parts[min(end, len(parts) - 1)]) // 2
        body = b"".join(parts) + f"--{_BOUNDARY}--\r\n".encode()
        self._answer(f'multipart/related; type="application/dicom"; boundary={_BOUNDARY}', body, cut)

    def _answer(self, content_type: str, body: bytes, cut: int | None = None) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:cut])
        self.close_connection = cut is not None

    def log_message(self, *_arguments: object) -> None:
        """Logs nothing."""


@contextmanager
def serving_web(pacs: Holder, drop_after: Callable[[], int | None]) -> Iterator[str]:
    """Serves the instances of an archive while the block runs; yields the root URL.

    Args:
        pacs: The archive.
        drop_after: Called for each WADO-RS answer; returns after how many instances the answer is cut off.
    """
    server = _WebServer(pacs, drop_after)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": _POLL_S}, name="fake-web")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}{_ROOT}".rstrip("/")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _identifier(steps: list[str]) -> Dataset | None:
    """Returns the query of a path: ``studies/1.2/series`` lists the series of a study; None for any other path."""
    if any(step not in _LEVELS for step in steps[::2]):
        return None
    query = Dataset()
    query.QueryRetrieveLevel = _LEVELS[steps[-1] if len(steps) % 2 else steps[-2]]
    for kind, uid in zip(steps[::2], steps[1::2], strict=False):
        setattr(query, _KEYS[kind], uid)
    return query
