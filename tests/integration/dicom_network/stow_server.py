"""A STOW-RS service on the loopback interface that gives the answers that a test orders."""

from __future__ import annotations

import json
import threading
from collections import deque
from contextlib import contextmanager
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import TYPE_CHECKING, Any

from pydicom import Dataset, dcmread

from dcm_processor_service.models import Peer

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Sequence

Answer = tuple[int, dict[str, str], bytes]


def store_response(stored: dict[str, int], failed: dict[str, int] | None = None) -> bytes:
    """Returns the body of an answer with these status codes by SOPInstanceUID."""

    def items(codes: dict[str, int], reason: str) -> dict[str, Any]:
        values = []
        for uid, code in codes.items():
            item: dict[str, Any] = {"00081155": {"vr": "UI", "Value": [uid]}}
            if code:
                item[reason] = {"vr": "US", "Value": [code]}
            values.append(item)
        return {"vr": "SQ", "Value": values}

    return json.dumps({"00081199": items(stored, "00081196"), "00081198": items(failed or {}, "00081197")}).encode()


class StowService:
    """What it received, and what it will answer with: stored, when nothing is ordered; and to queries."""

    def __init__(self) -> None:
        self.requests: list[list[Dataset]] = []
        self.authorizations: list[str | None] = []
        self.paths: list[str] = []
        self.orders: deque[Callable[[list[str]], Answer]] = deque()
        self.told: tuple[int, bytes] = 501, b""
        self.port = 0
        self.scheme = "http"

    @property
    def peer(self) -> Peer:
        """The peer with which to reach the service."""
        url = f"{self.scheme}://localhost:{self.port}/dicom-web/"
        return Peer(name="WEB", ae_title="WEB", host="localhost", port=self.port, url=url)

    def answer(self, datasets: Sequence[Dataset]) -> Answer:
        """Answers a request."""
        self.requests.append(list(datasets))
        uids = [str(dataset.SOPInstanceUID) for dataset in datasets]
        if self.orders:
            return self.orders.popleft()(uids)
        return 200, {"Content-Type": "application/dicom+json"}, store_response(dict.fromkeys(uids, 0))


@contextmanager
def running_stow_service(context: ssl.SSLContext | None = None) -> Iterator[StowService]:
    """Runs the service while the ``with`` block runs."""
    service = StowService()

    class Handler(BaseHTTPRequestHandler):
        timeout = 10  # a time-out for clients that connect but send nothing

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            service.authorizations.append(self.headers["Authorization"])
            head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
            parts = [part for part in message_from_bytes(head + body).walk() if not part.is_multipart()]
            contents = [part.get_payload(decode=True) for part in parts]
            service.paths.append(self.path)
            known = self.path.partition("?")[0] == "/dicom-web/studies"
            datasets = [dcmread(BytesIO(content)) for content in contents if isinstance(content, bytes)]
            status, headers, answer = service.answer(datasets) if known else (404, {}, b"")
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(answer))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def do_GET(self) -> None:
            service.paths.append(self.path)
            status, content = service.told
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_arguments: object) -> None:
            """Says nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = False  # closing the server waits for these threads

        def handle_error(self, *_arguments: object) -> None:
            """Says nothing."""

    server = Server(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        service.scheme = "https"
    service.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
