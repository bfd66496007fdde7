"""The job's params as the callback's own model, and params that the model does not know.

A param that no model of the callback knows is most likely misspelt, and the default would be used without a message:

=======================================  ==========================================================================
the model forbids unknown params         the job is refused (``ConfigurationError``), with the probable name
it ignores them, as pydantic does        a warning in the job's log, with the probable name
it ignores them, the param is given      the param is refused before anything runs
by hand: ``run --param NAME=VALUE``
it allows them, or has a model           nothing is reported, because the model accepts them
validator that runs before the fields
are read (mode ``before`` or ``wrap``)
=======================================  ==========================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import AliasChoices, AliasPath, BaseModel, ValidationError

from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.keywords import unknown_name_sentence

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["known_params", "unknown_params", "validated_params"]


def validated_params(model: type[BaseModel], params: Mapping[str, Any], job_name: str) -> BaseModel:
    """Reads the job's params as the callback's own model.

    Raises:
        ConfigurationError: A field is missing or wrong, or the model does not know a param; the message names it, and
            the name that was probably meant.
    """
    try:
        return model.model_validate(dict(params))
    except ValidationError as error:
        known = known_params(model)
        faults = "".join(
            f"\n  {'.'.join(str(part) for part in fault['loc']) or 'params'}: {_fault_text(fault, model, known)}"
            for fault in error.errors(include_input=False, include_url=False, include_context=False)
        )
        raise ConfigurationError(
            f"the params of the job {job_name or '(unnamed)'!r} do not fit {model.__name__}:{faults}\n"
            "correct them in the service's manifest, or with --param NAME=VALUE"
        ) from None  # pydantic's own error shows the values


def _fault_text(fault: Mapping[str, Any], model: type[BaseModel], known: Sequence[str]) -> str:
    if fault["type"] == "extra_forbidden" and len(fault["loc"]) == 1:
        return unknown_name_sentence(model.__name__, "param", str(fault["loc"][0]), known)
    return str(fault["msg"])


def unknown_params(models: Sequence[type[BaseModel]], names: Iterable[str]) -> list[str]:
    """Returns a sentence for each name that no model knows; an empty list if one of the models accepts any name.

    Example:
        >>> class Settings(BaseModel):
        ...     threshold: float = 0.5
        >>> unknown_params([Settings], ["treshold"])
        ["Settings has no param 'treshold'; did you mean 'threshold'?"]
    """
    if not models or any(_takes_any(model) for model in models):
        return []
    owner = " or ".join(model.__name__ for model in models)
    known = [name for model in models for name in known_params(model)]
    return [unknown_name_sentence(owner, "param", name, known) for name in names if name not in known]


def _takes_any(model: type[BaseModel]) -> bool:
    before = (one.info.mode for one in model.__pydantic_decorators__.model_validators.values())
    return model.model_config.get("extra") == "allow" or any(mode != "after" for mode in before)


def known_params(model: type[BaseModel]) -> list[str]:
    """Lists the names of params that a model reads: its fields, or their aliases."""
    config = model.model_config
    by_name = bool(config.get("populate_by_name") or config.get("validate_by_name"))
    names = []
    for name, field in model.model_fields.items():
        alias = field.validation_alias
        choices = alias.choices if isinstance(alias, AliasChoices) else [alias] if alias is not None else []
        names += [str(one.path[0]) if isinstance(one, AliasPath) else one for one in choices]
        if not choices or by_name:
            names.append(name)
    return names
