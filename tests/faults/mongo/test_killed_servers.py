"""Acknowledged writes survive the server that acknowledged them, and no write is applied twice."""

from __future__ import annotations

import io
import json
import threading
from typing import TYPE_CHECKING

import pytest
from pymongo import MongoClient
from pymongo.errors import AutoReconnect
from typer.testing import CliRunner

from dcm_processor_service.cli.app import app
from dcm_processor_service.errors import StoreUnavailableError
from dcm_processor_service.ports import NewFile
from dcm_processor_service.ports.concurrency import run_inline
from tests.faults.mongo.conftest import KEY, Opener, impatient_from_now_on
from tests.faults.mongo.servers import Mongod, ReplicaSet, running_set

if TYPE_CHECKING:
    from collections.abc import Callable

    from dcm_processor_service.ports import Backend

WRITERS = 4
BEFORE, AFTER = 60, 20
NEW = NewFile("a/b", {})


def acknowledged_while(backend: Backend, fault: Callable[[], None]) -> list[object]:
    """Lets several threads increment one value, with a fault in the middle; returns the sums that they received."""
    told: list[object] = []
    struck = threading.Event()
    enough = threading.Event()

    def count() -> None:
        left = AFTER
        while left:
            told.append(run_inline(backend.data.increment(KEY, "n", 1)))
            if len(told) >= BEFORE:
                enough.set()
            left -= struck.is_set()

    writers = [threading.Thread(target=count) for _ in range(WRITERS)]
    for writer in writers:
        writer.start()
    assert enough.wait(60)
    fault()
    struck.set()
    for writer in writers:
        writer.join(120)
    assert not [writer for writer in writers if writer.is_alive()]
    return told


def test_a_primary_that_is_killed_loses_no_increment_and_doubles_none(three: ReplicaSet, opener: Opener) -> None:
    backend = opener(three.url, operation_timeout_s=60.0)
    told = acknowledged_while(backend, three.primary().kill)
    assert sorted(told, key=str) == sorted(range(1, len(told) + 1), key=str)
    found = run_inline(backend.data.find(KEY, "n"))
    assert found is not None
    assert found.value == len(told)


def test_a_standalone_that_is_killed_and_restarted_loses_no_increment_and_doubles_none(
    standalone: Mongod, opener: Opener
) -> None:
    def fault() -> None:
        standalone.kill()
        standalone.start()

    backend = opener(standalone.url, operation_timeout_s=60.0)
    told = acknowledged_while(backend, fault)
    assert sorted(told, key=str) == sorted(range(1, len(told) + 1), key=str)
    found = run_inline(backend.data.find(KEY, "n"))
    assert found is not None
    assert found.value == len(told)


def test_a_planned_step_down_is_no_error_for_puts_deletes_and_clean_up(three: ReplicaSet, opener: Opener) -> None:
    backend = opener(three.url, operation_timeout_s=60.0)
    for name in ("a", "b"):
        run_inline(backend.data.put(KEY, name, 1))
        run_inline(backend.files.put(KEY, name, io.BytesIO(b"old"), NEW))
    for act in (
        lambda: run_inline(backend.data.delete(KEY, "a")),
        lambda: run_inline(backend.files.delete(KEY, "a")),
        lambda: run_inline(backend.files.put(KEY, "b", io.BytesIO(b"new"), NEW)),
    ):
        step_down(three)
        assert act()
    step_down(three)
    assert run_inline(backend.sessions.remove(KEY.session_id, "data")) == 1
    step_down(three)
    assert run_inline(backend.sessions.remove(KEY.session_id, "files")) == 1
    database = opener.seen(three.url)
    assert [database[name].count_documents({}) for name in ("sessiondata", "sessionfiles.files")] == [0, 0]
    assert database["sessionfiles.chunks"].count_documents({}) == 0


def step_down(three: ReplicaSet) -> None:
    primary = three.primary()
    with MongoClient[dict[str, object]](primary.url) as client:
        try:
            client.admin.command("replSetStepDown", 1, secondaryCatchUpPeriodSecs=1, force=True)
        except AutoReconnect:
            return


@pytest.fixture(scope="module")
def arbiter_set() -> object:
    with running_set(arbiter=True) as members:
        yield members


def test_with_an_arbiter_a_write_that_one_member_has_is_not_acknowledged_and_said_to_be_uncertain(
    arbiter_set: ReplicaSet, opener: Opener
) -> None:
    backend = opener(arbiter_set.url, operation_timeout_s=20.0)
    run_inline(backend.data.put(KEY, "a", 1))
    assert backend.warnings is not None
    (warning,) = run_inline(backend.warnings())
    assert "arbiter" in warning
    arbiter_set.members[1].kill()
    impatient = opener(arbiter_set.url, operation_timeout_s=20.0)
    run_inline(impatient.data.find(KEY, "a"))
    impatient_from_now_on(impatient, 3.0)
    with pytest.raises(StoreUnavailableError) as caught:
        run_inline(impatient.data.put(KEY, "a", 2))
    assert caught.value.maybe_applied
    fast = opener(arbiter_set.url, operation_timeout_s=20.0, durability="fast")
    assert run_inline(fast.data.put(KEY, "a", 3))
    arbiter_set.members[1].start()


def test_doctor_warns_of_a_standalone(standalone: Mongod, opener: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {"PROVIDER": "mongodb", "URL": standalone.url, "NAME": opener.database}
    for name, value in variables.items():
        monkeypatch.setenv(f"DCM_PROCESSOR_SERVICE_DB_{name}", value)
    monkeypatch.setenv("DCM_PROCESSOR_SERVICE_SESSION_ID", KEY.session_id)
    monkeypatch.setenv("DCM_PROCESSOR_SERVICE_JOB_ID", KEY.job_id)
    told = CliRunner().invoke(app, ["doctor", "--json"], catch_exceptions=False).stdout
    rows = [json.loads(line) for line in told.splitlines()]
    (row,) = [row for row in rows if row["name"] == "store mongodb: durability"]
    assert not row["available"]
    assert "standalone" in row["detail"]


def test_a_standalone_is_warned_of_and_three_members_are_not(
    standalone: Mongod, three: ReplicaSet, opener: Opener
) -> None:
    for url, told in ((standalone.url, ["standalone"]), (three.url, [])):
        backend = opener(url)
        assert backend.warnings is not None
        warnings = run_inline(backend.warnings())
        assert [word for word in told for warning in warnings if word in warning] == told
        assert len(warnings) == len(told)
