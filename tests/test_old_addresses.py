"""The 0.0.1 API stays where it was, and each part of it says until when, and what to use in its place."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from tests.command_line import ROOT as REPOSITORY
from tests.public_places import OLD_ADDRESSES, ROOT, module

UNTIL = "Part of the 0.0.1 API; stays until 2.0."
AS_LONG = "Part of the 0.0.1 API; stays as long as the platform's worker calls it."
NEW_IN_ENV_VARS = {"Fault", "posix_name", "read_variables", "variable_name", "variables_set"}
WITHOUT_SENTENCE = {"env_vars": "is also where this release reads the environment", "dicom_network": "is also the room"}


def old_names() -> list[tuple[str, str]]:
    names = [(address, name) for address in OLD_ADDRESSES for name in module(address).__all__]
    return [(address, name) for address, name in names if name not in NEW_IN_ENV_VARS]


@pytest.mark.parametrize(("address", "name"), old_names())
def test_each_function_says_when_it_goes_and_what_takes_its_place(address: str, name: str) -> None:
    item: Any = getattr(module(address), name)
    words = " ".join((inspect.getdoc(item) or "").split())
    assert (
        UNTIL in words and "New code: ``" in words.replace("New code: the command", "New code:")
    ) or AS_LONG in words


@pytest.mark.parametrize("address", OLD_ADDRESSES)
def test_each_address_says_when_it_goes(address: str) -> None:
    words = " ".join((module(address).__doc__ or "").split())
    if address.removeprefix(f"{ROOT}.") in WITHOUT_SENTENCE:
        assert UNTIL not in words
    else:
        assert UNTIL in words or AS_LONG in words


def test_the_guide_to_migration_says_when_it_goes() -> None:
    text = " ".join((REPOSITORY / "docs" / "migrating.md").read_text(encoding="utf-8").split())
    assert "The 0.0.1 API stays until 2.0." in text
