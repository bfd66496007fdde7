"""Fixtures of every room of the tests."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


# dozens of interpreters are started, each of which would compile the package anew
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the variables of the shell that runs it."""
    for name in list(os.environ):
        if name.replace("-", "_").startswith("DCM_PROCESSOR_SERVICE_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def mongo_url() -> Iterator[str]:
    """A real MongoDB, started on a free loopback port as a one-node replica set."""
    from tests.mongod import running_mongod

    with running_mongod() as url:
        yield url
