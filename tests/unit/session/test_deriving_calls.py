"""``derive`` passes each argument to the functions that make objects, as the option of its name, with the recipe."""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import fields, is_dataclass
from typing import Any

import pytest

from dcm_processor_service.errors import UnsupportedValueError
from dcm_processor_service.models.derived import Producer, StudyIdentity
from dcm_processor_service.ports import inline
from dcm_processor_service.session.images.derive_async import AsyncDerive
from dcm_processor_service.session.recording import Recording

PRODUCER = Producer("liver-volume", "1.4.0")
SOURCE = StudyIdentity("4711", "1.2.3")
MAKERS = {
    "__call__": "image",
    "rtstruct": "structure_set",
    **{
        name: name
        for name in (
            *("segmentation", "segmentations", "overlay", "presentation", "parametric_map"),
            *("measurement_report", "text_report", "pdf"),
        )
    },
}
OF_THE_RECIPE = {"role", "revision", "recipe"}


class Noting:
    """Replaces the functions; makes nothing, and records the calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Any:
        def make(*args: Any) -> list[Any]:
            self.calls.append((name, args))
            return []

        return make


def called(method: str, *positional: object, **keywords: object) -> tuple[str, tuple[Any, ...]]:
    noting = Noting()
    functions: Any = noting
    derive = AsyncDerive(PRODUCER, lambda: functions, inline, Recording())
    asyncio.run(getattr(derive, method)(*positional, like=SOURCE, **keywords))
    (call,) = noting.calls
    return call


def parameters(method: str) -> dict[str, inspect.Parameter]:
    every = dict(inspect.signature(getattr(AsyncDerive, method)).parameters)
    return {name: one for name, one in every.items() if name not in {"self", "like", "on", *OF_THE_RECIPE}}


def options_of(args: tuple[Any, ...]) -> dict[str, object]:
    """Returns the fields of the options among the arguments."""
    (options,) = (one for one in args if is_dataclass(one) and type(one).__name__.endswith("Options"))
    return {field.name: getattr(options, field.name) for field in fields(options)}


@pytest.mark.parametrize("method", MAKERS)
def test_every_argument_arrives_as_what_it_is_called(method: str) -> None:
    given = {name: object() for name in parameters(method)}
    positional = [given[name] for name, one in parameters(method).items() if one.kind is not one.KEYWORD_ONLY]
    keywords = {name: given[name] for name, one in parameters(method).items() if one.kind is one.KEYWORD_ONLY}
    name, args = called(method, *positional, role="own", **keywords)
    assert name == MAKERS[method]
    options = options_of(args)
    assert options == {name: given[name] for name in options}
    others = [one for one in args if any(one is value for value in given.values())]
    assert {id(one) for one in [*others, *options.values()]} == {id(one) for one in given.values()}
    assert [one for one in args if one is SOURCE] == [SOURCE]


@pytest.mark.parametrize("method", MAKERS)
def test_the_options_hold_the_defaults_of_arguments_that_are_not_given(method: str) -> None:
    required = [object() for one in parameters(method).values() if one.default is one.empty]
    _, args = called(method, *required, role="own")
    options = options_of(args)
    assert options == {name: parameters(method)[name].default for name in options}


@pytest.mark.parametrize("method", MAKERS)
def test_the_recipe_has_the_role_the_revision_and_the_fields_that_are_given(method: str) -> None:
    required = [object() for one in parameters(method).values() if one.default is one.empty]
    told = {"series_description": "Own", "series_number": 901, "derivation": "smoothed"}
    _, args = called(method, *required, role="own", revision=2, recipe=told)
    (recipe,) = (one for one in args if type(one).__name__ == "Recipe")
    assert (recipe.producer, recipe.role, recipe.revision) == (PRODUCER, "own", 2)
    assert {name: getattr(recipe, name) for name in told} == told


@pytest.mark.parametrize("method", MAKERS)
def test_the_series_that_an_object_is_on_is_one_of_those_that_it_is_like(method: str) -> None:
    required = [object() for one in parameters(method).values() if one.default is one.empty]
    with pytest.raises(UnsupportedValueError, match="on= names one of several series"):
        called(method, *required, role="own", on=object())


def test_a_field_that_no_recipe_has_is_refused_with_those_there_are() -> None:
    with pytest.raises(UnsupportedValueError, match=r"no field 'colour'; it has series_description, series_number, "):
        called("text_report", "no finding", recipe={"colour": "red"})
