"""Which room may import which, and which libraries an import may load."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import dcm_processor_service

PACKAGE = Path(dcm_processor_service.__file__).parent
HEAVY = [
    *("bson", "dcm2niix", "dicom2nifti", "gridfs", "highdicom", "isal", "motor", "nibabel", "numpy", "PIL"),
    *("contourpy", "monai", "pydicom", "pymongo", "pynetdicom", "scipy", "SimpleITK", "torch"),
]

LAYERS: dict[str, str] = {
    "errors": "",
    "lazy_names": "",
    "disk": "errors",
    "hypertext": "",
    "keywords": "errors",
    "series_rules": "errors keywords models",
    "models": "errors lazy_names keywords hypertext",
    "codec": "errors models",
    "ports": "errors models codec",
    "env_vars": "errors",
    "memory_records": "",
    "child_processes": "errors",
    "reporting": "errors models hypertext",
    "session": "errors keywords series_rules disk models codec ports hypertext reporting",
    "runtime": "errors keywords disk models codec ports env_vars memory_records session",
    "registry": "errors series_rules runtime",
    "backends": "errors disk models codec ports memory_records",
    "imaging": "errors disk models codec ports child_processes hypertext",
    "derived": "errors lazy_names keywords disk models codec ports imaging",
    "dicom_network": "errors lazy_names disk models codec ports child_processes imaging.headers imaging.decoding",
    "operations": "errors models ports runtime",
}
"""For each room, the rooms that it may import besides itself; those not listed may import all.

Of ``imaging``, ``dicom_network`` may import only the room that decides which files are DICOM and the room that decides
which library decodes them. When it decided these itself, it once left out half of a folder, and once could not decode
images that ``imaging`` could.
"""

ADAPTERS = ("backends", "imaging", "derived", "dicom_network")
MAY_IMPORT_ADAPTERS = ("runtime.adapters", "runtime.stores")

IMAGING_LIBRARIES = {*HEAVY} - {"motor", "pymongo", "bson", "gridfs", "pynetdicom", "SimpleITK", "monai", "torch"}
LIBRARIES: dict[str, set[str]] = {
    "backends.mongo.driver.asynchronous": {"motor", "pymongo", "bson", "gridfs"},
    "backends.mongo": {"pymongo", "bson", "gridfs"},
    "imaging": IMAGING_LIBRARIES,
    "derived": IMAGING_LIBRARIES,
    "dicom_network": {"pydicom", "pynetdicom", "numpy", "PIL", "isal"},
    "testing.fake_pacs": {"pydicom", "pynetdicom", "numpy", "PIL", "isal"},
    "testing.fake_query": {"pydicom", "numpy", "PIL"},
    "testing.fake_retrieval": {"pydicom", "pynetdicom", "numpy", "PIL"},
    "testing.fake_web": {"pydicom", "pynetdicom", "numpy", "PIL"},
    "testing.contracts": {"numpy", "nibabel", "pydicom", "pynetdicom", "scipy", "PIL", "isal"},
}
"""The heavy libraries that importing a module may load; every other module loads none."""


PATHS = [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__main__.py"]


def modules() -> list[str]:
    names = [".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in PATHS]
    return [name.removesuffix(".__init__").removesuffix("__init__") for name in names]


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def files_with(*words: str) -> list[Path]:
    """The files that have one of these words, which alone are worth parsing."""
    return [path for path in PACKAGE.rglob("*.py") if any(word in path.read_text(encoding="utf-8") for word in words)]


def room(module: str) -> str:
    return module.partition(".")[0]


def runtime_imports(path: Path) -> set[str]:
    """Returns the rooms that a module imports when it runs, one level deep, such as ``imaging.headers``.

    Leaves out rooms that only annotations need.
    """

    class Visitor(ast.NodeVisitor):
        def __init__(self) -> None:
            self.found: set[str] = set()

        def visit_If(self, node: ast.If) -> None:
            if "TYPE_CHECKING" not in ast.dump(node.test):
                self.generic_visit(node)

        def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
            package, _, name = (node.module or "").partition(".")
            if package == "dcm_processor_service":
                names = [f"{name}.{alias.name}".strip(".") for alias in node.names]
                self.found.update(".".join(one.split(".")[:2]) for one in names)

    visitor = Visitor()
    visitor.visit(tree_of(path))
    return visitor.found


@pytest.mark.parametrize("module", [name for name in modules() if name])
def test_a_room_imports_only_what_stands_below_it(module: str) -> None:
    path = PACKAGE.joinpath(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    own = room(module)
    imported = {name for name in runtime_imports(path) if room(name) != own}
    if module in MAY_IMPORT_ADAPTERS:
        imported = {name for name in imported if room(name) not in ADAPTERS}
    if own in LAYERS:
        allowed = set(LAYERS[own].split())
        surprises = {name for name in imported if name not in allowed and room(name) not in allowed}
        assert not surprises, f"{module} imports {sorted(surprises)}"
    else:
        assert not set(map(room, imported)) & set(ADAPTERS) or own in EXCEPTIONS, f"{module} imports an adapter"


def test_the_finer_rule_tells_the_rooms_of_imaging_apart(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(
        "from dcm_processor_service.imaging import volumes\n"
        "from dcm_processor_service.imaging.headers.folder import files_below\n"
        "from dcm_processor_service import errors\n"
    )
    assert runtime_imports(path) == {"imaging.volumes", "imaging.headers", "errors"}


def all_imports(path: Path, known: set[str]) -> set[str]:
    """Returns the modules of this package that a module imports, also inside functions or for annotations alone."""
    found = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE.name):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in known else str(node.module) for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in known}
    return found


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Returns the strongly connected components of more than one node, by Tarjan's algorithm."""
    index: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(node: str) -> None:
        index[node] = lowest[node] = len(index)
        stack.append(node)
        for other in graph[node]:
            if other not in index:
                visit(other)
                lowest[node] = min(lowest[node], lowest[other])
            elif other in stack:
                lowest[node] = min(lowest[node], index[other])
        if lowest[node] == index[node]:
            at = stack.index(node)
            found.append(sorted(stack[at:]))
            del stack[at:]

    for node in graph:
        if node not in index:
            visit(node)
    return [component for component in found if len(component) > 1]


def test_circles_of_any_length_are_found() -> None:
    graph = {"a": {"b"}, "b": {"c", "d"}, "c": {"a"}, "d": {"d"}, "e": {"f", "a"}, "f": {"e"}}
    assert sorted(circles(graph)) == [["a", "b", "c"], ["e", "f"]]


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Imports for annotations and inside functions count: a reader follows those, too."""
    paths = {f"{PACKAGE.name}.{name}".rstrip("."): path for name, path in zip(modules(), PATHS, strict=True)}
    assert not circles({name: all_imports(path, set(paths)) - {name} for name, path in paths.items()})


EXCEPTIONS = {
    "testing": "its contexts use the memory backend, and its fake archive listens as dicom_network does",
}


def library_room(module: str) -> str:
    """Returns the entry of LIBRARIES for a module; empty if the module may load none."""
    return next((key for key in sorted(LIBRARIES, key=len, reverse=True) if f"{module}.".startswith(f"{key}.")), "")


GROUND = ("errors", "lazy_names", "keywords", "disk", "hypertext", "models", "codec", "ports")
"""Rooms that import only each other, so that no other module's import is hidden if these are loaded before it."""

IMPORTER = """
import importlib, json, os, sys
import pydantic, dependency_injector.providers, typer, rich.table, pytest

heavy, children, ground = json.loads(sys.argv[1])

def loaded():
    return sorted(name for name in heavy if name in sys.modules)

def loaded_by(names):
    reading, writing = os.pipe()
    if os.fork() == 0:
        for name in names:
            importlib.import_module(name)
        os.write(writing, json.dumps(loaded()).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as stream:
        found = json.loads(stream.read() or '["the import failed"]')
    os.wait()
    return found

assert not loaded(), loaded()
found = {child: loaded_by(names) for child, names in children.items() if child in ground}
if not any(found.values()):
    for child in found:
        importlib.import_module(*children[child])
found |= {child: loaded_by(names) for child, names in children.items() if child not in ground}
print(json.dumps(found))
"""


def test_importing_a_module_loads_no_heavy_library_but_its_own() -> None:
    """Imports each module that may load none in a process of its own, and each room of adapters in one process.

    The processes are forks of an interpreter that has loaded light libraries and then the rooms of ``GROUND``.
    """
    assert all(set(LAYERS[key].split()) <= set(GROUND) for key in GROUND)
    children: dict[str, list[str]] = {}
    for module in modules():
        full_name = f"dcm_processor_service.{module}".rstrip(".")
        children.setdefault(library_room(module) or full_name, []).append(full_name)
    ground = [name for name in children if room(name.removeprefix("dcm_processor_service.")) in GROUND]
    given = json.dumps([HEAVY, children, ground])
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", IMPORTER, given], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    surprises = {
        child: sorted(extra)
        for child, loaded in json.loads(ran.stdout).items()
        if (extra := set(loaded) - LIBRARIES.get(child, set()))
    }
    assert not surprises


@pytest.mark.parametrize("library", HEAVY)
def test_importing_the_package_in_a_fresh_interpreter_does_not_load(library: str, bare_import: set[str]) -> None:
    assert library not in bare_import


@pytest.fixture(scope="module")
def bare_import() -> set[str]:
    script = "import sys, dcm_processor_service; print('\\n'.join(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(ran.stdout.split())


def test_only_the_environment_module_reads_the_environment() -> None:
    readers = {
        path.relative_to(PACKAGE).as_posix()
        for path in files_with("environ", "getenv")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}
    }
    # a decoder process gets a few variables of its parent's environment and none of the others; a fixture asks for CI
    allowed = {"env_vars.py", "cli/doctor.py", "child_processes/process.py", "testing/pytest_plugin.py"}
    assert readers <= allowed


def test_dependency_injector_stays_in_the_container() -> None:
    users = {path.name for path in PACKAGE.rglob("*.py") if "dependency_injector" in path.read_text(encoding="utf-8")}
    assert users == {"container.py"}


def test_motor_stays_in_its_file() -> None:
    users = {
        path.relative_to(PACKAGE).as_posix()
        for path in files_with("motor")
        for node in ast.walk(tree_of(path))
        if (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("motor"))
        or (isinstance(node, ast.Import) and any(alias.name.startswith("motor") for alias in node.names))
    }
    assert users <= {"backends/mongo/driver/asynchronous.py"}
