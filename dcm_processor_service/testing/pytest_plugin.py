"""pytest fixtures for callbacks under test; loads the package when a fixture is used, not before."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dcm_processor_service.runtime.context import RuntimeContext
    from dcm_processor_service.testing.fake_pacs import FakePacs
    from dcm_processor_service.testing.mongo_server import MongoDatabase

__all__ = ["ctx", "fake_context", "mongodb", "pacs"]

_MARKERS = (
    "ctx(**arguments): arguments of fake_context for the fixture ctx; series may be a kind of synthetic series",
    "pacs(**arguments): arguments of FakePacs for the fixture pacs; faults may be a dict",
)


def pytest_configure(config: pytest.Config) -> None:
    """Registers the markers, so that pytest accepts them."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)


@pytest.fixture
def fake_context() -> Callable[..., RuntimeContext]:
    """Returns :func:`dcm_processor_service.testing.fake_context`, which makes contexts with a store in memory."""
    from dcm_processor_service.testing import fake_context as make

    return make


@pytest.fixture
def ctx(request: pytest.FixtureRequest) -> RuntimeContext:
    """Returns a context with a store in memory, whose job is about a synthetic CT series of four slices.

    ``@pytest.mark.ctx(params={"threshold": 0.5}, series="mr")`` on a test, class or module sets arguments of
    :func:`dcm_processor_service.testing.fake_context`; a marker nearer to the test wins. ``series`` may be a kind of
    :func:`dcm_processor_service.testing.synthetic_series`; ``series=None`` stores no series. If the test also uses
    ``pacs``, that is the peer that sent the images.
    """
    from dcm_processor_service.testing import fake_context as make
    from dcm_processor_service.testing import synthetic_series

    arguments = {"series": "ct", **_arguments(request, "ctx")}
    if isinstance(arguments["series"], str):
        kind: Any = arguments["series"]
        arguments["series"] = synthetic_series(kind=kind)
    if "pacs" in request.fixturenames:
        peer = getattr(request.getfixturevalue("pacs"), "peer", None)  # an author's own fixture may be anything
        if peer is not None:
            arguments.setdefault("peers", (peer,))
    return make(**arguments)


@pytest.fixture
def pacs(request: pytest.FixtureRequest) -> Iterator[FakePacs]:
    """Starts a :class:`dcm_processor_service.testing.FakePacs` on the loopback interface, and stops it after the test.

    ``@pytest.mark.pacs(faults={"status": 0xA700}, ae_title="ARCHIVE")`` sets its arguments; ``faults`` may be a dict.
    """
    from dcm_processor_service.testing import FakePacs, Faults

    arguments = _arguments(request, "pacs")
    if isinstance(arguments.get("faults"), dict):
        arguments["faults"] = Faults(**arguments["faults"])
    with FakePacs(**arguments) as running:
        yield running


@pytest.fixture(scope="session")
def _mongodb_url() -> Iterator[str]:
    from dcm_processor_service.errors import ConfigurationError
    from dcm_processor_service.testing.mongo_server import running_mongod

    with ExitStack() as stack:
        try:
            url = stack.enter_context(running_mongod())
        except ConfigurationError as error:
            if os.environ.get("CI"):
                pytest.fail(str(error), pytrace=False)
            pytest.skip(str(error))
        yield url


@pytest.fixture
def mongodb(_mongodb_url: str) -> Iterator[MongoDatabase]:
    """Yields a database of its own on a real MongoDB, which starts at the first use and ends with the tests.

    It has ``url``, ``name`` and ``settings()``. If no ``mongod`` is installed, the test is skipped and the message says
    what to install; if the variable ``CI`` is set, the test fails.
    """
    from dcm_processor_service.testing.mongo_server import mongo_database

    with mongo_database(_mongodb_url) as database:
        yield database


def _arguments(request: pytest.FixtureRequest, marker: str) -> dict[str, Any]:
    """Returns the arguments of all markers of a name; the nearest marker wins."""
    found = [*request.node.iter_markers(marker)]
    if any(one.args for one in found):
        raise pytest.UsageError(f"@pytest.mark.{marker} takes arguments by name alone, such as {marker}(params={{}})")
    return {name: value for one in reversed(found) for name, value in one.kwargs.items()}
