"""Both modes are equal: each asynchronous class and its blocking view have the same methods."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

from dcm_processor_service.runtime.context import AsyncRuntimeContext, RuntimeContext
from dcm_processor_service.runtime.settings import RuntimeSettings
from dcm_processor_service.runtime.steps.running import AsyncStep, Step
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

PAIRS: list[tuple[type, type, set[str]]] = [
    (AsyncData, Data, {"__getitem__", "__setitem__", "__delitem__", "__contains__", "__iter__"}),
    (AsyncFiles, Files, {"__contains__"}),
    (AsyncPeers, Peers, set()),
    (AsyncDicom, Dicom, set()),
    (AsyncCommitments, Commitments, set()),
    (AsyncDicomSeries, DicomSeries, set()),
    (AsyncDerive, Derive, set()),
    (AsyncSession, Session, set()),
    (AsyncCurrentJob, CurrentJob, {"params", "added_params", "headers"}),
    (AsyncRuntimeContext, RuntimeContext, set()),
    (AsyncStep, Step, set()),
]
"""Asynchronous class, blocking view, and what the view has besides: what cannot be awaited, or needs no await."""

COLOURED = "Iterator|Commitments|Fetched|Series|Data|Files|Peers|Dicom|Session|Current|Runtime|Sending|Progress|Step"
PLAIN_OPERATORS = {"__getitem__", "__setitem__", "__delitem__", "__contains__", "__iter__", "__len__"}
INSTANCE_ATTRIBUTES = {
    "info",
    "id",
    "job",
    "data",
    "files",
    "peers",
    "dicom",
    "derive",
    "commitments",
    "name",
    "event",
    "service_name",
}


def members(item: type) -> dict[str, Any]:
    inherited = set(dir(RuntimeSettings)) if issubclass(item, RuntimeSettings) else set()
    return {
        name: member
        for name, member in vars(item).items()
        if (not name.startswith("_") or name in PLAIN_OPERATORS)
        and name not in inherited
        and (callable(member) or isinstance(member, (property, classmethod, staticmethod)))
    }


def shape(member: Any) -> Any:
    function = getattr(member, "fget", None) or getattr(member, "__func__", member)
    signature = inspect.signature(inspect.unwrap(function))
    return [
        (one.name, one.kind, one.default, _blocking(str(one.annotation)))
        for one in signature.parameters.values()
        if one.name not in {"self", "cls"}
    ], _blocking(str(signature.return_annotation))


def _blocking(annotation: str) -> str:
    """Returns the blocking spelling of a type."""
    plain = re.sub(rf"\bAsync(?={COLOURED})", "", annotation)
    return re.sub(r"^AbstractContextManager\[(.*)\]$", r"Iterator[\1]", plain)


@pytest.mark.parametrize(("coloured", "view", "extras"), PAIRS, ids=lambda item: getattr(item, "__name__", None))
def test_both_modes_have_methods_of_the_same_names(coloured: type, view: type, extras: set[str]) -> None:
    assert set(members(view)) - set(members(coloured)) - INSTANCE_ATTRIBUTES == extras
    assert set(members(coloured)) - set(members(view)) - INSTANCE_ATTRIBUTES == set()


@pytest.mark.parametrize(("coloured", "view", "extras"), PAIRS, ids=lambda item: getattr(item, "__name__", None))
def test_both_modes_have_the_same_parameters_defaults_and_results(coloured: type, view: type, extras: set[str]) -> None:
    twins = members(view)
    for name, member in members(coloured).items():
        if name in twins:
            assert shape(member) == shape(twins[name]), f"{coloured.__name__}.{name}"


@pytest.mark.parametrize(("coloured", "view", "extras"), PAIRS, ids=lambda item: getattr(item, "__name__", None))
def test_asynchronous_methods_are_awaited_and_blocking_ones_are_not(
    coloured: type, view: type, extras: set[str]
) -> None:
    for name, member in members(view).items():
        function = inspect.unwrap(getattr(member, "fget", None) or getattr(member, "__func__", member))
        assert not inspect.iscoroutinefunction(function), f"{view.__name__}.{name}"
    awaited = [
        name
        for name, member in members(coloured).items()
        if inspect.iscoroutinefunction(member) or inspect.isasyncgenfunction(inspect.unwrap(member))
    ]
    assert awaited or coloured is AsyncRuntimeContext


@pytest.mark.parametrize(("coloured", "view", "extras"), PAIRS, ids=lambda item: getattr(item, "__name__", None))
def test_every_public_member_is_explained(coloured: type, view: type, extras: set[str]) -> None:
    for item in (coloured, view):
        for name, member in members(item).items():
            if name not in PLAIN_OPERATORS:
                assert (getattr(member, "fget", None) or member).__doc__, f"{item.__name__}.{name}"
