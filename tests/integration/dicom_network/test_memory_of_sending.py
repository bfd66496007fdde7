"""Sending needs memory only for the data under way, whatever the number and the size of instances."""

from __future__ import annotations

import math
import tracemalloc
from typing import TYPE_CHECKING

from dcm_processor_service.dicom_network.sender import PynetdicomSender
from dcm_processor_service.models import SendOptions
from tests.archives import running_storescp
from tests.unit.dicom_network.instances import make_ct

if TYPE_CHECKING:
    from pathlib import Path

    from dcm_processor_service.models import Peer

MIB = 2**20


def peak_bytes(folder: Path, peer: Peer, *, count: int, size_bytes: int) -> int:
    """Sends instances of a size; returns the most bytes that Python had allocated meanwhile."""
    folder.mkdir()
    for number in range(count):
        dataset = make_ct(number, rows=math.isqrt(size_bytes // 2))
        dataset.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    del dataset
    tracemalloc.start()
    try:
        report = PynetdicomSender("MEMORY").send(folder, peer, options=SendOptions(associations=1))
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert report.ok
    assert len(report.records) == count
    return peak


def test_more_instances_and_larger_ones_take_no_more_memory(tmp_path: Path) -> None:
    with running_storescp(tmp_path) as scp:
        peak_bytes(tmp_path / "warm", scp.peer, count=1, size_bytes=MIB)
        few = peak_bytes(tmp_path / "few", scp.peer, count=8, size_bytes=4 * MIB)
        many = peak_bytes(tmp_path / "many", scp.peer, count=32, size_bytes=4 * MIB)
        large = peak_bytes(tmp_path / "large", scp.peer, count=2, size_bytes=64 * MIB)
    assert many < few + 2 * MIB
    assert large < 32 * MIB, f"{large / MIB:.0f} MiB of an instance of 64 MiB"
