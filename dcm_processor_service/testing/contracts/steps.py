"""Contract tests: a step runs once, by one run of the job at a time, and its outputs become visible together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service.errors import (
    ConfigurationError,
    DataNotFoundError,
    InvalidNameError,
    StepBusyError,
    StoredValueError,
    UnsupportedValueError,
)
from dcm_processor_service.models import SeriesRecord
from dcm_processor_service.models.platform_ids import platform_id
from dcm_processor_service.ports import JobKey
from dcm_processor_service.runtime.steps.running import AsyncStep
from dcm_processor_service.runtime.steps.tools import StepTiming
from dcm_processor_service.testing.contracts.store import JOB_ID, SESSION_ID, Contract

if TYPE_CHECKING:
    from dcm_processor_service.runtime.container import Container
    from dcm_processor_service.testing.contracts.store import StoreUnderTest

__all__ = ["StepsContract"]

RECORDS = JobKey(SESSION_ID, platform_id("steps", SESSION_ID, JOB_ID))


class _Clock:
    """A clock whose time passes only when ``sleep`` is called, or a test sets it."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.waits = 0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.waits += 1


def _step(container: Container, name: str = "segment", clock: _Clock | None = None, **inputs: object) -> AsyncStep:
    """Returns the step of one run of the job, as ``ctx.step`` makes it."""
    clock = clock or _Clock()
    container.step_timing.override(StepTiming(lease_s=60, beat_s=3600, clock=clock, sleep=clock.sleep))
    return AsyncStep(container.steps(), name, inputs, "code 1")


async def _outputs(step: AsyncStep) -> tuple[list[tuple[str, Any]], list[str]]:
    return await step.data.items(), [stored.name for stored in await step.files.list()]


class StepsContract(Contract):
    """The rules of a store that ``ctx.step`` relies on."""

    async def test_the_next_run_finds_the_outputs_of_a_step(self, store: StoreUnderTest) -> None:
        async with _step(store.container(), threshold=0.5) as first:
            assert not first.done
            await first.data.set("volume_ml", 12.5)
            await first.data.increment("count", 2)
            await first.files.put("masks/mask.txt", b"a mask")
        assert first.record.state == "done"
        async with _step(store.container(), threshold=0.5) as again:
            assert again.done
            assert await again.data.get("volume_ml", float) == 12.5
            assert await again.data.get("count") == 2
            assert await again.files.read("masks/mask.txt") == b"a mask"
        assert again.record == first.record
        assert again.record.attempts == 1

    async def test_outputs_of_a_step_are_no_outputs_of_the_job_and_go_with_its_session(
        self, store: StoreUnderTest
    ) -> None:
        container = store.container()
        session = container.async_session()
        await session.data.set("volume_ml", 1)
        async with _step(container) as step:
            await step.data.set("volume_ml", 2)
            await step.files.put("mask.txt", b"x")
        assert await session.data.items() == [("volume_ml", 1)]
        assert await session.files.list() == []
        sessions = container.session_repository()
        assert await sessions.remove(SESSION_ID, "data") == 3  # the job's value, the step's value and its record
        assert await sessions.remove(SESSION_ID, "files") == 1
        async with _step(store.container()) as anew:
            assert not anew.done

    @pytest.mark.parametrize("field", ["name", "inputs", "code", "version", "job"])
    async def test_another_name_input_code_version_or_job_is_another_step(
        self, store: StoreUnderTest, field: str
    ) -> None:
        async with _step(store.container(), threshold=0.5) as first:
            await first.data.set("a", 1)
        version = "2" if field == "version" else "0"
        container = store.container("c1" * 12 if field == "job" else JOB_ID, service_version=version)
        inputs = {"threshold": 0.6 if field == "inputs" else 0.5}
        code = "code 2" if field == "code" else "code 1"
        async with AsyncStep(container.steps(), "other" if field == "name" else "segment", inputs, code) as other:
            assert not other.done
            assert await _outputs(other) == ([], [])

    async def test_a_series_is_an_input_by_the_contents_of_its_instances(self, store: StoreUnderTest) -> None:
        from dcm_processor_service.models import Instance

        for number, (series, content) in enumerate((("1", b"a"), ("2", b"a"), ("3", b"b")), start=1):
            record = SeriesRecord(id=series * 24, series_instance_uid=f"1.{series}", instance_ids=(f"{number:024x}",))
            store.seed.subject(record)
            store.seed.instance(record.id, Instance(id=f"{number:024x}", sop_instance_uid="1.9", size_bytes=1), content)
        dicom = store.container().async_session().dicom
        first, same, other = [await (await dicom.get_series(f"1.{one}")).checksum() for one in "123"]
        assert first == same
        assert first != other
        async with _step(store.container(), series=await dicom.get_series("1.1")):
            pass
        async with _step(store.container(), series=await dicom.get_series("1.1")) as again:
            assert again.done

    async def test_a_failed_step_leaves_nothing_and_the_next_run_begins_at_once(self, store: StoreUnderTest) -> None:
        container = store.container()
        failed = _step(container)
        await failed.__aenter__()
        await failed.data.set("half", 1)
        await failed.files.put("half.txt", b"x")
        await failed.__aexit__(ZeroDivisionError, ZeroDivisionError(), None)
        assert await _outputs(failed) == ([], [])
        clock = _Clock()
        async with _step(store.container(), clock=clock) as again:
            assert not again.done
            assert await _outputs(again) == ([], [])
        assert (again.record.attempts, clock.waits) == (2, 0)

    async def test_a_killed_run_is_overtaken_when_its_lease_has_expired(self, store: StoreUnderTest) -> None:
        killed = _step(store.container())
        await killed.__aenter__()  # is never left, as if the process were killed
        await killed.data.set("half", 1)
        await killed.files.put("half.txt", b"x")
        clock = _Clock()
        async with _step(store.container(), clock=clock) as again:
            assert not again.done
            assert await _outputs(again) == ([], [])
            assert await _outputs(killed) == ([], [])  # removed, since they may hold patient data
            await again.data.set("whole", 2)
        assert 60 <= clock.now_s < 70
        with pytest.raises(UnsupportedValueError, match="inside of its with block"):
            await again.data.set("whole", 3)
        _stop(killed)

    async def test_a_second_run_does_not_overtake_one_that_is_alive(self, store: StoreUnderTest) -> None:
        first = _step(store.container())
        await first.__aenter__()
        lease = first._held()  # noqa: SLF001  the test calls its beat
        container = store.container()
        original = container.data_repository()

        class Beating:
            """The store; the first run renews its lease between two reads of the second run."""

            looks = 0

            async def find(self, key: JobKey, name: str) -> Any:
                self.looks += 1
                if self.looks == 3:
                    assert await lease.beat(progress_percent=40)
                return await original.find(key, name)

            def __getattr__(self, name: str) -> Any:
                return getattr(original, name)

        container.data_repository.override(Beating())
        second = _step(container)
        with pytest.raises(StepBusyError, match="another run of this job") as caught:
            await second.__aenter__()
        assert caught.value.retryable
        with pytest.raises(ConfigurationError, match="with block"):
            _ = second.data
        await first.data.set("a", 1)
        await first.__aexit__(None, None, None)
        assert first.record.progress_percent == 100
        assert await first.data.items() == [("a", 1)]

    async def test_of_two_runs_that_overlap_the_outputs_of_the_first_to_end_count_for_both(
        self, store: StoreUnderTest
    ) -> None:
        slow = _step(store.container())
        await slow.__aenter__()
        await slow.data.set("who", "slow")
        async with _step(store.container()) as quick:
            await quick.data.set("who", "quick")
        await slow.data.set("late", 1)  # this run does not know yet that another one has ended
        await slow.__aexit__(None, None, None)
        assert slow.done
        assert await slow.data.items() == [("who", "quick")]
        async with _step(store.container()) as again:
            assert await again.data.items() == [("who", "quick")]
        own = JobKey(SESSION_ID, slow._held()._own)  # noqa: SLF001  the outputs of the slow run are gone
        assert await store.container().data_repository().scan(own, values=False) == []

    async def test_a_run_overtaken_by_one_that_still_runs_raises_step_busy(self, store: StoreUnderTest) -> None:
        slow = _step(store.container())
        await slow.__aenter__()
        quick = _step(store.container())
        await quick.__aenter__()
        await quick.data.set("who", "quick")
        with pytest.raises(StepBusyError, match="no sign of life"):
            await slow.__aexit__(None, None, None)
        await quick.__aexit__(None, None, None)
        assert await quick.data.items() == [("who", "quick")]

    async def test_of_many_runs_at_once_one_begins(self, store: StoreUnderTest) -> None:
        steps = [_step(store.container()) for _ in range(4)]

        async def enter(step: AsyncStep) -> bool:
            try:
                await step.__aenter__()
            except StepBusyError:
                return False
            return True

        if store.mode == "async":
            began = await asyncio.gather(*map(enter, steps))
        else:
            began = [await enter(step) for step in steps]
        assert began.count(True) >= 1
        holders = [step for step, entered in zip(steps, began, strict=True) if entered]
        ended = []
        for step in holders:
            try:
                await step.__aexit__(None, None, None)
            except StepBusyError:
                continue
            ended.append(step.record.attempt)
        assert len(set(ended)) == 1

    async def test_progress_duration_and_peak_memory_are_recorded(self, store: StoreUnderTest) -> None:
        container = store.container()
        clock = _Clock()
        async with _step(container, clock=clock) as step:
            await step.progress(0.4, "segmenting")
            clock.now_s += 7.5
            assert await step._held().beat(**step._progress_fields)  # noqa: SLF001  as the timer does
            seen = await store.container().data_repository().scan(RECORDS, values=True)
            assert [(value["progress_percent"], value["progress_message"]) for _name, value in seen] == [
                (40, "segmenting")
            ]
        assert step.record.duration_s == 7.5
        assert step.record.peak_memory_bytes is None or step.record.peak_memory_bytes > 10**6
        (job,) = await store.session().jobs("own")
        assert (job.progress_percent, job.progress_message) == (40, "segmenting")

    @pytest.mark.parametrize("damage", ["Doe^Jane", 5, None, {}, {"state": "Doe^Jane"}], ids=str)
    async def test_a_damaged_record_raises_without_quoting_it(self, store: StoreUnderTest, damage: object) -> None:
        container = store.container()
        async with _step(container):
            pass
        ((digest, _record),) = await container.data_repository().scan(RECORDS, values=True)
        await container.data_repository().put(RECORDS, digest, damage)
        with pytest.raises(StoredValueError, match="record of the step 'segment' is malformed") as caught:
            await _step(container).__aenter__()
        assert "Doe" not in str(caught.value)

    @pytest.mark.parametrize("name", [{"$gt": ""}, ["segment"], b"segment", 7, None, "", "a" * 10_000, "\ud800", "a\0"])
    async def test_a_step_is_named_by_text(self, store: StoreUnderTest, name: Any) -> None:
        with pytest.raises(InvalidNameError):
            _step(store.container(), name)

    async def test_misuse_of_a_step_raises_an_error_of_this_package(self, store: StoreUnderTest) -> None:
        container = store.container()
        with pytest.raises(InvalidNameError):
            _step(container, "../out")
        with pytest.raises(UnsupportedValueError):
            await _step(container, model=object()).__aenter__()
        inputs: list[Any] = [["a"], b"x", 7, "text"]
        for wrong in inputs:
            with pytest.raises(UnsupportedValueError):
                await AsyncStep(container.steps(), "segment", wrong, "code").__aenter__()
        with pytest.raises(ConfigurationError, match="with block"):
            _ = _step(container).record
        async with _step(container) as step:
            with pytest.raises(DataNotFoundError):
                await step.data.get("nothing")
        for write in (step.data.set("a", 1), step.data.increment("a"), step.data.delete("a"), step.files.put("a", b"")):
            with pytest.raises(UnsupportedValueError, match="inside of its with block"):
                await write


def _stop(step: AsyncStep) -> None:
    """Stops the renewal of a step's lease, as the end of its process would."""
    step._ended.set()  # noqa: SLF001
    if step._beating is not None:  # noqa: SLF001
        step._beating.cancel()  # noqa: SLF001
