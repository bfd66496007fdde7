"""Fixtures that the tests of sending share."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from dcm_processor_service.dicom_network.sender import PynetdicomSender

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def pauses() -> list[float]:
    """Records the pauses between attempts, without waiting."""
    return []


@pytest.fixture
def sender(pauses: list[float]) -> PynetdicomSender:
    return PynetdicomSender("OURS", pause=pauses.append)


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """No thread outlives a test."""
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before
