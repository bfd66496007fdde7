"""The job's params as the callback's own model: what does not fit, and what the model does not know, is told."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, Field, model_validator

from dcm_processor_service import Job, RuntimeContext, RuntimeSettings, entrypoint
from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.runtime.execution.params import known_params, unknown_params, validated_params
from dcm_processor_service.runtime.execution.runner import run_callback

if TYPE_CHECKING:
    from dcm_processor_service.runtime.execution.callbacks import CallbackFunction
    from dcm_processor_service.runtime.execution.runner import CallbackOutcome


class Params(BaseModel):
    threshold: float
    labels: list[str] = []
    size: dict[str, int] = Field(default={}, alias="Size")


class Lenient(BaseModel):
    threshold: float = 0.5
    structure: str = "liver"


class Strict(Lenient):
    model_config = ConfigDict(extra="forbid")


class Open(Lenient):
    model_config = ConfigDict(extra="allow")


class Renaming(Lenient):
    @model_validator(mode="before")
    @classmethod
    def _from_old_names(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {name.removeprefix("old_"): value for name, value in values.items()}


class Aliased(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    first: int = Field(default=0, validation_alias=AliasChoices("one", AliasPath("nested", "one")))
    second: int = 0


def lenient(params: Lenient) -> float:
    return params.threshold


def strict(params: Strict) -> float:
    return params.threshold


def open_to_all(params: Open) -> float:
    return params.threshold


def renaming(params: Renaming) -> float:
    return params.threshold


def two_models(ctx: RuntimeContext, where: Lenient, how: Aliased) -> int:
    return how.second


def reads_the_document_itself(ctx: RuntimeContext) -> object:
    return ctx.job.params["treshold"]


def run(function: CallbackFunction, **params: Any) -> CallbackOutcome:
    settings = RuntimeSettings.without_environment(
        db_provider="memory", session_id="5" * 24, job_id="1" * 24, job_name="segment"
    )
    job = Job(id=settings.job_id, session_id=settings.session_id, name="segment", params=params)
    return run_callback(function, settings, job=job)


def test_params_are_the_authors_own_model() -> None:
    read = validated_params(Params, {"threshold": "0.5", "Size": {"x": 3}}, "segment")
    assert read == Params(threshold=0.5, Size={"x": 3})


def test_wrong_params_name_the_field_and_no_value() -> None:
    given = {"threshold": "SECRET", "labels": ["a", 5], "Size": {"x": "SECRET"}}
    with pytest.raises(ConfigurationError) as caught:
        validated_params(Params, given, "segment")
    text = str(caught.value)
    assert "the params of the job 'segment' do not fit Params" in text
    assert "threshold: Input should be a valid number" in text
    assert "labels.1: Input should be a valid string" in text
    assert "Size.x: " in text
    assert "--param" in text
    assert "SECRET" not in text
    with pytest.raises(ConfigurationError, match=r"'\(unnamed\)'.*(.|\n)*threshold: Field required"):
        validated_params(Params, {}, "")


def test_a_param_that_the_model_forbids_is_refused_with_what_was_meant() -> None:
    outcome = run(strict, treshold=0.7)
    assert outcome.exit_code == 2
    assert isinstance(outcome.error, ConfigurationError)
    assert "Strict has no param 'treshold'; did you mean 'threshold'?" in str(outcome.error)


def test_a_param_that_the_model_ignores_is_warned_of_with_what_was_meant(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        outcome = run(lenient, treshold=0.7, structure="spleen")
    assert outcome.result == 0.5
    (message,) = caplog.messages
    assert message.startswith("Lenient has no param 'treshold'; did you mean 'threshold'?")


def test_the_platforms_worker_warns_of_an_unknown_param_too(caplog: pytest.LogCaptureFixture) -> None:
    given = {"session_id": "5" * 24, "job_id": "1" * 24, "db_provider": "memory", "params": {"treshold": 1}}
    with caplog.at_level(logging.WARNING):
        assert entrypoint(lenient)(**given) == 0.5
    with pytest.raises(ConfigurationError, match="did you mean 'threshold'"):
        entrypoint(strict)(**given)


@pytest.mark.parametrize(
    ("function", "params"),
    [
        (lenient, {"threshold": 1, "structure": "spleen"}),
        (open_to_all, {"anything": 1}),
        (renaming, {"old_threshold": 1}),
        (two_models, {"threshold": 1, "second": 2, "one": 3, "first": 4, "nested": {"one": 5}}),
        (reads_the_document_itself, {"treshold": 1}),
    ],
)
def test_params_that_the_callback_may_read_are_not_warned_of(
    function: CallbackFunction, params: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert run(function, **params).ok
    assert not caplog.messages


def test_of_two_models_both_are_named() -> None:
    assert unknown_params([Lenient, Aliased], ["secand", "first"]) == [
        "Lenient or Aliased has no param 'secand'; did you mean 'second'?"
    ]


def test_known_params_are_aliases_in_place_of_names_unless_both_are_read() -> None:
    assert known_params(Params) == ["threshold", "labels", "Size"]
    assert known_params(Aliased) == ["one", "nested", "first", "second"]
