"""``run SERVICE_FOLDER``: the platform's manifest on a laptop, decided as by its scheduler, called as by its worker."""

from __future__ import annotations

import json
import os
import re
import signal
from typing import TYPE_CHECKING, Any

import pytest
from pydicom import dcmread

from tests.command_line import Ran, run_here, run_process
from tests.service_folders import job, write_service
from tests.unit.local.test_ingest import make_series, save

if TYPE_CHECKING:
    from pathlib import Path

CALLBACKS = """
from dcm_processor_service import RuntimeContext, entrypoint
from pydantic import BaseModel
from .helper import doubled


class Settings(BaseModel):
    factor: int = 2


def run_count(ctx: RuntimeContext, settings: Settings):
    count = ctx.session.dicom.get_series().instance_count()
    ctx.session.data["count"] = count
    return {"count": doubled(count) // 2 * settings.factor, "added": ctx.job.added_params}


def run_sum(ctx: RuntimeContext):
    counts = [one.value for one in ctx.session.data.collect("count", job="count").values()]
    return {"total": sum(counts), "service": ctx.job.service_name, "waits": len(ctx.job.read().depends_on)}


count = entrypoint(run_count)
total = entrypoint(run_sum)
"""
OLD = """
import os
from dcm_processor_service import get_session_data, set_session_data
from dcm_processor_service.env_vars import get_job_name


def old(session_id, job_name, headers, params, added_params, **kwargs):
    set_session_data("seen", get_session_data("count", job_name="count") * 10)
    return {
        "names": [get_job_name(), job_name, os.environ["DCM-PROCESSOR-SERVICE-JOB-SERVICE-NAME"]],
        "header": [headers["Metadata"]["Modality"], headers["Metadata"]["SeriesNumber"], len(headers["Instances"])],
        "id": headers["_id"],
        "params": params,
        "added": added_params,
        "more": sorted(kwargs),
    }
"""
FILES = {
    "module/__init__.py": "from .callbacks import count, total\nfrom .legacy import old\n",
    "module/callbacks.py": CALLBACKS,
    "module/helper.py": "def doubled(value):\n    return 2 * value\n",
    "module/legacy.py": OLD,
}
REGISTRY = """
def callback(session_id, job_name, headers, params, added_params, **kwargs):
    assert type(headers["_id"]).__name__ == "ObjectId"
    if job_name == "old" and headers["SeriesInstanceUID"] == "1.2.3.2":
        return False
    return True, {"by": job_name, "before": sorted(added_params)}
"""
JOBS = [
    job("total", "total", "stable-study", dependsOn=None),
    job("old", "old", dependsOn=["count"], params={"label": "liver"}),
    job("count", "count", sortPosition=5),
]


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    save(make_series(1), folder)
    save(make_series(2, slices=3), folder)
    return folder


@pytest.fixture
def service(tmp_path: Path) -> Path:
    return write_service(tmp_path / "lung", JOBS, FILES, registry=REGISTRY)


def run(service: Path, scans: Path, *arguments: object, **more: Any) -> Ran:
    return run_here("run", service, "--dicom", scans, "--json", "--no-preview", *arguments, folder=scans.parent, **more)


def rows(ran: Ran) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ran.stdout.splitlines()]


def results(ran: Ran) -> list[tuple[str, Any]]:
    return [(row["job"]["name"], row.get("result")) for row in rows(ran) if row.get("created", True)]


def test_jobs_of_both_styles_run_in_the_order_of_the_scheduler(service: Path, scans: Path) -> None:
    ran = run(service, scans)
    assert ran.code == 0, ran.stderr
    added = {"old": {"by": "old", "before": []}, "count": {"by": "count", "before": ["old"]}}
    declined = {"count": {"by": "count", "before": []}}
    (name, first), (old_name, old), *rest = results(ran)
    assert (name, first) == ("count", {"count": 4, "added": added})
    assert old_name == "old"
    assert old["names"] == ["old", "old", "lung"]
    assert old["header"] == ["CT", 1, 2]
    assert list(old["id"]) == ["$oid"]  # as a job's environment without the platform's packages decodes it
    assert (old["params"], old["added"]) == ({"label": "liver"}, added)
    assert old["more"] == [
        *("db_name", "db_provider", "db_url", "event", "job_id", "service_id", "worker_id", "worker_type")
    ]
    assert rest == [
        ("count", {"count": 6, "added": declined}),
        ("total", {"total": 5, "service": "lung", "waits": 3}),
    ]
    (seen,) = [row["data"] for row in rows(ran) if row["job"]["name"] == "old" and "data" in row]
    assert seen == {"seen": 20}


def test_a_declined_job_is_reported_and_is_no_failure(service: Path, scans: Path) -> None:
    ran = run(service, scans)
    (row,) = [row for row in rows(ran) if not row.get("created", True)]
    assert (row["job"]["name"], row["exit_code"]) == ("old", 0)
    assert row["reason"] == "its registry function declined"
    assert "old is not created for series CT, 3 instances: its registry function declined" in ran.stderr


def test_what_a_job_left_that_is_declined_now_is_not_read(service: Path, scans: Path) -> None:
    assert run(service, scans).code == 0
    never = REGISTRY.replace("return True,", "return job_name != 'count' or headers['Instances'][2:] != [],")
    write_service(service, JOBS, FILES, registry=never)
    ran = run(service, scans)
    assert ran.code == 0, ran.stderr
    assert results(ran)[-1][1]["total"] == 3
    reasons = {row["reason"] for row in rows(ran) if not row.get("created", True)}
    assert "it depends on 'count', which is not created" in reasons


def test_a_registry_function_that_raises_declines_and_its_author_sees_it(service: Path, scans: Path) -> None:
    write_service(
        service,
        JOBS,
        FILES,
        registry="def callback(headers, **rest):\n    raise ValueError(headers['Metadata']['PatientName'])\n",
    )
    ran = run(service, scans)
    assert ran.code == 1
    assert results(ran) == []
    assert "its registry function raised ValueError" in ran.stderr
    assert "in callback" in ran.stderr
    assert "Synthetic" not in ran.stderr


@pytest.mark.parametrize(
    ("made", "told", "code"),
    [
        ("accepts(SeriesRules(min_slices=3))", "its registry function declined: it has 2 slices, fewer than 3", 0),
        ("accepts(broken)", "its registry function raised KeyError", 1),
        ("accepts(lambda params: True, params=Params)", "its registry function raised ", 1),
    ],
    ids=["declined", "own function", "params"],
)
def test_a_made_registry_function_says_why_once_and_its_errors_are_seen(
    service: Path, scans: Path, made: str, told: str, code: int
) -> None:
    registry = (
        "from dcm_processor_service import SeriesRules, accepts\nfrom pydantic import BaseModel\n\n\n"
        "class Params(BaseModel):\n    needed: int\n\n\n"
        "def broken(headers):\n    return headers['Nothing']['PatientName']\n\n\n"
        f"callback = {made}\n"
    )
    write_service(service, [job("count", "count")], FILES, registry=registry)
    ran = run_process("run", service, "--dicom", scans, "--no-preview", folder=scans.parent)
    assert ran.code == code
    (line, *others) = [line for line in ran.stderr.splitlines() if told in line]
    assert line.startswith("count is not created for series CT, 2 instances: ")
    assert len(others) == code  # an error declines the job of the other series too
    assert ("in broken" in ran.stderr) is ("broken" in made)
    assert "the registry declines" not in ran.stderr


def test_a_function_that_wraps_a_made_registry_function_decides_itself(service: Path, scans: Path) -> None:
    registry = (
        "import functools\n\nfrom dcm_processor_service import SeriesRules, accepts\n\n"
        "made = accepts(SeriesRules(modality='CT'))\n\n\n"
        "@functools.wraps(made)\ndef callback(**given):\n"
        "    accepted, added = made(**given)\n    return accepted and len(given['headers']['Instances']) == 3, added\n"
    )
    write_service(service, [job("count", "count")], FILES, registry=registry)
    assert [one["count"] for _, one in results(run(service, scans))] == [6]


def test_a_registry_function_that_ends_the_scheduler_declines_here(service: Path, scans: Path) -> None:
    write_service(service, [job("count", "count")], FILES, registry="def callback(**rest):\n    exit(4)\n")
    ran = run(service, scans)
    assert (ran.code, results(ran)) == (1, [])
    assert "its registry function raised SystemExit: 4" in ran.stderr


def test_jobs_of_one_subject_keep_the_order_of_the_scheduler(service: Path, scans: Path) -> None:
    one_pass = [job("a"), job("b", dependsOn=["a"]), job("c"), job("d", dependsOn=["e"]), job("e")]
    twice = [job("f", sortPosition=9, params={"first": True}), job("f", sortPosition=-1, params={"first": False})]
    returns = {"module/__init__.py": "def worker(params, **kwargs):\n    return params\n"}
    write_service(service, [*one_pass, *twice], returns)
    ran = run(service, scans)
    assert [name for name, _ in results(ran)][:6] == ["a", "b", "c", "e", "f", "d"]
    assert results(ran)[4] == ("f", {"first": True})
    assert "f is not created for series CT, 2 instances: another job of this event has its name" in ran.stderr


def test_params_are_those_of_the_manifest_unless_given_by_hand(service: Path, scans: Path) -> None:
    write_service(service, [job("count", "count", params={"factor": 10})], FILES)
    assert [one["count"] for _, one in results(run(service, scans))] == [20, 30]
    assert [one["count"] for _, one in results(run(service, scans, "--param", "factor=1"))] == [2, 3]
    assert [one["count"] for _, one in results(run(service, scans, "--param", "count:factor=4"))] == [8, 12]
    refused = run(service, scans, "--param", "facktor=1")
    assert (refused.code, refused.stdout) == (2, "")
    assert "did you mean 'factor'?" in refused.stderr


def test_a_registry_function_sees_the_params_that_were_given_by_hand(service: Path, scans: Path) -> None:
    decides = "def callback(params, **rest):\n    return params['factor'] > 3\n"
    write_service(service, [job("count", "count", params={"factor": 1})], FILES, registry=decides)
    assert results(run(service, scans)) == []
    assert len(results(run(service, scans, "--param", "factor=4"))) == 2


def test_what_a_registry_function_adds_has_to_fit_into_a_document(service: Path, scans: Path) -> None:
    adds = "import datetime\ndef callback(headers, **rest):\n    return True, {'x': ADDED}\n"
    write_service(service, [job("count", "count")], FILES, registry=adds.replace("ADDED", "{1, 2}"))
    refused = run(service, scans)
    assert (refused.code, results(refused)) == (1, [])
    assert "cannot hold what its registry function added: InvalidDocument" in refused.stderr
    write_service(service, [job("count", "count")], FILES, registry=adds.replace("ADDED", "headers['_id']"))
    ids = [one["added"]["count"]["x"] for _, one in results(run(service, scans))]
    assert [len(one) for one in ids] == [24, 24]


def test_an_event_without_a_job_is_a_sentence(service: Path, scans: Path) -> None:
    ran = run(service, scans, "--event", "stable-patient")
    assert ran.code == 2
    assert "the service 'lung' has no job of stable-patient" in ran.stderr


def test_an_event_runs_its_own_jobs_over_what_the_others_left(service: Path, scans: Path) -> None:
    assert run(service, scans).code == 0
    ran = run(service, scans, "--event", "stable-study")
    assert results(ran) == [("total", {"total": 5, "service": "lung", "waits": 3})]


def test_workers_run_subjects_in_processes_with_the_same_results(service: Path, scans: Path) -> None:
    alone = run(service, scans)
    side_by_side = run_process(
        "run", service, "--dicom", scans, "--json", "--workers", "2", "--workspace", "other", folder=scans.parent
    )
    assert side_by_side.code == 0, side_by_side.stderr
    by_text = [sorted(json.dumps(one, sort_keys=True) for one in results(ran)) for ran in (alone, side_by_side)]
    assert by_text[0] == by_text[1]
    assert {row["exit_code"] for row in rows(side_by_side)} == {0}


def test_a_process_that_is_killed_costs_its_own_subject_alone(service: Path, scans: Path) -> None:
    dies = (
        "import os, signal\nfrom dcm_processor_service import RuntimeContext, entrypoint\n"
        "def run(ctx: RuntimeContext):\n"
        "    if ctx.session.dicom.get_series().instance_count() == 2:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return os.getpid()\n"
        "def read(ctx: RuntimeContext):\n    return ctx.session.data.get('x', job='count', default=0)\n"
        "count, after = entrypoint(run), entrypoint(read)\n"
    )
    jobs = [job("count", "count"), job("after", "after", dependsOn=["count"])]
    write_service(service, jobs, {"module/__init__.py": dies})
    ran = run(service, scans, "--workers", "2")
    assert ran.code == 1
    assert os.getpid() not in {row.get("result") for row in rows(ran)}
    failed = [row["error"]["message"] for row in rows(ran) if row["exit_code"]]
    ended = f"the process of this subject was ended by {signal.SIGKILL.name}; was there too little memory?"
    assert failed == [ended, f"not begun: {ended}, in an earlier job"]
    assert sorted(row["job"]["name"] for row in rows(ran) if not row["exit_code"]) == ["after", "count"]


def test_sigterm_ends_the_processes_and_begins_no_other(service: Path, scans: Path) -> None:
    save(make_series(3), scans)
    waits = (
        "import os, signal, time\nfrom dcm_processor_service import RuntimeContext, entrypoint\n"
        "def run(ctx: RuntimeContext):\n"
        "    if ctx.session.dicom.get_series().series_instance_uid == '1.2.3.1':\n"
        "        os.kill(os.getppid(), signal.SIGTERM)\n"
        "    while not ctx.cancelled:\n        time.sleep(0.01)\n"
        "count = entrypoint(run)\n"
    )
    write_service(service, [job("count", "count")], {"module/__init__.py": waits})
    ran = run_process("run", service, "--dicom", scans, "--json", "--workers", "2", folder=scans.parent)
    assert ran.code == 143, ran.stderr
    assert {row["exit_code"] for row in rows(ran)} == {143}
    assert len(rows(ran)) < 3


def test_an_error_in_a_process_is_the_error_of_its_job(service: Path, scans: Path) -> None:
    fails = "def worker(job_name, **kwargs):\n    raise KeyError('nothing here')\n"
    write_service(service, [job("count")], {"module/__init__.py": fails})
    ran = run(service, scans, "--workers", "2")
    assert ran.code == 1
    assert [row["error"]["type"] for row in rows(ran)] == ["KeyError", "KeyError"]
    assert all("in worker" in row["error"]["traceback"] for row in rows(ran))


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("options", [(), ("--traceback",)])
def test_each_error_of_a_chain_is_printed_once_and_names_its_job(
    service: Path, scans: Path, options: tuple[str, ...], workers: str
) -> None:
    chain = (
        "from dcm_processor_service import RuntimeContext, entrypoint\n"
        "def first(ctx: RuntimeContext):\n    raise ValueError('no lung here')\n"
        "def second(ctx: RuntimeContext):\n    return ctx.session.data.get('volume', job='first')\n"
        "def third(ctx: RuntimeContext):\n    raise SystemExit(7)\n"
        "first, second, third = map(entrypoint, (first, second, third))\n"
    )
    jobs = [job("first", "first"), job("second", "second", dependsOn=["first"]), job("third", "third")]
    write_service(service, jobs, {"module/__init__.py": chain})
    ran = run_process("run", service, "--dicom", scans, "--workers", workers, *options, folder=scans.parent)
    assert ran.code == 1
    series = 2
    assert ran.stderr.count("\nValueError: no lung here\n") == series
    assert ran.stderr.count("UpstreamFailedError: the job 'first'") == series
    assert ran.stderr.count("SystemExit: 7; return, or raise an error") == series
    heads = [line for line in ran.stderr.splitlines() if line.startswith("error: ")]
    assert [line.split()[1] for line in heads] == ["first", "second", "third"] * series


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_page_says_the_same_whichever_process_ran_the_jobs(service: Path, scans: Path, workers: str) -> None:
    for file in scans.glob("*.dcm"):
        dataset = dcmread(file)
        dataset.SeriesDescription, dataset.BodyPartExamined = "Thorax 5 mm", "CHEST"
        dataset.save_as(file)
    makes = (
        "from dcm_processor_service import RuntimeContext, entrypoint\n"
        "def run(ctx: RuntimeContext):\n"
        "    series = ctx.session.dicom.series()\n"
        "    ctx.session.dicom.derive.pdf(b'%PDF-1.4 %%EOF', like=series[0], title='Lung')\n"
        "worker = entrypoint(run)\n"
    )
    write_service(service, [job("one"), job("all", event="stable-patient")], {"module/__init__.py": makes})
    options = ("--dicom", scans, "--workers", workers, "--show-patient", "--event", "stable-series")
    ran = run_process("run", service, *options, folder=scans.parent)
    assert ran.code == 0, ran.stderr
    page = (scans.parent / "dcm-workspace" / "report.html").read_text()
    for text in ("CT, Thorax 5 mm", "Encapsulated PDF", "Synthetic^Series"):
        assert page.count(text) >= 2
    heads = re.findall(r"<h2>(CT.*?)</h2>", page)
    assert len(set(heads)) == len(heads) == 2
    record = (scans.parent / "dcm-workspace" / "run.json").read_text()
    assert "Thorax" not in record
    assert "Synthetic^Series" not in record


def test_the_record_names_the_version_of_the_manifest(
    service: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DCM_PROCESSOR_SERVICE_SERVICE_VERSION", "9.9")
    fails = "import os\ndef worker(job_name, **kwargs):\n    os.kill(os.getpid(), 9)\n"
    for text, workers in ((fails, "2"), ("def worker(**kwargs):\n    return 1\n", "1")):
        write_service(service, [job("count")], {"module/__init__.py": text})
        run(service, scans, "--workers", workers)
        record = json.loads((scans.parent / "dcm-workspace" / "run.json").read_text())
        assert {one["service_version"] for one in record["jobs"]} == {"0.0.1"}
    assert "lung 0.0.1" in (scans.parent / "dcm-workspace" / "report.html").read_text()


def test_dependencies_that_cannot_be_met_are_reported(service: Path, scans: Path) -> None:
    jobs = [
        job("a", dependsOn=["b"]),
        job("b", dependsOn=["a"]),
        job("c", dependsOn="nobody"),
        job("d", dependsOn=["of_study"]),
        job("e", dependsOn=["c"]),
        job("of_study", event="stable-study"),
    ]
    write_service(service, jobs, {"module/__init__.py": "def worker(**kwargs):\n    return 1\n"})
    ran = run(service, scans)
    assert ran.code == 1
    told = {row["job"]["name"]: row["reason"] for row in rows(ran) if not row.get("created", True)}
    assert told["a"] == told["b"] == "its dependsOn leads in a circle"
    assert told["c"] == "it depends on 'nobody', which is not a job of this service"
    assert told["e"] == "it depends on 'c', which is not created"
    assert "'of_study', which is not a job of stable-series" in told["d"]
    assert results(ran) == [("of_study", 1)]


def test_a_job_of_another_service_is_found_where_that_ran_in_the_workspace(service: Path, scans: Path) -> None:
    reads = (
        "from dcm_processor_service import RuntimeContext, entrypoint\n"
        "def run(ctx: RuntimeContext):\n    return ctx.session.data.get('count', job='count')\n"
        "worker = entrypoint(run)\n"
    )
    other = write_service(
        scans.parent / "report",
        [job("report", dependsOn=["count"])],
        {"module/__init__.py": reads},
        required_services=["lung"],
    )
    first = run(other, scans)
    assert first.code == 1
    assert "run lung first, with the same --workspace" in first.stderr
    assert run(service, scans).code == 0
    assert [result for _, result in results(run(other, scans))] == [2, 3]


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("{1, 2}", "returned a set that the platform's worker cannot write as JSON"),
        ("[2 ** 70]", "of more than 64 bits"),
        ("exit(3)", "SystemExit: 3"),
    ],
)
def test_what_would_kill_a_job_of_the_platform_fails_here(
    service: Path, scans: Path, returned: str, message: str
) -> None:
    write_service(service, [job("count")], {"module/__init__.py": f"def worker(**kwargs):\n    return {returned}\n"})
    ran = run(service, scans)
    assert ran.code == 1
    assert {message in row["error"]["message"] for row in rows(ran)} == {True}


def test_a_callback_that_is_no_entry_runs_with_a_note(service: Path, scans: Path) -> None:
    bare = (
        "from dcm_processor_service import RuntimeContext\ndef worker(ctx: RuntimeContext):\n    return ctx.job.name\n"
    )
    write_service(service, [job("count")], {"module/__init__.py": bare})
    ran = run(service, scans)
    assert (ran.code, {result for _, result in results(ran)}) == (0, {"count"})
    assert "make it an entry: worker = entrypoint(worker)" in ran.stderr


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"dcm-processor.json": "{"}, "is not JSON"),
        ({"dcm-processor.json": '{"name": "x"}'}, "version: Field required"),
        ({"module/__init__.py": "import helper"}, "write from .helper import …"),
        ({"module/__init__.py": "import surely_not_installed"}, "is it in requirements.txt and installed here?"),
        ({"module/__init__.py": ""}, "the workerEntry of the job 'total', 'total', is not there"),
        (
            {"registry/__init__.py": "callback = 1"},
            "the registryEntry of the job 'total', 'callback', is not a function",
        ),
    ],
)
def test_a_service_that_cannot_be_loaded_is_one_sentence(
    service: Path, scans: Path, files: dict[str, str], sentence: str
) -> None:
    for name, content in files.items():
        (service / name).write_text(content, encoding="utf-8")
    ran = run(service, scans)
    assert (ran.code, ran.stdout) == (2, "")
    assert sentence in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_folder_without_a_manifest_is_no_service(tmp_path: Path, scans: Path) -> None:
    (tmp_path / "empty").mkdir()
    ran = run(tmp_path / "empty", scans)
    assert ran.code == 2
    assert "there is no dcm-processor.json" in ran.stderr


def test_a_service_takes_no_job_name(service: Path, scans: Path) -> None:
    ran = run(service, scans, "--job-name", "x")
    assert ran.code == 2
    assert "a service's manifest names its jobs" in ran.stderr
