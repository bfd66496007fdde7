"""``set_session_data`` of the 0.0.1 API, whose answer was lost: it takes no change back that came meanwhile."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from bson import ObjectId

from dcm_processor_service.ports import ABSENT, Backend, Found
from dcm_processor_service.ports.concurrency import run_inline
from tests.faults.mongo.conftest import KEY, Opener
from tests.faults.mongo.proxy import Proxy, proxied

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dcm_processor_service.ports import DataRepository
    from tests.faults.mongo.servers import Mongod

IDS = {"session_id": ObjectId(KEY.session_id), "job_id": ObjectId(KEY.job_id)}


async def set_value(backend: Backend, name: str, value: Any) -> str | int:
    assert backend.documents is not None
    return await backend.documents.set_value(KEY, name, value)


def set_beside_an_increment(
    backend: Backend, others: DataRepository, line: Proxy, value: float
) -> tuple[Any, float | None]:
    """Adds 1 while a value whose answer was lost is about to be stored again; returns what each call returned."""
    said: list[Any] = []
    setting = threading.Thread(target=lambda: said.append(run_inline(set_value(backend, "n", value))))
    setting.start()
    assert line.lost.wait(30)
    total = run_inline(others.increment(KEY, "n", 1))
    setting.join()
    [answer] = said
    return answer, total


@pytest.fixture
def line(standalone: Mongod) -> Iterator[Proxy]:
    with proxied(standalone.port) as proxy:
        yield proxy


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("before", ["nothing", "a value of ours", "a value of the published package"])
def test_a_value_whose_answers_are_lost_does_not_overwrite_later_changes(
    standalone: Mongod, line: Proxy, opener: Opener, before: str, times: int
) -> None:
    backend, others = opener(line.url), opener(standalone.url).data
    values = opener.seen(standalone.url)["sessiondata"]
    if before == "a value of ours":
        run_inline(others.put(KEY, "n", 1))
    if before == "a value of the published package":
        values.insert_one({**IDS, "name": "n", "value": 1})
    run_inline(backend.data.find(KEY, "n"))
    line.lose_the_answer_to("update", times)
    said, total = set_beside_an_increment(backend, others, line, 100)
    assert total == 101
    (document,) = values.find()
    assert document["value"] == 101
    assert said == (str(document["_id"]) if before == "nothing" else 1)
    assert run_inline(set_value(backend, "n", 7)) == 1
    assert run_inline(others.find(KEY, "n")) == Found(7)


def _written_by(backend: Backend, values: Any, writer: str) -> None:
    """Stores 5 under a name; each writer orders the fields of its document in its own way."""
    if writer == "0.0.1":
        values.insert_one({**IDS, "name": "n", "value": 5})
    elif writer == "put":
        run_inline(backend.data.put(KEY, "n", 5))
    elif writer == "put if absent":
        run_inline(backend.data.put(KEY, "n", 5, ABSENT))
    elif writer == "increment":
        run_inline(backend.data.increment(KEY, "n", 5))
    else:
        run_inline(set_value(backend, "n", 5))


@pytest.mark.parametrize("writer", ["0.0.1", "put", "put if absent", "increment", "set"])
def test_the_same_value_whose_answer_is_lost_changes_no_byte(
    standalone: Mongod, line: Proxy, opener: Opener, writer: str
) -> None:
    backend, values = opener(line.url), opener.seen(standalone.url)["sessiondata"]
    _written_by(backend, values, writer)
    before = [list(row.items()) for row in values.find()]
    assert run_inline(set_value(backend, "n", 5)) == 0
    line.lose_the_answer_to("update")
    assert run_inline(set_value(backend, "n", 5)) == 0
    assert line.lost.is_set()
    assert [list(row.items()) for row in values.find()] == before


def test_an_equal_number_of_another_type_takes_back_no_increment(
    standalone: Mongod, line: Proxy, opener: Opener
) -> None:
    backend, others = opener(line.url), opener(standalone.url).data
    run_inline(backend.data.put(KEY, "n", 1))
    line.lose_the_answer_to("update")
    said, total = set_beside_an_increment(backend, others, line, 1.0)
    assert total == 2
    assert run_inline(others.find(KEY, "n")) == Found(2.0)
    assert said == 1


def test_of_a_twin_that_the_published_package_made_meanwhile_every_operation_uses_the_same(
    standalone: Mongod, opener: Opener
) -> None:
    backend, values = opener(standalone.url), opener.seen(standalone.url)["sessiondata"]
    made = run_inline(set_value(backend, "n", 1))
    twin = values.insert_one({**IDS, "name": "n", "value": 50}).inserted_id  # it had looked before ours was there
    assert run_inline(set_value(backend, "n", 2)) == 1
    assert run_inline(backend.data.put(KEY, "n", 3, 2))
    assert run_inline(backend.data.increment(KEY, "n", 1)) == 4
    assert run_inline(backend.data.find(KEY, "n")) == Found(4)
    assert run_inline(backend.data.scan(KEY, values=True)) == [("n", 4)]
    assert {str(row["_id"]): row["value"] for row in values.find()} == {made: 4, str(twin): 50}
    assert run_inline(backend.data.delete(KEY, "n"))
    assert list(values.find()) == []
