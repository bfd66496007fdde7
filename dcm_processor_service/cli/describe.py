"""``describe``: what this package can do, for programs and for AI assistants that write code with it."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import itertools
import re
import textwrap
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcm_processor_service.cli.console import output_console, print_json_line, sentences
from dcm_processor_service.cli.service import checked_as_json
from dcm_processor_service.local.checking.service_check import check_service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["describe"]

_FACADES = {
    "ctx": "RuntimeContext",
    "ctx.job": "CurrentJob",
    "ctx.progress": "Progress",
    "ctx.step(…)": "Step",
    "ctx.session": "Session",
    "ctx.session.data": "Data",
    "ctx.session.files": "Files",
    "ctx.session.peers": "Peers",
    "ctx.session.dicom": "Dicom",
    "ctx.session.dicom.derive": "Derive",
    "ctx.session.dicom.get_series()": "DicomSeries",
    "ctx.session.dicom.get_series().volume()": "Volume",
}
"""What a callback can use, by the expression that reaches it."""

_OWN_MODULE = "dcm_processor_service"
_SHOWN_MAGIC = {
    "__call__": "",
    "__contains__": "``name in …`` does the same as ``has``.",
    "__getitem__": "``…[name]`` does the same as ``get``.",
    "__setitem__": "``…[name] = value`` does the same as ``set``.",
}
"""Methods behind operators, with a description for those without a docstring."""

_NOT_FOR_CALLBACKS = ("bind", "preset", "without_environment", "settings_customise_sources")


def describe(
    context: typer.Context,
    folder: Annotated[
        Path | None, typer.Argument(help="Folder of a service, whose jobs and params are described too")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as one line of JSON")] = False,
) -> None:
    """List the commands, what a callback can use, and the jobs and params of a service.

    Made for AI assistants and other programs: the descriptions are read from the code, so they fit this version.
    """
    with sentences():
        service = None if folder is None else checked_as_json(check_service(folder))
    description = {
        "version": metadata.version("dcm-processor-service"),
        "commands": list(_commands(context.find_root().command, context)),
        "facades": {written: _members(_public(name)) for written, name in _FACADES.items()},
        "service": service,
    }
    if as_json:
        print_json_line(description)
        return
    _print(description)


def _print(description: dict[str, Any]) -> None:
    console = output_console()
    for command in description["commands"]:
        console.print(f"dcm-processor-service {command['name']}: {command['summary']}", soft_wrap=True)
    for written, facade in description["facades"].items():
        console.print(f"\n{written} ({facade['class']})")
        for member in facade["members"]:
            console.print(f"    {member['name']}{member['signature']}: {member['summary']}", soft_wrap=True)
    for job in (description["service"] or {"jobs": []})["jobs"]:
        console.print(f"\njob {job['name']}: {', '.join(job['events'])}; params: {job['params']}", soft_wrap=True)


def _commands(group: Any, context: typer.Context, above: str = "") -> Iterator[dict[str, Any]]:
    for name in list(group.commands):
        command = group.get_command(context, name)  # loads it
        if hasattr(command, "commands"):
            yield from _commands(command, context, f"{above}{name} ")
            continue
        options = [one for one in command.params if one.name != "help"]
        yield {
            "name": above + name,
            "summary": _first_paragraph(command.help or ""),
            "options": [
                {
                    "names": list(one.opts) if one.param_type_name == "option" else [one.name],
                    "required": one.required,
                    "many": one.multiple or one.nargs != 1,
                    "default": None if one.default is None or callable(one.default) else str(one.default),
                    "help": getattr(one, "help", None) or "",
                }
                for one in options
            ],
        }


def _public(name: str) -> type:
    found: type = getattr(importlib.import_module(_OWN_MODULE), name)
    return found


def _members(owner: type) -> dict[str, Any]:
    """Returns a class's public members, without those of other packages, each with its docstring's first paragraph."""
    members = [*_fields(owner)]
    found = {name: item for base in reversed(owner.__mro__) for name, item in vars(base).items()}
    for name, item in sorted(found.items()):
        shown = (not name.startswith("_") or name in _SHOWN_MAGIC) and name not in _NOT_FOR_CALLBACKS
        function = item.fget if isinstance(item, property) else item
        if shown and inspect.isfunction(function) and function.__module__.startswith(_OWN_MODULE):
            members.append(
                {
                    "name": name,
                    "signature": "" if isinstance(item, property) else _signature(function),
                    "summary": _first_paragraph(inspect.getdoc(function) or _SHOWN_MAGIC.get(name, "")),
                }
            )
    return {"class": owner.__name__, "summary": _first_paragraph(inspect.getdoc(owner) or ""), "members": members}


def _fields(owner: type) -> Iterator[dict[str, str]]:
    """Lists the fields of a dataclass, each with the string that follows it, which only the source code has."""
    for base in reversed(owner.__mro__):
        if not dataclasses.is_dataclass(base) or not base.__module__.startswith(_OWN_MODULE):
            continue
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        body = definition.body if isinstance(definition, ast.ClassDef) else []
        for node, following in itertools.pairwise(body):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                text = f"A {ast.unparse(node.annotation)}."
                if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
                    text = str(following.value.value)
                yield {"name": node.target.id, "signature": "", "summary": _first_paragraph(text)}


class _AsWritten(str):
    """An annotation that is shown without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _signature(function: Callable[..., Any]) -> str:
    signature = inspect.signature(function)
    parameters = [
        one.replace(annotation=_AsWritten(one.annotation)) if isinstance(one.annotation, str) else one
        for one in list(signature.parameters.values())[1:]
    ]
    return str(signature.replace(parameters=parameters, return_annotation=_AsWritten(signature.return_annotation)))


def _first_paragraph(text: str) -> str:
    paragraph = " ".join(text.partition("\n\n")[0].split())
    return re.sub(r":(?:class|meth|mod|func):`~?([^`]*)`", r"``\1``", paragraph)
