"""Finds a callback and reads from its annotations which arguments it takes.

A callback is any function whose parameters are annotated with the types of their arguments:
:class:`~dcm_processor_service.RuntimeContext`, :class:`~dcm_processor_service.Session`, a pydantic model of its own
(the job's params, validated), or, where the function is ``async def``, ``AsyncRuntimeContext`` and ``AsyncSession``.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace, UnionType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from dcm_processor_service.disk import is_file
from dcm_processor_service.errors import CallbackNotFoundError, CallbackSignatureError
from dcm_processor_service.runtime.context import AsyncRuntimeContext, RuntimeContext
from dcm_processor_service.runtime.settings import RuntimeSettings
from dcm_processor_service.session.session import AsyncSession, Session

if TYPE_CHECKING:
    from types import ModuleType

    from dcm_processor_service.ports import Mode

__all__ = [
    "CALLBACK_ATTRIBUTE",
    "Callback",
    "CallbackFunction",
    "find_callback",
    "inspect_callback",
]

CallbackFunction: TypeAlias = Callable[..., Any]
"""A function that the runner can call: the annotation of each parameter names the argument that the runner passes."""

Want: TypeAlias = "Literal['context', 'session'] | type[BaseModel]"

CALLBACK_ATTRIBUTE = "__dcm_processor_callback__"
"""Attribute of a worker's entry: the callback from which ``entrypoint`` made the entry."""

DEFAULT_FUNCTION = "run"
_EXAMPLE = "def run(ctx: RuntimeContext)"


@dataclass(frozen=True)
class Callback:
    """A function with the kind of argument of each parameter."""

    function: CallbackFunction
    mode: Mode
    wants: tuple[tuple[str, Want], ...]

    @property
    def name(self) -> str:
        """The function's name with its module."""
        return f"{self.function.__module__}.{self.function.__qualname__}"

    @property
    def params_models(self) -> tuple[type[BaseModel], ...]:
        """The models for the job's params, from the annotations; if there are any, the job's document is read."""
        return tuple(want for _name, want in self.wants if isinstance(want, type))


def find_callback(reference: str) -> CallbackFunction:
    """Returns the function that ``MODULE:FUNCTION`` or ``path/to/file.py:FUNCTION`` names.

    If FUNCTION is left out, the function is ``run``.

    Raises:
        CallbackNotFoundError: There is no such module or function, or importing the module fails (the cause is kept).
    """
    place, _, function_name = reference.rpartition(":") if _has_function(reference) else (reference, "", "")
    function_name = function_name or DEFAULT_FUNCTION
    module = _import_file(Path(place)) if place.endswith(".py") else _import_module(place)
    function: Any = module
    for part in function_name.split("."):
        function = getattr(function, part, None)
    if not callable(function):
        names = [
            name
            for name, item in vars(module).items()
            if inspect.isfunction(item) and not name.startswith("_") and item.__module__ == module.__name__
        ]
        raise CallbackNotFoundError(
            f"{place} has no function {function_name!r}; its functions are: {', '.join(names) or 'none'}"
        )
    found: CallbackFunction = function
    return found


def _has_function(reference: str) -> bool:
    _place, colon, tail = reference.rpartition(":")
    return bool(colon) and all(part.isidentifier() for part in tail.split("."))


def _import_module(name: str) -> ModuleType:
    _search(Path.cwd())
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise CallbackNotFoundError(
            f"the module {name!r} cannot be imported: {type(error).__name__}: {error}; is it installed, or in the "
            "working directory?"
        ) from error


def _search(folder: Path) -> None:
    """Lets a callback import the modules in its folder, as a script can; it stays so while the callback runs."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _import_file(path: Path) -> ModuleType:
    if not is_file(path):
        raise CallbackNotFoundError(f"there is no file {str(path)!r}")
    spec = importlib.util.spec_from_file_location(_module_name(path), path)
    if spec is None or spec.loader is None:
        raise CallbackNotFoundError(f"{str(path)!r} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pydantic look the module of a class up there
    _search(path.parent.resolve())
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[spec.name]
        raise CallbackNotFoundError(f"{str(path)!r} cannot be imported: {type(error).__name__}: {error}") from error
    return module


def _module_name(path: Path) -> str:
    """Returns the file's stem, or another name if a library has it: ``statistics.py`` must not replace the library."""
    loaded = sys.modules.get(path.stem)
    file = getattr(loaded, "__file__", None)
    own = file is not None and Path(file).resolve() == path.resolve()
    taken = path.stem in sys.stdlib_module_names or (loaded is not None and not own)
    return f"callback_{path.stem}" if taken else path.stem


def inspect_callback(function: CallbackFunction) -> Callback:
    """Reads which arguments a function takes.

    Raises:
        CallbackSignatureError: A parameter has no annotation, or an annotation that no argument fits, or the function
            mixes blocking and asynchronous types; the message has the correction.

    Example:
        >>> def run(ctx: RuntimeContext) -> None: ...
        >>> inspect_callback(run).wants
        (('ctx', 'context'),)
    """
    function = getattr(function, CALLBACK_ATTRIBUTE, function)
    name = getattr(function, "__qualname__", type(function).__qualname__)
    if not inspect.isroutine(function):
        raise CallbackSignatureError(f"{name} is not a function; give a function, as in {_EXAMPLE}")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise CallbackSignatureError(
            f"{name} has a yield, so calling it would run nothing; return its results, or store them in the session"
        )
    try:
        hints = _parameter_types(function)
        parameters = inspect.signature(function).parameters.values()
    except (NameError, TypeError, ValueError) as error:
        raise CallbackSignatureError(
            f"the annotations of {name} cannot be read: {error}; import the annotated types at the top of the module, "
            f"not under TYPE_CHECKING, as in {_EXAMPLE}"
        ) from error
    mode: Mode = "async" if inspect.iscoroutinefunction(function) else "blocking"
    wants = []
    for parameter in parameters:
        if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}:
            continue
        want = _want(name, parameter, _required(hints.get(parameter.name)), mode)
        if want is not None:
            wants.append((parameter.name, want))
    return Callback(function, mode, tuple(wants))


def _parameter_types(function: CallbackFunction) -> dict[str, Any]:
    """Reads all annotations except the result's, whose type is often imported for type checkers alone."""
    annotations = {**getattr(function, "__annotations__", {})}  # a built-in function has no annotations
    annotations.pop("return", None)
    namespace = getattr(inspect.unwrap(function), "__globals__", {})
    return get_type_hints(SimpleNamespace(__annotations__=annotations), namespace)


def _required(hint: Any) -> Any:
    """Returns ``X`` for ``X | None``, because an argument that can be injected is never None."""
    members = [member for member in get_args(hint) if member is not type(None)]
    return members[0] if get_origin(hint) in {Union, UnionType} and len(members) == 1 else hint


def _want(name: str, parameter: inspect.Parameter, hint: Any, mode: Mode) -> Want | None:
    optional = parameter.default is not parameter.empty
    if hint is None and not optional:
        raise CallbackSignatureError(
            f"the parameter {parameter.name!r} of {name} has no annotation; write {_EXAMPLE}, and import "
            "RuntimeContext from dcm_processor_service"
        )
    if parameter.kind is parameter.POSITIONAL_ONLY and not optional:
        raise CallbackSignatureError(
            f"the parameter {parameter.name!r} of {name} is positional-only; arguments are given by name, so drop the /"
        )
    injectable: dict[Any, tuple[Literal["context", "session"], Mode]] = {
        RuntimeContext: ("context", "blocking"),
        Session: ("session", "blocking"),
        AsyncRuntimeContext: ("context", "async"),
        AsyncSession: ("session", "async"),
    }
    if hint in injectable:
        want, wanted_mode = injectable[hint]
        if wanted_mode != mode:
            raise CallbackSignatureError(_mixed(name, parameter.name, hint, mode))
        return want
    # on Python 3.10, inspect.isclass is True for list[int]
    if inspect.isclass(hint) and get_origin(hint) is None and issubclass(hint, BaseModel) and not _is_ours(hint):
        return hint
    if optional:
        return None
    raise CallbackSignatureError(
        f"the parameter {parameter.name!r} of {name} is annotated {getattr(hint, '__name__', hint)}, which cannot be "
        f"injected; a callback takes RuntimeContext, Session or a pydantic model of its params, as in {_EXAMPLE}"
    )


def _is_ours(model: type[BaseModel]) -> bool:
    """Returns whether a model is this package's own, and so never one of a job's params."""
    return issubclass(model, RuntimeSettings) or model.__module__.partition(".")[0] == __name__.partition(".")[0]


def _mixed(name: str, parameter: str, hint: type, mode: Mode) -> str:
    if mode == "blocking":
        return (
            f"{name} is a blocking function but its parameter {parameter!r} is {hint.__name__}; write async def "
            f"{name}, or annotate it {hint.__name__.removeprefix('Async')}"
        )
    return (
        f"{name} is async def but its parameter {parameter!r} is {hint.__name__}; annotate it Async{hint.__name__}, or "
        f"write def {name}"
    )
