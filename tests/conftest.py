"""Fixtures of every room of the tests."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from tests.desk import CpuTimes, is_short, leave_out_slow, set_short

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator


# dozens of interpreters are started, each of which would compile the package anew
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


# CI judges a change by the same examples every time; at a desk every run looks further, a short one at fewer. A busy
# machine makes examples slowly and takes long for one, which says nothing of the code
_PATIENT: dict[str, Any] = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("repeatable", derandomize=True, database=None, **_PATIENT)
hypothesis.settings.register_profile("short", max_examples=10, **_PATIENT)
hypothesis.settings.register_profile("all", **_PATIENT)


LONGEST_NAMED_BYTES = 32


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds what makes a run at a desk that of continuous integration."""
    parser.addoption("--all", action="store_true", help="run all tests, cases and random examples")
    parser.addoption("--cpu-times", type=Path, help="file that the processor time of each test is added to")


def pytest_configure(config: pytest.Config) -> None:
    """Decides how much is run, before modules with tests are imported."""
    set_short(short=is_short(config))
    if config.getoption("--cpu-times"):
        config.pluginmanager.register(CpuTimes(config.getoption("--cpu-times")))
    if config.getoption("--hypothesis-profile", None):
        return  # somebody has chosen
    if os.environ.get("CI"):
        hypothesis.settings.load_profile("repeatable")
    else:
        hypothesis.settings.load_profile("short" if is_short(config) else "all")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Keeps contents out of the names of tests: those of an archive hold the time, and differ between processes."""
    return argname if isinstance(val, bytes) and len(val) > LONGEST_NAMED_BYTES else None


@pytest.hookimpl(optionalhook=True)  # pytest-xdist's
def pytest_configure_node(node: Any) -> None:
    """Tells a process of a parallel run what this one has decided."""
    node.workerinput["is_short"] = is_short(node.config)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves slow tests out of a short run."""
    leave_out_slow(config, items)


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
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """What ``-n auto`` means: tests wait for processes and time-outs a third of the time, and more in a short run."""
    cores = max(2, os.cpu_count() or 1)
    return cores * 5 // 2 if is_short(config) else cores * 3 // 2


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
