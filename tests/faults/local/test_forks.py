"""A forked child makes connections, thread pools and locks of its own, whatever the parent does at the fork."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from pymongo import MongoClient

from dcm_processor_service.models import Instance, SeriesRecord
from tests.contract.worlds import PlatformSeeder
from tests.faults.local.kinds import python

if TYPE_CHECKING:
    from pathlib import Path

COMMON = """
import json, multiprocessing, os, sys, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 on: that a process with threads forks is the point
from dcm_processor_service import Container, RuntimeSettings, opened

def settings(values):
    return RuntimeSettings.without_environment(session_id="5" * 24, job_id="1" * 24, **json.loads(values))

def use(container, name):
    session = container.session()
    session.data[name] = name
    session.files.put(name, name.encode())
    assert session.data[name] == name and session.files.read(name) == name.encode()
    return session

def forked(work):
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""

BULK_READ = (
    COMMON
    + """
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.models import SubjectLevel

def read(container):
    series = run_inline(container.dicom_repository().find(SubjectLevel.SERIES, "c" * 24))
    async def total():
        fetched = container.dicom_repository().fetch(await container.dicom_repository().instances(series))
        return sum([len(content) async for _instance, content in fetched])
    return run_inline(total())

with opened(Container(settings=settings(sys.argv[1]))) as container:
    size = read(container)
    for _ in range(3):
        def child():
            assert read(container) == size
        forked(child)
        assert read(container) == size
print("done")
"""
)

AFTER_USE = (
    COMMON
    + """
with opened(Container(settings=settings(sys.argv[1]))) as container:
    use(container, "parent")
    def child():
        assert container.session().data["parent"] == "parent"
        use(container, "child")
    for _ in range(3):
        forked(child)
        assert container.session().data["child"] == container.session().files.read("child").decode() == "child"
        container.session().data.delete("child")
    use(container, "parent again")
    def closing_child():
        use(container, "closing child")
        container.shutdown_resources()
    forked(closing_child)
    use(container, "after a child has closed its own")
print("done")
"""
)

DURING_USE = (
    COMMON
    + """
container = Container(settings=settings(sys.argv[1]))
with opened(container):
    use(container, "parent")
    ended = threading.Event()
    def busy(number):
        while not ended.is_set():
            use(container, f"thread {number}")
    threads = [threading.Thread(target=busy, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        for turn in range(20):
            forked(lambda: use(container, f"child {turn}"))
    finally:
        ended.set()
    for thread in threads:
        thread.join()
    keys = container.session().data.keys()
    assert {f"child {turn}" for turn in range(20)} <= set(keys), keys
print("done")
"""
)

AT_ONCE = (
    COMMON
    + """
from contextlib import ExitStack
with ExitStack() as stack:
    containers = []
    for number in range(4):
        values = json.loads(sys.argv[1])
        values["db_url" if values["db_provider"] == "sqlite" else "db_name"] += str(number)
        containers.append(stack.enter_context(opened(Container(settings=settings(json.dumps(values))))))
    def work(number):
        for turn in range(10):
            forked(lambda: [use(container, f"{number} {turn}") for container in containers])
    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for container in containers:
        assert len(container.session().data.keys()) == 40
print("done")
"""
)

PROCESSES = (
    COMMON
    + """
def work(values, name):
    with opened(Container(settings=settings(values))) as container:
        use(container, name)

if __name__ == "__main__":
    with opened(Container(settings=settings(sys.argv[1]))) as container:
        use(container, "parent")
        for method in ("fork", "spawn"):
            process = multiprocessing.get_context(method).Process(target=work, args=(sys.argv[1], method))
            process.start()
            process.join()
            assert process.exitcode == 0
            assert container.session().data[method] == method
    print("done")
"""
)


def store_values(store: str, request: pytest.FixtureRequest, folder: Path) -> str:
    if store == "sqlite":
        return f'{{"db_provider": "sqlite", "db_url": "{folder}/work", "scratch": "{folder}"}}'
    url, name = request.getfixturevalue("mongo_url"), f"forks_{uuid.uuid4().hex[:12]}"
    return f'{{"db_provider": "mongodb", "db_url": "{url}", "db_name": "{name}", "scratch": "{folder}"}}'


def test_a_child_reads_in_bulk_after_its_parent_has(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(BULK_READ, encoding="utf-8")
    values = store_values("mongodb", request, tmp_path)
    with MongoClient[dict[str, Any]](json.loads(values)["db_url"]) as client:
        seeder = PlatformSeeder(client[json.loads(values)["db_name"]])
        names = tuple(f"{number:024x}" for number in range(12))
        seeder.subject(SeriesRecord(id="c" * 24, series_instance_uid="1.2.3", instance_ids=names, metadata={}))
        for name in names:
            seeder.instance("c" * 24, Instance(id=name, sop_instance_uid=name), b"x" * 3_000_000)
    ran = python(script, values)
    assert (ran.returncode, ran.stdout) == (0, "done\n"), ran.stderr


@pytest.mark.parametrize("store", ["sqlite", "mongodb"])
@pytest.mark.parametrize(
    "code",
    [AFTER_USE, DURING_USE, AT_ONCE, PROCESSES],
    ids=["after use", "during use", "by threads at once", "processes"],
)
def test_a_child_and_its_parent_read_and_write_on(
    code: str, store: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(code, encoding="utf-8")
    ran = python(script, store_values(store, request, tmp_path))
    assert (ran.returncode, ran.stdout) == (0, "done\n"), ran.stderr


HELD_OPERATIONS = (
    COMMON
    + """
import signal, time
from dcm_processor_service.backends.mongo.operations import Operations

operations, held, done = Operations(), threading.Event(), threading.Event()

def hold():
    with operations._lock:
        held.set()
        done.wait(30)

def child():
    signal.alarm(20)  # ends a child that hangs
    with operations.new() as operation:
        assert operation.lane not in used

with operations.new() as operation:
    used = [operation.lane]
threading.Thread(target=hold, daemon=True).start()
held.wait()
forked(child)
done.set()
print("done")
"""
)


def test_a_child_writes_though_another_thread_was_beginning_an_operation_at_the_fork() -> None:
    ran = python("-c", HELD_OPERATIONS)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "done\n", "")
