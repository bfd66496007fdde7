"""Fixtures of every room of the tests."""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator


# dozens of interpreters are started, each of which would compile the package anew
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


# CI judges a change by the same examples every time; at a desk every run looks further
hypothesis.settings.register_profile("repeatable", derandomize=True, database=None)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("repeatable")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays to the end; to look for garbage in it takes a third of the time that collecting takes."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.hookimpl(optionalhook=True)  # pytest-xdist's
def pytest_xdist_auto_num_workers() -> int:
    """What ``-n auto`` means: tests wait for processes and time-outs a third of the time."""
    return max(2, (os.cpu_count() or 1) * 3 // 2)


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
