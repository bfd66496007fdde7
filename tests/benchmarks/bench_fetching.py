"""How fast 300 CT instances come from Orthanc: ours by C-GET and WADO-RS, DCMTK's ``getscu``, and a bare socket.

    python -m tests.benchmarks.bench_fetching [--count 300] [--rounds 3]

Interleaved rounds, each into an empty folder; medians. Ours is the whole fetch: it lists the series and instances,
examines each that comes to its last byte, and keeps the files; ``getscu`` writes what comes (``--bit-preserving``). The
bare socket answers each instance and throws it away: as fast as the archive gives.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import struct
import subprocess
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pydicom import Dataset
from pydicom.uid import ImplicitVRLittleEndian

from dcm_processor_service.dicom_network.dimse import command_set, negotiation
from dcm_processor_service.dicom_network.dimse.negotiation import ProposedContext
from dcm_processor_service.dicom_network.dimse.query import encoded_identifier
from dcm_processor_service.dicom_network.retrieval.contexts import storage_contexts
from dcm_processor_service.dicom_network.retrieval.lines import QUERY_SYNTAXES, STUDY_ROOT_GET
from dcm_processor_service.dicom_network.retrieval.retriever import DicomRetriever
from dcm_processor_service.dicom_network.sender import PynetdicomSender
from dcm_processor_service.models import FindQuery
from tests.archives import program, running_orthanc
from tests.unit.dicom_network.instances import make_ct

if TYPE_CHECKING:
    from collections.abc import Callable

    from dcm_processor_service.models import Peer


def ours(peer: Peer, folder: Path) -> float:
    """Seconds of our own fetch, from the question to the last file."""
    retriever = DicomRetriever("BENCH")
    start = time.perf_counter()
    report = retriever.fetch(retriever.find(peer, FindQuery(patient_id="TEST")), peer, folder)
    seconds = time.perf_counter() - start
    assert report.ok
    return seconds


def getscu(peer: Peer, folder: Path) -> float:
    """Seconds of DCMTK's program."""
    keys = ("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={make_ct().StudyInstanceUID}")
    command = [program("getscu"), "-S", "-aet", "BENCH", "-aec", peer.ae_title, "--bit-preserving", "-od", str(folder)]
    start = time.perf_counter()
    subprocess.run([*command, *keys, peer.host, str(peer.port)], check=True, capture_output=True)
    return time.perf_counter() - start


def bare(peer: Peer, _folder: Path) -> float:
    """Seconds until all has come over a socket that keeps nothing of it."""
    contexts = (ProposedContext(STUDY_ROOT_GET, QUERY_SYNTAXES), *storage_contexts([str(make_ct().SOPClassUID)]))
    query = Dataset()
    query.QueryRetrieveLevel, query.StudyInstanceUID = "STUDY", make_ct().StudyInstanceUID
    start = time.perf_counter()
    with socket.create_connection((peer.host, peer.port)) as connection, connection.makefile("rb") as stream:
        connection.sendall(negotiation.request(peer, contexts, "BENCH"))
        agreed = negotiation.accepted(_pdu(stream)[6:], contexts).agreed
        (identifier,) = encoded_identifier(query, implicit=agreed[1].transfer_syntax_uid == ImplicitVRLittleEndian)(
            4096
        )
        connection.sendall(_data(1, command_set.c_get_rq(1, STUDY_ROOT_GET), 3) + _data(1, identifier, 2))
        command: command_set.CommandSet = {}
        while command_set.us(command, command_set.STATUS) != 0:
            body = memoryview(_pdu(stream))[6:]
            while body:
                length, context_id, control = struct.unpack_from(">IBB", body)
                if control & 1:
                    command = command_set.decode(bytes(body[6 : 4 + length]))
                elif control & 2:
                    connection.sendall(_data(context_id, command_set.c_store_rsp(command, 0), 3))
                body = body[4 + length :]
    return time.perf_counter() - start


def _pdu(stream: BinaryIO) -> bytes:
    head = stream.read(6)
    return head + stream.read(int.from_bytes(head[2:], "big"))


def _data(context_id: int, content: bytes, control: int) -> bytes:
    return struct.pack(">BBIIBB", 4, 0, len(content) + 6, len(content) + 2, context_id, control) + content


def main() -> None:
    """Runs the benchmark, and prints medians and the ratios to getscu."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, running_orthanc(Path(name)) as orthanc:
        made = [make_ct(number, rows=512) for number in range(options.count)]
        assert PynetdicomSender("BENCH").send(made, orthanc.peer).ok
        web = orthanc.peer.model_copy(update={"url": f"{orthanc.url}/dicom-web"})
        ways: dict[str, Callable[[Path], float]] = {
            "ours, C-GET": partial(ours, orthanc.peer),
            "ours, WADO-RS": partial(ours, web),
            "getscu": partial(getscu, orthanc.peer),
            "bare socket": partial(bare, orthanc.peer),
        }
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(options.rounds):
            for way, fetch in ways.items():
                with tempfile.TemporaryDirectory() as folder:
                    seconds[way].append(fetch(Path(folder)))
                    kept = sum(path.is_file() for path in Path(folder).rglob("*"))
                    assert kept == (0 if way == "bare socket" else options.count)
    base = statistics.median(seconds["getscu"])
    for way, times in seconds.items():
        median = statistics.median(times)
        line = f"{way:16} {median:7.2f} s ({min(times):.2f}-{max(times):.2f})  {base / median:6.1f} x getscu"
        print(line)  # noqa: T201  what a benchmark is for


if __name__ == "__main__":
    main()
