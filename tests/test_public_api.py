"""The names that can be imported from the package are those that it lists."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path

import pytest

import dcm_processor_service
from dcm_processor_service import errors

PACKAGE = Path(dcm_processor_service.__file__).parent
MODULES = sorted(
    ".".join(("dcm_processor_service", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if path.name != "__main__.py"
)


ERRORS = [name for name in errors.__all__ if inspect.isclass(getattr(errors, name))]
"""The other public names of the module are exit codes."""


def test_every_public_name_is_there_sorted_and_listed() -> None:
    names = dcm_processor_service.__all__
    assert names == sorted(names)
    for name in names:
        assert getattr(dcm_processor_service, name) is not None
        assert name in dir(dcm_processor_service)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        getattr(dcm_processor_service, "nonsense")  # noqa: B009  mypy would see a plain one


def test_what_the_type_checker_sees_is_what_is_loaded() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    seen = {
        alias.asname or alias.name: node.module
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert set(seen) == set(dcm_processor_service.__all__)
    for name, home in dcm_processor_service._HOME.items():
        assert seen[name] == f"dcm_processor_service.{home}", name


@pytest.mark.parametrize("name", MODULES)
def test_a_module_lists_its_public_names(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} has no docstring"
    listed = getattr(module, "__all__", ())
    defined = [key for key, item in vars(module).items() if getattr(item, "__module__", "") == name and key[0] != "_"]
    assert listed or not defined, f"{name} defines {defined} and lists nothing"
    for public in listed:
        assert hasattr(module, public), f"{name} lists {public}, which it does not have"


def test_the_error_tree_in_the_docstring_is_the_tree() -> None:
    drawn = {line.strip(" │├└").split(" ")[0] for line in (errors.__doc__ or "").splitlines() if "Error" in line}
    real = {name for name, item in vars(errors).items() if inspect.isclass(item) and issubclass(item, Exception)}
    assert real == set(ERRORS)
    assert drawn >= real
    for name in real - {"DcmProcessorError"}:
        assert issubclass(getattr(errors, name), errors.DcmProcessorError)


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_shows_its_sentence_and_survives_pickling(name: str) -> None:
    import pickle

    error = getattr(errors, name)("what, where, what to do")
    assert str(error) == "what, where, what to do"
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (type(error), str(error))
    assert isinstance(type(error).__new__(type(error), *error.args), type(error))  # as tblib restores it, in Dask
    assert error.exit_code in {1, 2, 3}
    assert (error.exit_code == 3) == error.retryable
