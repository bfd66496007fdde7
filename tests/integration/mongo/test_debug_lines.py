"""With ``LOG_LEVEL=DEBUG`` the drivers would log every command, and with it what a session stores."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from pymongo import MongoClient

from dcm_processor_service import AsyncRuntimeContext, RuntimeContext, RuntimeSettings
from dcm_processor_service.runtime.execution.runner import run_callback
from tests.mongod import remove_database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dcm_processor_service.runtime.execution.callbacks import CallbackFunction

SECRET = "the finding of Kowalczyk"


def blocking(ctx: RuntimeContext) -> None:
    ctx.log.debug("ours is shown")
    ctx.session.data["finding"] = SECRET
    assert ctx.session.data["finding"] == SECRET


async def awaited(ctx: AsyncRuntimeContext) -> None:
    ctx.log.debug("ours is shown")
    await ctx.session.data.set("finding", SECRET)
    assert await ctx.session.data.get("finding") == SECRET
    await asyncio.sleep(0)


@pytest.fixture
def settings(mongo_url: str) -> Iterator[RuntimeSettings]:
    name = f"debug_{uuid.uuid4().hex[:12]}"
    values: dict[str, Any] = {"db_provider": "mongodb", "db_url": mongo_url, "db_name": name, "log_level": "DEBUG"}
    yield RuntimeSettings.without_environment(**values, session_id="5" * 24, job_id="1" * 24)
    with MongoClient[dict[str, Any]](mongo_url) as client:
        remove_database(client[name])


@pytest.mark.parametrize("callback", [blocking, awaited])
def test_no_stored_value_is_in_the_log(
    callback: CallbackFunction, settings: RuntimeSettings, capfd: pytest.CaptureFixture[str]
) -> None:
    outcome = run_callback(callback, settings, own_process=True)
    assert outcome.ok, outcome.error
    printed = "".join(capfd.readouterr())
    assert "ours is shown" in printed
    assert SECRET not in printed
    assert "Kowalczyk" not in printed
