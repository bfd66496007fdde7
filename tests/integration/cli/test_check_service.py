"""``check SERVICE_FOLDER``: what the platform would drop, refuse or fail at is told before it is deployed."""

from __future__ import annotations

import json
from importlib import metadata
from typing import TYPE_CHECKING, Any

import pytest

from tests.command_line import Ran, run_here
from tests.integration.cli.test_run_service import FILES, JOBS, REGISTRY
from tests.service_folders import job, write_service

if TYPE_CHECKING:
    from pathlib import Path

WORKER = {"module/__init__.py": "def worker(**kwargs):\n    return 1\n"}


def check(folder: Path, *options: str) -> Ran:
    return run_here("check", folder, *options, folder=folder.parent)


def problems(folder: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in json.loads(check(folder, "--json").stdout)["problems"]:
        found.setdefault(one["code"], []).append(f"{one['job']}: {one['message']}")
    return found


def one_job(tmp_path: Path, source: str, *jobs: dict[str, Any], **more: Any) -> dict[str, list[str]]:
    files = {"module/__init__.py": source, **more.pop("files", {})}
    return problems(write_service(tmp_path / "service", list(jobs) or [job("one")], files, **more))


def test_a_service_that_runs_has_no_problem_and_shows_its_params(tmp_path: Path) -> None:
    ran = check(write_service(tmp_path / "lung", JOBS, FILES, registry=REGISTRY))
    assert ran.code == 0, ran.stdout
    assert ran.stdout.splitlines() == [
        "job total: stable-study",
        "job old: stable-series, after count",
        '    label = "liver" (in the manifest)',
        "job count: stable-series",
        "    factor (integer) = 2 (default)",
        "lung 0.0.1: no problem was found",
    ]


def test_the_schema_of_the_params_is_json(tmp_path: Path) -> None:
    ran = check(write_service(tmp_path / "lung", JOBS, FILES), "--schema")
    schemas = json.loads(ran.stdout)
    assert list(schemas) == ["total", "old", "count"]
    assert schemas["total"] is schemas["old"] is None
    assert schemas["count"]["properties"] == {"factor": {"default": 2, "title": "Factor", "type": "integer"}}


def test_json_tells_jobs_and_problems(tmp_path: Path) -> None:
    ran = check(write_service(tmp_path / "lung", [job("a", dependsOn=["b"])], WORKER), "--json")
    found = json.loads(ran.stdout)
    assert (ran.code, found["service"], found["ok"]) == (1, "lung", False)
    assert [(one["code"], one["job"], one["blocking"]) for one in found["problems"]] == [("unknown-job", "a", True)]
    assert found["jobs"][0]["depends_on"] == ["b"]


def test_names_and_dependencies_that_drop_jobs_are_found(tmp_path: Path) -> None:
    jobs = [
        job("a", dependsOn=["b"]),
        job("b", dependsOn=["a"]),
        job("c", dependsOn=["bb"]),
        job("d", event="stable-study", dependsOn=["c"]),
        job("e", dependsOn=["off"]),
        job("off", disabled=True),
        job("twice"),
        job("twice"),
        job("dotted.name"),
        job("never", events=[]),
    ]
    found = problems(write_service(tmp_path / "service", jobs, WORKER))
    assert found.pop("circle") == [
        "a: dependsOn leads in a circle through 'a' and 'b', so none of them is ever created"
    ]
    assert "did you mean 'b'?" in found.pop("unknown-job")[0]
    assert "'c' is not a job of stable-study" in found.pop("other-event")[0]
    assert "'off' is disabled" in found.pop("disabled-job")[0]
    assert "2 jobs of stable-series are named 'twice'" in found.pop("duplicate-job")[0]
    assert found.pop("job-name")[0].startswith("dotted.name: its name has a dot")
    assert found.pop("no-event")[0].startswith("never: it has no event")
    assert found == {}


def test_a_job_of_a_required_service_is_a_note(tmp_path: Path) -> None:
    folder = write_service(tmp_path / "service", [job("a", dependsOn=["x"])], WORKER, required_services=["lung"])
    ran = check(folder)
    assert ran.code == 0
    assert (
        "note a: dependsOn: 'x' is not a job of this manifest; it has to be one of a required service (lung)"
        in ran.stdout
    )


@pytest.mark.parametrize(
    ("source", "code", "message"),
    [
        ("", "entry", "'worker', is not there"),
        ("worker = 3", "entry", "'worker', is not a function"),
        ("import missing_library", "import", "is it in requirements.txt and installed here?"),
        ("def worker(session_id): ...", "entry", "does not take the worker's keyword arguments"),
        ("async def worker(**kwargs): ...", "entry", "is async def, which the worker does not await"),
        ("from dcm_processor_service import RuntimeContext as C\ndef worker(ctx: C): ...", "entry", "make it an entry"),
        ("from dcm_processor_service import entrypoint\nworker = entrypoint(lambda ctx: 1)", "entry", "no annotation"),
    ],
)
def test_an_entry_that_the_worker_cannot_call_is_found(tmp_path: Path, source: str, code: str, message: str) -> None:
    found = one_job(tmp_path, source)
    assert set(found) == {code}
    assert message in found[code][0]


def test_syntax_that_the_python_of_the_worker_does_not_have_is_found(tmp_path: Path) -> None:
    files = {"module/later.py": "def late():\n    try: ...\n    except* OSError: ...\n"}
    found = one_job(tmp_path, WORKER["module/__init__.py"], files=files)
    assert set(found) == {"python-syntax"}
    assert "later.py:" in found["python-syntax"][0]
    assert "Python 3.10 cannot read this" in found["python-syntax"][0]


@pytest.mark.parametrize(
    ("registry", "message"),
    [
        ("def callback(headers): ...", "does not take the keyword arguments session_id, job_name"),
        ("async def callback(**kwargs): ...", "is async def"),
        ("import missing_library\ndef callback(**kwargs): ...", "cannot be imported"),
    ],
)
def test_a_registry_function_that_always_refuses_is_found(tmp_path: Path, registry: str, message: str) -> None:
    found = one_job(tmp_path, WORKER["module/__init__.py"], registry=registry)
    assert set(found) == {"registry"}
    assert message in found["registry"][0]


@pytest.mark.parametrize(
    ("params", "message"),
    [({"factor": "much"}, "factor: Input should be a valid integer"), ({"factr": 1}, "did you mean 'factor'?")],
)
def test_params_that_do_not_fit_the_model_are_found(tmp_path: Path, params: dict[str, Any], message: str) -> None:
    folder = write_service(tmp_path / "lung", [job("count", "count", params=params)], FILES)
    (found,) = problems(folder)["params"]  # each told once
    assert message in found


def test_a_param_that_a_strict_model_refuses_is_reported_once(tmp_path: Path) -> None:
    source = """
from pydantic import BaseModel
from dcm_processor_service import RuntimeContext, entrypoint

class Strict(BaseModel, extra="forbid"):
    factor: int = 1

def run(ctx: RuntimeContext, params: Strict) -> None: ...

worker = entrypoint(run)
"""
    (found,) = one_job(tmp_path, source, job("one", params={"factr": 1}))["params"]
    assert "did you mean 'factor'?" in found


READS = """
from dcm_processor_service import RuntimeContext, db_manager, entrypoint
from .names import SEGMENT
from . import steps


def later(ctx: RuntimeContext):
    return ctx.session.data.get("x", job="study")


def run_a(ctx: RuntimeContext):
    return steps.read(ctx), later(ctx)


def run_b(ctx: RuntimeContext):
    ctx.session.files.load("x", job="no_such")
    return ctx.session.data.collect("x", job=SEGMENT)


def old(**kwargs):
    return db_manager.get_session_data("x", job_name="after")


def fine(ctx: RuntimeContext):
    return ctx.session.data.get("x", job="a"), ctx.session.data.get("x", job="segment"), {"job": 1}.get(1, job="a")


a, b, study, segment = entrypoint(run_a), entrypoint(run_b), entrypoint(fine), entrypoint(lambda: 1)
"""


def test_reads_of_jobs_that_cannot_have_run_are_found_in_the_source(tmp_path: Path) -> None:
    jobs = [
        job("a", "a"),
        job("b", "b", dependsOn=["segment"]),
        job("segment", "segment"),
        job("old", "old"),
        job("after", "old", dependsOn=["old"]),
        job("study", "study", "stable-study"),
    ]
    names = "SEGMENT: str = 'segment'\n"
    steps = "def read(ctx):\n    return ctx.session.data.get('x', job='segment')\n"
    found = one_job(tmp_path, READS, *jobs, files={"module/names.py": names, "module/steps.py": steps})
    unordered = "reads the output of the job {0!r}, but no dependsOn orders the two; add {0!r} to its dependsOn"
    assert found.pop("read-unordered") == [
        f"a: steps.py:2: {unordered.format('segment')}",
        f"old: __init__.py:21: {unordered.format('after')}",
    ]
    (later,) = found.pop("read-later")
    assert later == "a: __init__.py:8: reads the output of the job 'study', which runs later, at stable-study"
    (unknown,) = found.pop("read-unknown")
    assert unknown.startswith("b: __init__.py:16: reads the output of the job 'no_such'; the manifest has no job")
    assert found == {}


def test_requirements_are_checked_as_far_as_nothing_has_to_be_asked(tmp_path: Path) -> None:
    newest = metadata.version("pytest")
    lines = [
        "# comment",
        "numpy==1.24.0  # older than ours",
        "not a requirement",
        "tomllib_of_old==1; python_version < '3.10'",
        "-r more.txt",
        "-r missing.txt",
        "--extra-index-url https://pip.example/simple",
        "torch @ https://files.example/torch.whl",
        "dcm-processor-service==0.0.1",
        f"pytest=={newest}",
    ]
    files = {"worker/requirements.txt": "\n".join(lines), "worker/more.txt": "nibabel==4.0\n"}
    folder = write_service(tmp_path / "service", [job("one")], WORKER | files)
    manifest = json.loads((folder / "dcm-processor.json").read_text(encoding="utf-8"))
    text = json.dumps(manifest | {"worker": {"path": "worker", "type": "venv"}})
    (folder / "dcm-processor.json").write_text(text, encoding="utf-8")
    found = problems(folder)
    assert [one.partition(" pins ")[2].partition(";")[0] for one in found.pop("requirement-conflict")] == [
        "numpy 1.24.0, but dcm-processor-service needs numpy>=1.26",
        "nibabel 4.0, but dcm-processor-service needs nibabel>=5.2",
    ]
    assert "requirements.txt:3: pip cannot read 'not a requirement'" in found.pop("requirement-syntax")[0]
    assert "tomllib_of_old is not installed on Python 3.10" in found.pop("requirement-marker")[0]
    assert "there is no file 'missing.txt'" in found.pop("requirement-file")[0]
    assert "remove the pin" in found.pop("own-pin")[0]
    assert found == {}
    (folder / "worker" / "settings.json").write_text('{"python_version": "3.6"}', encoding="utf-8")
    assert f"pytest {newest} wants Python" in problems(folder)["requirement-python"][0]


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("numpy>=2.3", "numpy 2.3 wants Python >=3.11"),
        ("scipy == 1.16.*", "scipy 1.16 wants Python >=3.11"),
        ("Scikit_Learn~=1.8.0", "Scikit_Learn 1.8.0 wants Python >=3.11"),
        ("pandas>=2,>=3.0,<4", "pandas 3.0 wants Python >=3.11"),
        ("numpy>=1.26", ""),
        ("numpy>2.2", ""),
        ("numpy!=2.3.0", ""),
        ("numpy<3", ""),
        ("numpy>=2.3; python_version >= '3.11'", ""),
        ("no-such-library>=7", ""),
    ],
)
def test_versions_that_are_known_to_want_a_newer_python_are_found(tmp_path: Path, line: str, wanted: str) -> None:
    """Installed here or not, pinned or from a lowest version on."""
    files = {"worker/requirements.txt": line}
    folder = write_service(tmp_path / "service", [job("one")], WORKER | files)
    manifest = json.loads((folder / "dcm-processor.json").read_text(encoding="utf-8"))
    text = json.dumps(manifest | {"worker": {"path": "worker", "type": "venv"}})
    (folder / "dcm-processor.json").write_text(text, encoding="utf-8")
    found = problems(folder).get("requirement-python", [""])[0]
    assert found.partition("requirements.txt:1: ")[2].partition(", the worker has 3.10")[0] == wanted
    (folder / "worker" / "settings.json").write_text('{"python_version": "3.12"}', encoding="utf-8")
    assert problems(folder) == {}


def test_a_name_in_one_method_is_not_that_in_another(tmp_path: Path) -> None:
    source = """
from dcm_processor_service import RuntimeContext, entrypoint


class Store:
    def save(self, ctx):
        name = "mask.nii.gz"
        ctx.session.files.save(name, b"")

    def load(self, ctx, name):
        return ctx.session.data.get("volume", job=name)


@entrypoint
def worker(ctx: RuntimeContext):
    return Store().load(ctx, "worker")
"""
    assert one_job(tmp_path, source) == {}


@pytest.mark.parametrize("more", ["", "    names = name\n    name = [*names]\n"])
def test_a_constant_with_the_name_of_a_parameter_is_not_taken_for_what_it_is_given(tmp_path: Path, more: str) -> None:
    source = (
        "from dcm_processor_service import get_session_data\n\nname = 'b'\n\n\n"
        f"def read(name):\n{more}    return [get_session_data('v', job_name=one) for one in name]\n\n\n"
        "def worker(headers, **kwargs):\n    return read(headers)\n\n\ndef other(**kwargs):\n    return 1\n"
    )
    assert one_job(tmp_path, source, job("one"), job("b", workerEntry="other")) == {}


@pytest.mark.parametrize(
    "stated", ["reads = staticmethod(read)", "if True:\n        def reads(self):\n            return read()"]
)
def test_a_read_by_what_a_class_states_beside_its_methods_is_found(tmp_path: Path, stated: str) -> None:
    source = (
        "from dcm_processor_service import get_session_data\n\n\n"
        "def read():\n    return get_session_data('v', job_name='b')\n\n\n"
        f"class Store:\n    {stated}\n\n\n"
        "def worker(**kwargs):\n    return Store().reads()\n\n\ndef other(**kwargs):\n    return 1\n"
    )
    found = one_job(tmp_path, source, job("one"), job("b", workerEntry="other"))
    assert ["reads the output of the job 'b'" in one for one in found.pop("read-unordered")] == [True]
    assert found == {}


@pytest.mark.parametrize(
    ("source", "missing"),
    [
        ("import tomllib", "tomllib needs Python 3.11"),
        ("from datetime import UTC, datetime", "datetime.UTC needs Python 3.11"),
        ("def help_worker():\n    from itertools import batched", "itertools.batched needs Python 3.12"),
        ("from concurrent import interpreters", "concurrent.interpreters needs Python 3.14"),
        ("try:\n    import tomllib\nexcept ImportError:\n    tomllib = None", ""),
        ("import sys\nif sys.version_info > (3, 11):\n    import tomllib", ""),
        ("from contextlib import suppress\nwith suppress(ImportError):\n    import tomllib", ""),
        ("from datetime import datetime\nimport wsgiref", ""),
        ("from .datetime import UTC", ""),
        ("from compression import pack", ""),
    ],
)
def test_imports_from_a_newer_python_are_found(tmp_path: Path, source: str, missing: str) -> None:
    """Also where the Python that checks has what is imported."""
    files = {"module/datetime.py": "UTC = 1\n", "module/compression.py": "def pack(): ...\n"}
    found = one_job(tmp_path, f"{source}\n{WORKER['module/__init__.py']}", files=files)
    found.pop("import", None)  # an interpreter of the tests may itself be too old
    assert [
        one.partition(": ")[2].partition(": ")[2].partition(", the worker has 3.10")[0]
        for one in found.pop("python-library", [])
    ] == ([missing] if missing else [])
    assert found == {}


@pytest.mark.parametrize(
    "reading",
    [
        'if headers:\n        x = get_session_data("v", job_name="b")',
        'other = "b"\n    get_session_data("v", job_name=other)',
        'for name in ("b", "one"):\n        get_session_data("v", job_name=name)',
        '[get_session_data("v", job_name=name) for name in ["b"]]',
        'get_session_data("v", job_name="b" if headers else "one")',
        'def inner(name="b"):\n        get_session_data("v", job_name=name)\n    inner()',
    ],
    ids=["in a condition", "by a variable", "in a loop", "in a list", "in one of two branches", "by a default"],
)
def test_a_read_by_a_name_of_the_function_is_found(tmp_path: Path, reading: str) -> None:
    source = (
        "from dcm_processor_service import get_session_data\n\n"
        f"def worker(headers, **kwargs):\n    {reading}\n\n\ndef other(**kwargs):\n    return 1\n"
    )
    found = one_job(tmp_path, source, job("one"), job("b", workerEntry="other"))
    assert ["reads the output of the job 'b'" in one for one in found.pop("read-unordered")] == [True]
    assert found == {}


@pytest.mark.parametrize(
    "reading",
    [
        "for name in NAMES:\n        get_session_data('v', job_name=name)",
        "names = NAMES\n    [get_session_data('v', job_name=name) for name in names]",
        "get_session_data('v', job_name=ONE)",
        "read('b')",
        "read(name='b', more=1)",
        "for name in NAMES:\n        through(name)",
        "helper.read('b')",
    ],
    ids=["loop", "renamed", "constant", "argument", "keyword", "through two functions", "of a module"],
)
def test_a_read_by_a_name_of_another_file_is_found(tmp_path: Path, reading: str) -> None:
    helper = (
        "from dcm_processor_service import get_session_data\n\nONE = 'b'\nNAMES = [ONE]\n\n\n"
        "def read(name='unused', **more):\n    return get_session_data('v', job_name=name)\n\n\n"
        "def through(other):\n    return read(other)\n"
    )
    source = (
        "from dcm_processor_service import get_session_data\n"
        "from . import helper\nfrom .helper import NAMES, ONE, read, through\n\n\n"
        f"def worker(headers, **kwargs):\n    {reading}\n\n\ndef other(**kwargs):\n    return 1\n"
    )
    files = {"module/helper.py": helper}
    found = one_job(tmp_path, source, job("one"), job("b", workerEntry="other"), files=files)
    assert ["reads the output of the job 'b'" in one for one in found.pop("read-unordered")] == [True]
    assert found == {}


def test_what_one_job_gives_to_a_helper_is_no_read_of_another(tmp_path: Path) -> None:
    source = (
        "from dcm_processor_service import get_session_data\n\n\n"
        "def read(name, *names):\n    return get_session_data('v', job_name=name)\n\n\n"
        "def worker(headers, **kwargs):\n    return read(*['b'], 'b')\n\n\n"
        "def other(**kwargs):\n    return read('one')\n"
    )
    found = one_job(tmp_path, source, job("one"), job("b", workerEntry="other", dependsOn=["one"]))
    assert found == {}


def test_params_without_a_value_and_of_several_types_are_shown(tmp_path: Path) -> None:
    source = (
        "from pydantic import BaseModel, Field\nfrom dcm_processor_service import RuntimeContext, entrypoint\n\n"
        "class Params(BaseModel):\n    count: int\n    names: list[str] = Field(default_factory=list)\n"
        "    limit: float | None = None\n\n"
        "def run(ctx: RuntimeContext, params: Params) -> None:\n    pass\n\nworker = entrypoint(run)\n"
    )
    ran = check(write_service(tmp_path / "service", [job("one")], {"module/__init__.py": source}))
    assert "  count: Field required" in ran.stdout
    assert [line.strip() for line in ran.stdout.splitlines() if line.startswith("    ")] == [
        "count (integer) (no value in the manifest)",
        "names (array) (no value in the manifest)",
        "limit (number or null) = null (default)",
    ]


def test_requirements_that_no_worker_reads_are_a_note(tmp_path: Path) -> None:
    folder = write_service(tmp_path / "service", [job("one")], WORKER | {"requirements.txt": "numpy\n"})
    ran = check(folder)
    assert ran.code == 0
    assert "note requirements.txt lies where no worker reads it" in ran.stdout


def test_a_folder_without_a_manifest_is_a_sentence(tmp_path: Path) -> None:
    ran = check(tmp_path)
    assert ran.code == 2
    assert "there is no dcm-processor.json" in ran.stderr


@pytest.mark.parametrize(
    ("fields", "code", "message"),
    [
        (
            {"timeout": "ten"},
            "timeout",
            "its timeout has no effect: 'ten' is not a duration; write 90s, 10m, 2h or 1h30m",
        ),
        ({"dependOn": ["a"]}, "job-field", "knows no field 'dependOn' of a job; did you mean 'dependsOn'?"),
        ({"depends_on": ["a"]}, "job-field", "did you mean 'dependsOn'?"),
        ({"Params": {"a": 1}}, "job-field", "did you mean 'params'?"),
    ],
)
def test_what_the_platform_does_not_read_of_a_job_is_found(
    tmp_path: Path, fields: dict[str, Any], code: str, message: str
) -> None:
    found = one_job(tmp_path, WORKER["module/__init__.py"], job("b", **fields), job("a"))
    assert set(found) == {code}
    assert message in found[code][0]


def test_a_field_of_the_authors_own_is_no_problem(tmp_path: Path) -> None:
    assert one_job(tmp_path, WORKER["module/__init__.py"], job("a", ticket=12)) == {}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is not JSON"),
        (b'{"name": ', "is not JSON"),
        (b'{"name": "\xe9"}', "is not JSON"),
        (b'\xef\xbb\xbf{"name": "a"}', "is not JSON: Unexpected UTF-8 BOM"),
        (b"[]", "it has to be a JSON object"),
        (b"null", "it has to be a JSON object"),
        (b'{"name": 3}', "name: Input should be a valid string"),
        (b'{"name": "a", "version": "1"}', "service: Field required"),
        (b'{"name": "a", "version": "1", "service": {"module": "m", "registry": "r", "jobs": {}}}', "service.jobs:"),
        (b'{"name": "a", "version": "1", "service": {"module": "m", "registry": "r", "jobs": [3]}}', "service.jobs.0:"),
        (b'{"name": "a", "version": "1", "service": {"module": "m", "registry": "r", "jobs": [{}]}}', "jobs.0.jobName"),
        (b'{"name": "", "version": "1", "service": {"module": "", "registry": "r"}}', "name: String should have at"),
    ],
)
def test_a_manifest_that_nobody_can_read_is_a_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "dcm-processor.json").write_bytes(content)
    ran = check(tmp_path)
    assert ran.code == 2
    assert sentence in ran.stderr
    assert "_Document" not in ran.stderr
    assert "Traceback" not in ran.stderr
