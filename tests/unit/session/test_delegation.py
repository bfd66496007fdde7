"""The blocking facades pass every argument and default to the asynchronous ones, and return their answers."""

from __future__ import annotations

import inspect
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service.session.data import AsyncData, Data
from dcm_processor_service.session.files import AsyncFiles, Files
from dcm_processor_service.session.images.derive import Derive
from dcm_processor_service.session.images.derive_async import AsyncDerive
from dcm_processor_service.session.images.dicom import Dicom
from dcm_processor_service.session.images.dicom_async import AsyncDicom
from dcm_processor_service.session.images.series import DicomSeries
from dcm_processor_service.session.images.series_async import AsyncDicomSeries
from dcm_processor_service.session.jobs import AsyncCurrentJob, CurrentJob
from dcm_processor_service.session.network.commitments import AsyncCommitments, Commitments
from dcm_processor_service.session.network.peers import AsyncPeers, Peers
from dcm_processor_service.session.session import AsyncSession, Session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

PAIRS: list[tuple[type, type]] = [
    (AsyncData, Data),
    (AsyncFiles, Files),
    (AsyncPeers, Peers),
    (AsyncDicom, Dicom),
    (AsyncCommitments, Commitments),
    (AsyncDicomSeries, DicomSeries),
    (AsyncDerive, Derive),
    (AsyncSession, Session),
    (AsyncCurrentJob, CurrentJob),
]
ANSWERS_OF_ITS_OWN = {
    *("Data.set", "Dicom.series", "Dicom.get_series", "Dicom.select", "Dicom.fetch", "Dicom.priors"),
    "CurrentJob.preset",
}
"""Methods that return nothing, or blocking views of the asynchronous method's result."""


class Answer:
    """The result of the asynchronous side; it resembles a choice of series enough to be turned into a view."""

    series: tuple[object, ...] = ()
    selection = "selection"
    studies = "studies"
    report = "report"
    passed_over = "passed over"

    def __iter__(self) -> Iterator[object]:
        return iter(())


class Recorder:
    """Replaces an asynchronous facade, and records the arguments of each call."""

    def __init__(self, kind: type) -> None:
        self._kind = kind
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.answer = Answer()

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._kind, name, None)
        if not inspect.isfunction(member):
            return Recorder(AsyncData)  # a part of it, such as session.data
        return self._asynchronous(name, inspect.unwrap(member))

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        return self.__getattr__("__call__")(*args, **keywords)

    def _asynchronous(self, name: str, member: Callable[..., Any]) -> Callable[..., Any]:
        def keep(args: tuple[Any, ...], keywords: dict[str, Any]) -> Answer:
            bound = inspect.signature(member).bind(self, *args, **keywords)
            bound.apply_defaults()
            self.calls.append((name, {key: value for key, value in bound.arguments.items() if key != "self"}))
            return self.answer

        async def awaited(*args: Any, **keywords: Any) -> Answer:
            return keep(args, keywords)

        async def iterated(*args: Any, **keywords: Any) -> AsyncIterator[Answer]:
            yield keep(args, keywords)

        if inspect.isasyncgenfunction(member):
            return asynccontextmanager(iterated) if name == "open" else iterated
        return awaited if inspect.iscoroutinefunction(member) else lambda *args, **keywords: keep(args, keywords)


def of_the_user(name: str) -> bool:
    return name == "__call__" or (name.isascii() and not name.startswith("_"))


METHODS = [
    (kind, view, name)
    for kind, view in PAIRS
    for name, member in vars(view).items()
    if of_the_user(name) and inspect.isfunction(member)
]


def given(function: Any, *, optional: bool) -> tuple[list[object], dict[str, object]]:
    """Something distinct for each argument, passed by position where that is allowed."""
    positional: list[object] = []
    keywords: dict[str, object] = {}
    for parameter in [*inspect.signature(function).parameters.values()][1:]:
        if parameter.kind is parameter.VAR_KEYWORD:
            keywords |= {"any_other": object()} if optional else {}
        elif optional or parameter.default is parameter.empty:
            if parameter.kind is parameter.KEYWORD_ONLY:
                keywords[parameter.name] = object()
            else:
                positional.append(object())
    return positional, keywords


def opened(result: Any, name: str) -> Any:
    """Returns the answer, from the context manager or iterator that two methods return."""
    if name == "open":
        with result as content:
            return content
    return next(iter(result)) if name == "datasets" else result


@pytest.mark.parametrize("optional", [True, False], ids=["every argument", "defaults"])
@pytest.mark.parametrize(("kind", "view", "name"), METHODS, ids=lambda item: getattr(item, "__name__", item))
def test_a_blocking_method_passes_its_arguments_on_and_the_answer_back(
    kind: type, view: type, name: str, *, optional: bool
) -> None:
    recorder = Recorder(kind)
    positional, keywords = given(getattr(view, name), optional=optional)
    result = opened(getattr(view(recorder), name)(*positional, **keywords), name)
    expected = inspect.signature(getattr(kind, name)).bind(recorder, *positional, **keywords)
    expected.apply_defaults()
    wanted = {key: value for key, value in expected.arguments.items() if key != "self"}
    assert recorder.calls == [(name, wanted)]
    if f"{view.__name__}.{name}" not in ANSWERS_OF_ITS_OWN:
        assert result is recorder.answer


def test_every_blocking_method_is_tried() -> None:
    tried = {f"{view.__name__}.{name}" for _kind, view, name in METHODS}
    assert {"Data.get", "Files.open", "Peers.probe", "Dicom.send", "DicomSeries.datasets", "Derive.__call__"} <= tried
    assert tried >= ANSWERS_OF_ITS_OWN
