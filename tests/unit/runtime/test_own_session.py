"""The session of this process's own job: one, opened when needed, closed at the end, none across a fork."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from dcm_processor_service.db_manager import get_session_data, set_session_data
from dcm_processor_service.runtime.container import Container, opened
from dcm_processor_service.runtime.own_session import close_own_container, own_container, own_session, serving
from dcm_processor_service.runtime.settings import RuntimeSettings


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"SESSION-ID": "5e" * 12, "JOB-ID": "1b" * 12, "DB-PROVIDER": "memory"}.items():
        monkeypatch.setenv(f"DCM-PROCESSOR-SERVICE-{name}", value)


def another() -> Container:
    settings = RuntimeSettings.without_environment(db_provider="memory", session_id="a" * 24, job_id="b" * 24)
    return Container(settings=settings)


def test_there_is_one_until_it_is_closed(environment: None) -> None:
    try:
        first = own_container()
        assert own_container() is first
        assert own_session().id == "5e" * 12
        set_session_data("a", 1)
        assert get_session_data("a") == 1
        close_own_container()
        assert own_container() is not first
        assert get_session_data("a") is None  # another store, for memory ends with what opened it
    finally:
        close_own_container()


def test_threads_share_it(environment: None) -> None:
    try:
        seen: list[Container] = []
        threads = [threading.Thread(target=lambda: seen.append(own_container())) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(map(id, seen))) == 1
    finally:
        close_own_container()


def test_while_a_runner_has_a_callback_in_hand_it_is_the_runners(environment: None) -> None:
    try:
        own = own_container()
        with opened(another()) as outer, serving(outer):
            assert own_container() is outer
            with opened(another()) as inner, serving(inner):
                assert own_container() is inner
            assert own_container() is outer
        assert own_container() is own
    finally:
        close_own_container()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_makes_its_own() -> None:
    script = """
import os, sys
from dcm_processor_service.runtime.container import Container, opened
from dcm_processor_service.runtime.own_session import own_container, own_session, serving
own = own_container()
with opened(Container()) as served, serving(served):
    child = os.fork()
    if child == 0:
        fresh = own_container()
        assert fresh is not own and fresh is not served
        assert own_session().id == "5e" * 12
        os._exit(0)
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    variables = {"SESSION-ID": "5e" * 12, "JOB-ID": "1b" * 12, "DB-PROVIDER": "memory"}
    environment = os.environ | {f"DCM-PROCESSOR-SERVICE-{name}": value for name, value in variables.items()}
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


def test_it_is_closed_when_the_process_ends() -> None:
    script = """
from dcm_processor_service.runtime.own_session import own_container
def resource():
    yield object()
    print("closed")
from dependency_injector import providers
container = own_container()
container.backend.override(providers.Resource(resource))
container.backend()
print("opened")
"""
    ran = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False)
    assert ran.stdout.split() == ["opened", "closed"], ran.stderr
