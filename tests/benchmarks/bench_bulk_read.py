"""A series out of GridFS: bulk against one by one, on loopback and behind 2 ms more for each round trip.

Run it with ``python -m tests.benchmarks.bench_bulk_read``; read the ratios, not the seconds.
"""

from __future__ import annotations

import os
import socket
import statistics
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gridfs import GridFSBucket
from pymongo import MongoClient
from rich.console import Console

from dcm_processor_service.backends.mongo.driver.blocking import open_blocking
from dcm_processor_service.models import Instance
from dcm_processor_service.ports import StoreLocation, inline
from dcm_processor_service.ports.concurrency import iterate_inline
from tests.mongod import running_mongod

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bson import ObjectId

    Read = Callable[[list[ObjectId]], int]

INSTANCES = 300
INSTANCE_BYTES = 512 * 1024
ROUNDS = 9
DELAY_S = 0.002


@contextmanager
def slower(host: str, port: int) -> Iterator[int]:
    """A proxy on a free loopback port that holds every request back for a while."""
    listener = socket.create_server(("127.0.0.1", 0))

    def forward(source: socket.socket, sink: socket.socket, delay_s: float) -> None:
        try:
            while block := source.recv(1 << 18):
                if delay_s:
                    time.sleep(delay_s)
                sink.sendall(block)
        except OSError:
            pass  # the other side is gone
        finally:
            for end in (source, sink):
                end.close()

    def accept() -> None:
        while True:
            try:
                client, _address = listener.accept()
            except OSError:
                return  # the listener is closed
            server = socket.create_connection((host, port))
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=forward, args=(client, server, DELAY_S), daemon=True).start()
            threading.Thread(target=forward, args=(server, client, 0.0), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


@contextmanager
def one_by_one(url: str) -> Iterator[Read]:
    """As the predecessor reads: file after file through GridFSBucket."""
    with MongoClient[dict[str, Any]](url) as client:
        bucket = GridFSBucket(client["bench"], "dicomfiles")
        yield lambda ids: sum(len(bucket.open_download_stream(file_id).read()) for file_id in ids)


@contextmanager
def in_bulk(url: str) -> Iterator[Read]:
    """As this package reads."""
    with open_blocking(StoreLocation(url, "bench", 30.0, "blocking"), inline) as backend:

        def read(ids: list[ObjectId]) -> int:
            instances = [Instance(id=str(file_id), size_bytes=INSTANCE_BYTES) for file_id in ids]
            found = iterate_inline(backend.dicom.fetch(instances))
            return sum(len(content) for _one, content in found if isinstance(content, bytes))

        yield read


def measured(url: str, ids: list[ObjectId]) -> tuple[float, float]:
    """Returns the median seconds of both ways, their rounds taken in turn, by clients that are connected already."""
    with one_by_one(url) as single, in_bulk(url) as bulk:
        seconds: dict[Read, list[float]] = {single: [], bulk: []}
        for read in seconds:
            read(ids[:1])
        for _round in range(ROUNDS):
            for read, times in seconds.items():
                started = time.perf_counter()
                if read(ids) != INSTANCES * INSTANCE_BYTES:
                    raise RuntimeError("not everything was read")
                times.append(time.perf_counter() - started)
        return statistics.median(seconds[single]), statistics.median(seconds[bulk])


def main() -> None:
    """Prints the ratios."""
    with running_mongod() as url:
        with MongoClient[dict[str, Any]](url) as client:
            bucket = GridFSBucket(client["bench"], "dicomfiles")
            content = os.urandom(INSTANCE_BYTES)
            ids = [bucket.upload_from_stream(f"{number}.dcm", content) for number in range(INSTANCES)]
        parts = urlsplit(url)
        with slower(str(parts.hostname), int(parts.port or 0)) as port:
            slow_url = f"mongodb://127.0.0.1:{port}/?directConnection=true"
            for place, where in (("loopback", url), (f"{DELAY_S * 1000:g} ms more a round trip", slow_url)):
                single_s, bulk_s = measured(where, ids)
                ratio = f"{single_s / bulk_s:.1f} times as fast"
                Console().print(f"{place}: one by one {single_s:.2f} s, bulk {bulk_s:.2f} s: {ratio}")


if __name__ == "__main__":
    main()
