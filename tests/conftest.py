"""Fixtures and hooks of all tests."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from tests.desk import CpuTimes, begin_apart, is_left_out, is_short, leave_out_cases, leave_out_slow, set_short

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator


# tests start dozens of interpreters, each of which would compile the package anew if this variable were set
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


# CI uses the same examples every time; at a desk every run draws new ones, a short run fewer. If a machine is busy,
# drawing examples and running one is slow, which is not a fault of the code
_PATIENT: dict[str, Any] = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("repeatable", derandomize=True, database=None, **_PATIENT)
hypothesis.settings.register_profile("short", max_examples=10, **_PATIENT)
hypothesis.settings.register_profile("all", **_PATIENT)


LONGEST_NAMED_BYTES = 32


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds ``--all``, which makes a run at a desk as long as in continuous integration, and ``--cpu-times``."""
    parser.addoption("--all", action="store_true", help="run all tests, cases and random examples")
    parser.addoption("--cpu-times", type=Path, help="file that the processor time of each test is added to")


def pytest_configure(config: pytest.Config) -> None:
    """Decides how much is run, before modules with tests are imported."""
    set_short(short=is_short(config))
    begin_apart(config)
    if config.getoption("--cpu-times"):
        config.pluginmanager.register(CpuTimes(config.getoption("--cpu-times")))
    if config.getoption("--hypothesis-profile", None):
        return  # the command line names a profile
    if os.environ.get("CI"):
        hypothesis.settings.load_profile("repeatable")
    else:
        hypothesis.settings.load_profile("short" if is_short(config) else "all")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Keeps long bytes out of the names of tests: a ZIP file holds the time, so a name would differ in each process."""
    return argname if isinstance(val, bytes) and len(val) > LONGEST_NAMED_BYTES else None


@pytest.hookimpl(optionalhook=True)  # pytest-xdist's
def pytest_configure_node(node: Any) -> None:
    """Tells each process of a parallel run whether the run is short."""
    node.workerinput["is_short"] = is_short(node.config)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leaves files out of a short run."""
    return is_left_out(collection_path.as_posix().removeprefix(f"{config.rootpath.as_posix()}/")) or None


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Collector, name: str) -> list[pytest.Item] | None:
    """Leaves tests out of a short run before they are made."""
    return [] if is_left_out(f"{collector.nodeid}::{name}") else None


@pytest.hookimpl(wrapper=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> Generator[None, object, object]:
    """Leaves cases of a test out of a short run."""
    result = yield
    leave_out_cases(metafunc)
    return result


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None, object, object]:
    """Leaves slow tests out of a short run, and puts files into one order in all processes, before it is shuffled."""
    leave_out_slow(config, items)
    items.sort(key=lambda item: item.nodeid.partition("::")[0])
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Switches the garbage collector off meanwhile: it takes a third of the time, and collected tests stay anyway."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.hookimpl(optionalhook=True)  # pytest-xdist's
def pytest_xdist_auto_num_workers() -> int:
    """Returns more processes than cores: tests wait for others a third of the time."""
    return max(2, os.cpu_count() or 1) * 3 // 2


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Removes this package's variables of the shell from the environment of every test."""
    for name in list(os.environ):
        if name.replace("-", "_").startswith("DCM_PROCESSOR_SERVICE_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def mongo_url() -> Iterator[str]:
    """Starts a real MongoDB as a one-node replica set on a free loopback port, and yields its URL."""
    from tests.mongod import running_mongod

    with running_mongod() as url:
        yield url
