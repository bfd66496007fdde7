"""How fast 300 CT instances reach an archive: ours, DCMTK's ``storescu`` and the predecessor's sender.

    python -m tests.benchmarks.bench_sending [--count 300] [--rounds 3] [--skip-predecessor]

Interleaved rounds, each to an empty archive; medians. Ours and the predecessor are timed inside their processes,
without imports; ``storescu`` as a process, which starts in about 20 ms.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dcm_processor_service.dicom_network.sender import PynetdicomSender
from dcm_processor_service.models import Peer, SendOptions
from tests.archives import program, running_orthanc, running_storescp
from tests.unit.dicom_network.instances import make_ct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.archives import StoreScp

PUBLISHED = ("dcm-processor-service==0.0.1", "pydicom==3.0.1", "pynetdicom==3.0.4", "numpy==2.2.6")

# the published package's own __init__ needs libmagic and a database: its sender is loaded by itself
PREDECESSOR = """
import importlib.util, sys, sysconfig, time
from pathlib import Path
path = Path(sysconfig.get_path("purelib"), "dcm_processor_service", "dicom_network", "dicom_sender.py")
spec = importlib.util.spec_from_file_location("predecessor", path)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
sender = module.DicomSender("BENCH", sys.argv[2], int(sys.argv[3]), server_ae_title=sys.argv[4])
start = time.perf_counter()
statuses = sender.send_dicom_from_path(sys.argv[1])
seconds = time.perf_counter() - start
assert statuses and all(status.Status == 0 for status in statuses), statuses
print(seconds)
"""


def ours(folder: Path, peer: Peer, associations: int = 1) -> float:
    """Seconds of our own sender."""
    start = time.perf_counter()
    report = PynetdicomSender("BENCH").send(folder, peer, options=SendOptions(associations=associations))
    seconds = time.perf_counter() - start
    assert report.ok
    return seconds


def storescu(folder: Path, peer: Peer) -> float:
    """Seconds of DCMTK's sender."""
    command = [program("storescu"), "-aet", "BENCH", "-aec", peer.ae_title, peer.host, str(peer.port)]
    start = time.perf_counter()
    subprocess.run([*command, "+sd", str(folder)], check=True, capture_output=True)
    return time.perf_counter() - start


def predecessor(python: Path, folder: Path, peer: Peer) -> float:
    """Seconds of the sender of 0.0.1."""
    arguments = [str(folder), peer.host, str(peer.port), peer.ae_title]
    result = subprocess.run(
        [str(python), "-c", PREDECESSOR, *arguments], check=True, capture_output=True, text=True, cwd=folder
    )
    return float(result.stdout)


def make_environment(folder: Path) -> Path:
    """A virtual environment with the published package and what its sender imports."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    subprocess.run([str(python), "-m", "pip", "install", "-q", "--no-deps", *PUBLISHED], check=True)
    return python


def write_series(folder: Path, count: int) -> None:
    """512 by 512 by 16 bits, half a mebibyte each."""
    folder.mkdir()
    for number in range(count):
        make_ct(number, rows=512).save_as(folder / f"{number:04}.dcm", enforce_file_format=True)


def measure(
    name: str, senders: dict[str, Callable[[Peer], float]], peer: Peer, empty: Callable[[], None], rounds: int
) -> None:
    """Times the senders by turns and prints the medians, and the ratios to storescu."""
    seconds: dict[str, list[float]] = {sender: [] for sender in senders}
    for _ in range(rounds):
        for sender, send in senders.items():
            empty()
            seconds[sender].append(send(peer))
    medians = {sender: statistics.median(times) for sender, times in seconds.items()}
    base = medians["storescu"]
    for sender, median in medians.items():
        spread = f"{min(seconds[sender]):.2f}-{max(seconds[sender]):.2f}"
        line = f"{name:10} {sender:24} {median:7.2f} s ({spread})  {base / median:6.2f} x storescu"
        print(line)  # noqa: T201  what a benchmark is for


def archives(folder: Path) -> Iterator[tuple[str, Peer, Callable[[], None]]]:
    """Each archive while it runs, with what empties it."""
    (folder / "scp").mkdir()
    with running_storescp(folder / "scp") as scp:
        yield "storescp", scp.peer, partial(_remove_files, scp)
    (folder / "orthanc").mkdir()
    with running_orthanc(folder / "orthanc") as orthanc:
        yield "Orthanc", orthanc.peer, orthanc.clear


def _remove_files(scp: StoreScp) -> None:
    for path in scp.folder.iterdir():
        path.unlink()


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--skip-predecessor", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        series = folder / "series"
        write_series(series, options.count)
        senders: dict[str, Callable[[Peer], float]] = {
            "ours": lambda peer: ours(series, peer),
            "ours, 2 associations": lambda peer: ours(series, peer, 2),
            "storescu": lambda peer: storescu(series, peer),
        }
        if not options.skip_predecessor:
            python = make_environment(folder / "predecessor")
            senders["predecessor"] = lambda peer: predecessor(python, series, peer)
        for archive, peer, empty in archives(folder):
            measure(archive, senders, peer, empty, options.rounds)


if __name__ == "__main__":
    main()
