"""Registry functions, which decide in the scheduler's own process which jobs a series, study or patient gets.

The scheduler imports the ``registry`` folder of a service once for each job and subject, calls the function that the
manifest's ``registryEntry`` names, and waits. If the function raises, the job is declined; if it returns a value that
the database cannot hold, the scheduler ends. A function that :func:`accepts` makes raises nothing, returns plain JSON,
and says in the log why a job was declined.
"""

from __future__ import annotations

import copy
import inspect
import logging
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Protocol

from dcm_processor_service.errors import CallbackSignatureError, DcmProcessorError, UnsupportedValueError
from dcm_processor_service.series_rules import SeriesFacts, SeriesRules, first_failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import BaseModel

__all__ = ["RegistryFunction", "accepts"]

_log = logging.getLogger(__name__)

_GIVEN = ("session_id", "job_name", "headers", "added_params", "params")
_LEVELS = {"Instances": "series", "Series": "study", "Studies": "patient"}
"""The level of a header document, by the key of the list that it has."""

_STATED_OF_SERIES = {"modality", "description", "not_description", "body_part", "min_slices", "series_number"}
_STATED_OF_OTHERS = {"modality"}


class RegistryFunction(Protocol):
    """The type of a function that the scheduler calls with keyword arguments."""

    def __call__(
        self,
        *,
        session_id: str,
        job_name: str,
        headers: dict[str, Any],
        added_params: dict[str, Any],
        params: dict[str, Any],
    ) -> tuple[bool, dict[str, Any]]:
        """Returns whether the job is made for the subject, and what is added to the params of the subject's jobs."""
        ...


_DECISION = "_decision_of_accepts"
"""Attribute of a function that :func:`accepts` made: the function itself, and one that returns a :class:`Decision`."""


@dataclass(frozen=True)
class Decision:
    """What a registry function of :func:`accepts` decided, and why."""

    accepted: bool
    added: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    """Why the job is declined, without a value of a patient."""

    error: BaseException | None = None
    """The error that declined it."""


class _DeclinedError(Exception):
    """Declines a job; the text is the reason, without a value of the patient."""


def accepts(decide: SeriesRules | Callable[..., object], *, params: type[BaseModel] | None = None) -> RegistryFunction:
    """Makes a registry function, for the manifest's ``registryEntry``, from rules or from a function.

    Rules are checked against the header document; the log explains a refusal in the same words as :meth:`Dicom.select`.
    The document of a series holds its Modality, SeriesDescription, BodyPartExamined and SeriesNumber, and the ids of
    its instances. So only ``modality``, ``description``, ``not_description``, ``body_part``, ``series_number`` and
    ``min_slices`` can be checked here; for a study or a patient only ``modality``, which one of their series must have.
    An instance counts as one slice: if multi-frame objects arrive, check ``min_slices`` in the job instead.

    The registry function never raises. Any error declines the job; the log of the scheduler says which job, for which
    subject, and why, without a value of the patient. A function of yours gets copies of the header document and the
    params, so it cannot change the scheduler's.

    Args:
        decide: Rules, or a function that takes any of ``session_id``, ``job_name``, ``headers``, ``added_params`` and
            ``params`` by name and returns whether the job is made, or a pair of that and a dictionary.
        params: Model of the job's params. A job whose params do not fit is declined. A function gets the model as its
            ``params``; with rules, the second part of the answer is the params with their defaults.

    Raises:
        UnsupportedValueError: A header document does not suffice to check a rule; choose with
            ``ctx.session.dicom.select`` in the job.
        CallbackSignatureError: The function is ``async def``, or has a parameter of another name.

    Example:
        >>> from dcm_processor_service.testing import fake_registry
        >>> registry = accepts(SeriesRules(modality="CT", min_slices=20))
        >>> thin = {"_id": "2" * 24, "Instances": ["3" * 24] * 40, "Metadata": {"Modality": "CT"}}
        >>> fake_registry(registry, headers=thin)
        (True, {})
        >>> fake_registry(accepts(lambda headers: (len(headers["Instances"]) > 50, {})), headers=thin)
        (False, {})
    """
    answer = _by_rules(decide) if isinstance(decide, SeriesRules) else _by_function(decide)

    def decision(
        *,
        session_id: str = "",
        job_name: str = "",
        headers: dict[str, Any] | None = None,
        added_params: dict[str, Any] | None = None,
        params: dict[str, Any] | None = None,
        **_later: Any,
    ) -> Decision:
        try:
            given = {
                "session_id": session_id,
                "job_name": job_name,
                "headers": copy.deepcopy(headers or {}),
                "added_params": copy.deepcopy(added_params or {}),
                "params": _modelled(model, params or {}, job_name),
            }
            return Decision(accepted=True, added=_plain(answer(given)))
        except _DeclinedError as refusal:
            return Decision(accepted=False, reason=str(refusal))
        except DcmProcessorError as error:  # its sentences hold no value of a patient
            return Decision(accepted=False, reason=f"{type(error).__name__}: {error}", error=error)
        except KeyboardInterrupt:  # the operator ends the scheduler
            raise
        except BaseException as error:  # noqa: BLE001  the log names only its place, since its text may quote a header
            return Decision(accepted=False, reason=_place(error), error=error)

    def registry(
        *, job_name: str = "", headers: dict[str, Any] | None = None, **more: Any
    ) -> tuple[bool, dict[str, Any]]:
        made = decision(job_name=job_name, headers=headers, **more)
        if not made.accepted:
            # a warning, since the scheduler configures no logging, and Python then prints only warnings and errors
            said = _described(headers)
            _log.warning("the registry declines the job %r for the %s: %s", job_name, said, made.reason)
        return made.accepted, made.added

    model = params
    setattr(registry, _DECISION, (registry, decision))
    return registry


def deciding(function: Callable[..., object]) -> Callable[..., object]:
    """Returns, for a registry function of :func:`accepts`, a function that returns its :class:`Decision`; else itself.

    A function that wraps one of :func:`accepts` is another: it may decide otherwise, though ``functools.wraps`` gives
    it the same attributes.
    """
    made = getattr(function, _DECISION, None)
    return made[1] if isinstance(made, tuple) and made[0] is function else function


def _by_rules(rules: SeriesRules) -> Callable[[dict[str, Any]], dict[str, Any]]:
    wanted = [entry.name for entry in fields(rules) if getattr(rules, entry.name) is not None]
    unknown = [name for name in wanted if name not in _STATED_OF_SERIES]
    if unknown:
        raise UnsupportedValueError(
            f"the scheduler's header document does not state {', '.join(unknown)}; leave that to the job, which "
            "chooses with ctx.session.dicom.select(SeriesRules(...)), or decide by "
            f"{', '.join(sorted(_STATED_OF_SERIES))}"
        )

    def decide(given: dict[str, Any]) -> dict[str, Any]:
        level = _level(given["headers"])
        if level != "series" and (beyond := [name for name in wanted if name not in _STATED_OF_OTHERS]):
            raise _DeclinedError(
                f"the header document of a {level or 'subject of unknown level'} does not state {', '.join(beyond)}; "
                "give the job the event stable-series, or choose in the job with ctx.session.dicom.select"
            )
        reason = first_failure(_facts(given["headers"]), rules)
        if reason is not None:
            raise _DeclinedError(reason)
        params = given["params"]
        return {} if isinstance(params, dict) else dict(params.model_dump(mode="json"))

    return decide


def _by_function(function: Callable[..., object]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    name = getattr(function, "__name__", type(function).__name__)
    if inspect.iscoroutinefunction(function):
        raise CallbackSignatureError(f"{name} is async def, but the scheduler waits for its answer; write def {name}")
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as error:
        raise CallbackSignatureError(f"{name} cannot decide; give SeriesRules or a function of your own") from error
    takes_all = any(one.kind is one.VAR_KEYWORD for one in parameters)
    named = [one.name for one in parameters if one.kind not in {one.VAR_KEYWORD, one.VAR_POSITIONAL}]
    strange = [
        one.name
        for one in parameters
        if one.name in named
        and (one.kind is one.POSITIONAL_ONLY or (one.name not in _GIVEN and one.default is one.empty))
    ]
    if strange:
        raise CallbackSignatureError(
            f"{name} wants {', '.join(strange)}; a registry function is given {', '.join(_GIVEN)}, by name"
        )

    def decide(given: dict[str, Any]) -> dict[str, Any]:
        returned = function(**{key: value for key, value in given.items() if takes_all or key in named})
        accepted, added = (
            (returned[0], returned[1:]) if isinstance(returned, (tuple, list)) and returned else (returned, ())
        )
        if inspect.iscoroutine(accepted):
            accepted.close()
            raise _DeclinedError(f"{name} returned a coroutine, so it has decided nothing")
        if not accepted:
            raise _DeclinedError(
                f"{name} returned {accepted if accepted is None or isinstance(accepted, bool) else 'nothing'}"
            )
        if added and not isinstance(added[0], Mapping):
            raise _DeclinedError(f"{name} adds a {type(added[0]).__name__} to the params; return (True, a dictionary)")
        return dict(added[0]) if added else {}

    return decide


def _modelled(model: type[BaseModel] | None, params: dict[str, Any], job_name: str) -> Any:
    """Returns the job's params, read as the model if there is one.

    Raises:
        ConfigurationError: The params do not fit the model.
    """
    if model is None:
        return copy.deepcopy(params)
    from dcm_processor_service.runtime.execution.params import validated_params  # loads pydantic, as the model did

    return validated_params(model, params, job_name)


def _plain(added: dict[str, Any]) -> dict[str, Any]:
    """Returns the dictionary as plain JSON: a value that the database cannot hold would end the scheduler."""
    if not added:
        return {}
    from dcm_processor_service.runtime.execution.results import json_safe  # loads pydantic, which is seldom needed

    plain: dict[str, Any] = json_safe(added)
    return plain


def _level(headers: Mapping[str, Any]) -> str:
    return next((level for members, level in _LEVELS.items() if members in headers), "")


def _facts(headers: Mapping[str, Any]) -> SeriesFacts:
    """Returns the values that rules check, as far as the platform's document of a series, study or patient has them."""
    stored = headers.get("Metadata")
    metadata: Mapping[str, Any] = stored if isinstance(stored, Mapping) else {}
    modalities = next(
        (metadata[name] for name in ("Modality", "ModalitiesInStudy", "ModalitiesInPatient") if metadata.get(name)), ()
    )
    number = metadata.get("SeriesNumber")
    return SeriesFacts(
        modalities=(modalities,) if isinstance(modalities, str) else tuple(str(one) for one in modalities if one),
        description=str(metadata.get("SeriesDescription") or ""),
        body_part=str(metadata.get("BodyPartExamined") or ""),
        slice_count=len(headers.get("Instances") or ()),
        series_number=number if isinstance(number, int) else None,
    )


def _described(headers: object) -> str:
    known = headers if isinstance(headers, Mapping) else {}
    try:
        return f"{_level(known) or 'subject'} {known.get('_id', 'without an id')}"
    except Exception:  # noqa: BLE001  a document that is not the platform's must not undo the decision
        return "subject of a malformed document"


def _place(error: BaseException) -> str:
    """Returns the class of an error and where it was raised, without its text."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" in {frames[-1].name}, line {frames[-1].lineno} of {frames[-1].filename}" if frames else ""
    return f"{type(error).__name__}{where}"
