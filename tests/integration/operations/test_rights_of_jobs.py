"""A job, a pre-service and a post-service with a MongoDB user that has the rights of docs/operations.md alone."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from dcm_processor_service import Container, RuntimeSettings, opened
from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.runtime.session_lifecycle import clean_up_session, prepare_session
from tests.integration.operations.conftest import LOST, Guarded, Made, Platform
from tests.integration.operations.test_rights import rights_of

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.mongodb


@pytest.fixture
def platform(guarded: Guarded) -> Platform:
    return Platform(guarded.client[f"rights_{uuid.uuid4().hex[:12]}"], guarded.url)


def job(container: Container) -> None:
    """Does all that a callback can ask its session for."""
    ctx, session = container.context(), container.session()
    session.data["a"] = 1
    session.data.increment("a")
    del session.data["a"]
    session.files.put("f", b"old")
    session.files.put("f", b"new")
    assert session.files.read("f") == b"new"
    session.files.delete("f")
    with ctx.step("measure") as step:
        step.data["a"] = 1
    ctx.progress(0.5, "half")
    assert session.jobs("segment")
    session.peers.list()
    run_inline(container.session_repository().find(container.settings().session_id))  # get_peer() of 0.0.1
    assert session.dicom.patient()
    assert session.dicom.studies()
    assert session.dicom.get_series("1.2.3").checksum()


def pre_service(container: Container) -> None:
    run_inline(prepare_session(container.session_repository(), container.settings().session_id))


def post_service(container: Container) -> None:
    run_inline(clean_up_session(container.session_repository(), container.settings().session_id, "all"))


WORK: dict[str, Callable[[Container], None]] = {
    "job": job,
    "pre-service": pre_service,
    "post-service": post_service,
}


def made_session(platform: Platform) -> Made:
    """Makes a session whose job is for the series that the platform stores."""
    made = platform.session(segment=LOST)
    series = platform.database.series.find_one({})
    platform.database.jobs.update_one({"_id": made.jobs["segment"]}, {"$set": {"data.kwargs.headers": series}})
    return made


def container_of(settings: RuntimeSettings, made: Made) -> Container:
    ids = {"session_id": made.id, "job_id": str(made.jobs["segment"])}
    return Container(settings=settings.model_copy(update=ids))


@pytest.mark.parametrize("by", WORK)
def test_the_listed_rights_suffice(guarded: Guarded, platform: Platform, by: str) -> None:
    made = made_session(platform)
    with opened(container_of(guarded.settings(platform.database.name, rights_of(by)), made)) as container:
        WORK[by](container)
    if by == "post-service":
        left = ("sessions", "patients", "studies", "series", "dicomfiles.chunks", "sessionfiles.chunks", "sessiondata")
        assert platform.count(*left) == dict.fromkeys(left, 0)


@pytest.mark.parametrize(
    ("by", "collection", "action"),
    [
        (by, collection, action)
        for by in WORK
        for collection, actions in sorted(rights_of(by).items())
        for action in sorted(actions)
    ],
)
def test_no_right_of_the_list_can_be_left_out(
    guarded: Guarded, platform: Platform, by: str, collection: str, action: str
) -> None:
    made = made_session(platform)
    needed = rights_of(by)
    settings = guarded.settings(platform.database.name, {**needed, collection: needed[collection] - {action}})
    with opened(container_of(settings, made)) as container, pytest.raises(ConfigurationError, match="lacks a right"):
        WORK[by](container)
