"""The child's side of a conversion: each request is answered by the converted file, or by what went wrong."""

from __future__ import annotations

import json
import sys
import warnings
from io import BytesIO
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom import dcmread
from pydicom.uid import JPEG2000, ExplicitVRLittleEndian, RLELossless

from dcm_processor_service.child_processes.inside import HEAD
from dcm_processor_service.dicom_network.conversion import worker
from tests.unit.dicom_network.instances import make_ct

if TYPE_CHECKING:
    import pytest

EXPLICIT, RLE = str(ExplicitVRLittleEndian), str(RLELossless)


class Answers(BytesIO):
    """Keeps what was written when the worker is done."""

    def told(self) -> list[tuple[dict[str, Any], bytes]]:
        self.seek(0)
        found = []
        while head := self.read(HEAD.size):
            said = json.loads(self.read(HEAD.unpack(head)[0]))
            found.append((said, self.read(said.get("bytes", 0))))
        return found


def answered(
    monkeypatch: pytest.MonkeyPatch, *requests: tuple[bytes, dict[str, Any]]
) -> tuple[list[tuple[dict[str, Any], bytes]], list[tuple[int, int]]]:
    asked = b"".join(
        json.dumps({"bytes": len(content), "seconds": 3, "memory_bytes": 5, **request}).encode() + b"\n" + content
        for content, request in requests
    )
    answers, limits = Answers(), list[tuple[int, int]]()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=BytesIO(asked)))
    monkeypatch.setattr(worker, "begin", lambda: answers)
    monkeypatch.setattr(worker, "limit", lambda *limit: limits.append(limit))
    with warnings.catch_warnings():
        worker.main()
    return answers.told(), limits


def encoded() -> bytes:
    content = BytesIO()
    make_ct(rows=8).save_as(content, enforce_file_format=True)
    return content.getvalue()


def test_requests_are_answered_in_order_and_a_failure_ends_none_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    compress, no_lossy = {"own": EXPLICIT, "wanted": RLE}, {"own": EXPLICIT, "wanted": str(JPEG2000)}
    content = encoded()
    told, limits = answered(
        monkeypatch, (content, compress), (b"no DICOM", compress), (content, no_lossy), (content, compress)
    )
    assert limits == [(3, 5)] * 4
    assert [list(said) for said, _ in told] == [["bytes"], ["failure"], ["failure"], ["bytes"]]
    for said, converted in (told[0], told[3]):
        assert said["bytes"] == len(converted)
        dataset = dcmread(BytesIO(converted))
        assert dataset.file_meta.TransferSyntaxUID == RLE
        assert np.array_equal(dataset.pixel_array, make_ct(rows=8).pixel_array)
