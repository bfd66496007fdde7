"""The public names are complete and explained, and README, docs and examples import no others."""

from __future__ import annotations

import ast
import doctest
import inspect
import itertools
import re
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol, get_origin

import pytest

from dcm_processor_service import errors
from tests.command_line import ROOT as REPOSITORY
from tests.public_places import (
    NEW_PLACES,
    OLD_ADDRESSES,
    PUBLIC_PLACES,
    ROOT,
    definitions,
    module,
    module_names,
    public_objects,
    source_tree,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OWN_TYPES = {one.name: one for one in definitions()}
SHOWN_MAGIC = {"__call__", "__getitem__", "__iter__"}
NOT_WALKED = {
    "Container": "its attributes are providers; the ports that they provide are public",
    "AsyncContainer": "as Container",
}
CALLED_BY_LIBRARIES = {"bind": "the container, on contexts"}


def public_callables() -> Iterator[tuple[str, Any]]:
    """Yields each public function, method and property, and each class whose fields are annotated, with its name."""
    for name, item in sorted(public_objects().items()):
        if inspect.isfunction(item):
            yield name, item
        if not inspect.isclass(item) or name in NOT_WALKED:
            continue
        for base in inspect.getmro(item):
            if base.__module__.startswith(ROOT):
                yield name, base
                yield from ((f"{name}.{part}", function) for part, function in methods(base))


def methods(owner: type) -> Iterator[tuple[str, Any]]:
    """Yields the methods and properties that this package defines, without those that pydantic adds."""
    for name, found in [*vars(owner).items()]:  # a model that is built at its first use gets more meanwhile
        function = found.fget if isinstance(found, property) else inspect.unwrap(getattr(found, "__func__", found))
        shown = name in SHOWN_MAGIC or (not name.startswith("_") and name not in CALLED_BY_LIBRARIES)
        if shown and inspect.isfunction(function) and function.__module__.startswith(ROOT):
            yield name, function


def named_types(annotation: object) -> set[str]:
    """Returns the names in an annotation as it is written, so that type aliases count too."""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    nodes = list(ast.walk(ast.parse(text.strip(), mode="eval")))
    quoted = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    inner = {name for one in quoted if one not in {text, ""} and one.isidentifier() for name in [one]}
    return {node.id for node in nodes if isinstance(node, ast.Name)} | inner


def imported_from_elsewhere(module_name: str) -> set[str]:
    """Returns the names that a module imports from other packages: a type of ours may have the same name."""
    return {
        alias.asname or alias.name
        for node in ast.walk(source_tree(module_name))
        if isinstance(node, ast.ImportFrom) and not (node.module or "").startswith(ROOT)
        for alias in node.names
    }


def hidden_types(item: Any) -> dict[str, set[str]]:
    """Returns, by parameter, field or ``return``, our types that no public place lists."""
    public, foreign = public_objects(), imported_from_elsewhere(item.__module__)
    found = {}
    for part, annotation in inspect.get_annotations(item).items():
        names = {one for one in named_types(annotation) if one in OWN_TYPES and one not in foreign}
        spelled_out = {one for one in names if one.startswith("_") and OWN_TYPES[one].is_alias}
        if not part.startswith("_") and (hidden := names - public.keys() - spelled_out):
            found[part] = hidden
    return found


CALLABLES: dict[str, list[Any]] = {}
for _name, _item in public_callables():
    CALLABLES.setdefault(_name, []).append(_item)


@pytest.mark.parametrize("name", sorted(CALLABLES))
def test_every_type_in_a_public_signature_is_public(name: str) -> None:
    for item in CALLABLES[name]:
        assert not hidden_types(item), name


def test_a_type_that_no_public_place_has_would_be_found() -> None:
    def leak() -> None: ...

    leak.__module__ = f"{ROOT}.session.data"
    leak.__annotations__ = {"which": "Job", "how": "list[Stack] | None", "return": "HeaderLayout"}
    assert hidden_types(leak) == {"how": {"Stack"}, "return": {"HeaderLayout"}}


def test_every_error_that_is_raised_is_in_the_errors_module() -> None:
    for name in module_names():
        module(name)
    own = {one for one in leaves(errors.DcmProcessorError) if one.__module__.startswith(ROOT)}
    missing = {one.__name__ for one in own if one.__name__ not in errors.__all__}
    assert missing == INTERNAL_ERRORS.keys()
    for name in INTERNAL_ERRORS:
        (one,) = (one for one in own if one.__name__ == name)
        assert {base.__name__ for base in one.__bases__} & {*errors.__all__}, f"no public name catches {name}"


INTERNAL_ERRORS = {
    "DuplicateIdError": "caught by the repositories, which try again",
    "IndexExistsError": "caught where indexes are made",
    "NoNumberError": "caught by the repository, which returns None",
    "PeerRefusesError": "tells the sender not to try again; caught as PeerUnreachableError",
    "UnreadableInstanceError": "becomes the record of its instance",
}
"""Errors that a room raises and catches itself; each derives from a public one."""


def leaves(error: type[Exception]) -> Iterator[type[Exception]]:
    for one in error.__subclasses__():
        yield one
        yield from leaves(one)


@pytest.mark.parametrize("place", NEW_PLACES)
def test_a_public_place_shows_all_its_names_to_dir(place: str) -> None:
    found = module(place)
    assert {*found.__all__} <= {*dir(found)}


def test_models_and_ports_are_all_there_for_authors_of_stores() -> None:
    for place in ("models", "ports"):
        found = module(f"{ROOT}.{place}")
        inside = {one.name for one in definitions() if one.module.startswith(f"{ROOT}.{place}.")}
        missing = {one for one in inside if not one.startswith("_")} - {*found.__all__}
        assert not missing


WITHOUT_EXAMPLE = {
    "NormalValue": "an alias of Any",
    **dict.fromkeys(
        (
            "DocumentOptions",
            "ImageOptions",
            "MapOptions",
            "OverlayOptions",
            "PresentationOptions",
            "SegmentationOptions",
            "StructureSetOptions",
        ),
        "made of the keyword arguments of derive, which explains them",
    ),
    **dict.fromkeys(module(f"{ROOT}.testing.contracts").__all__, "docs/stores.md shows them together, and runs"),
    **dict.fromkeys(errors.__all__, "each is raised, never made; DcmProcessorError shows how one is caught"),
}


def needs_example(name: str, item: Any) -> bool:
    """Returns whether a name needs an example: a class or function, but no enum, Protocol or part of the 0.0.1 API."""
    if not (inspect.isclass(item) or inspect.isfunction(item)) or name in WITHOUT_EXAMPLE:
        return False
    if inspect.isclass(item) and (issubclass(item, Enum) or Protocol in item.__bases__):
        return False
    of_the_old_api = {one for address in OLD_ADDRESSES for one in module(address).__all__}
    return name not in of_the_old_api


@pytest.mark.parametrize(
    "name", sorted(name for place in NEW_PLACES for name in module(place).__all__ if name != "ABSENT")
)
def test_a_public_name_is_explained_and_where_it_helps_by_an_example(name: str) -> None:
    item = public_objects()[name]
    is_alias = get_origin(item) is not None  # Python 3.10 takes some for classes
    if not is_alias and (inspect.isclass(item) or inspect.isfunction(item)):
        assert item.__doc__, f"{name} has no docstring"
        if needs_example(name, item):
            assert ">>> " in item.__doc__, f"{name} has no example"
    elif name in OWN_TYPES:
        assert followed_by_docstring(OWN_TYPES[name].module, name), f"the alias {name} has no docstring"


def followed_by_docstring(module_name: str, name: str) -> bool:
    body = source_tree(module_name).body
    for node, after in itertools.pairwise(body):
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == name:
            return isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
    return False


def blocks_of_python(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    return [text] if path.suffix == ".py" else re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


def imports(code: str) -> Iterator[tuple[str, str]]:
    """Yields each name that code imports from this package, after the module it comes from."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == ROOT:
            yield from ((node.module or "", alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name.partition(".")[0] == ROOT)


def assert_public(place: str, name: str, where: str) -> None:
    if f"{place}.{name}" in PUBLIC_PLACES:
        return
    assert place in PUBLIC_PLACES, f"{where} imports from {place}, which is internal"
    assert not name or name in module(place).__all__, f"{where} imports {name}, which {place} does not list"


@pytest.mark.parametrize(
    "path",
    [REPOSITORY / "README.md", *sorted(REPOSITORY.glob("docs/**/*.md")), *sorted(REPOSITORY.glob("examples/**/*.py"))],
    ids=lambda path: path.name,
)
def test_documents_and_examples_import_from_public_places_alone(path: Path) -> None:
    for block in blocks_of_python(path):
        for place, name in imports(block):
            assert_public(place, name, path.name)


def test_examples_of_public_docstrings_import_from_public_places_alone() -> None:
    parser = doctest.DocTestParser()
    seen = 0
    for name, item in (*public_objects().items(), *public_callables()):
        for example in parser.get_examples(getattr(item, "__doc__", None) or ""):
            for place, imported in imports(example.source):
                assert_public(place, imported, f"the example of {name}")
                seen += 1
    assert seen
