"""``ctx.step`` as a callback uses it, in both modes."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from dcm_processor_service import AsyncRuntimeContext, RuntimeContext, RuntimeSettings
from dcm_processor_service.errors import ConfigurationError, StepBusyError, StoreUnavailableError, UnsupportedValueError
from dcm_processor_service.ports.concurrency import inline, run_inline
from dcm_processor_service.runtime.steps.inputs import code_version, input_digest
from dcm_processor_service.runtime.steps.tools import StepTiming
from dcm_processor_service.testing import fake_async_context, fake_context, synthetic_series

if TYPE_CHECKING:
    from pathlib import Path

    from dcm_processor_service import Container


def digest(**inputs: object) -> str:
    return run_inline(input_digest(inputs, inline))


def test_a_step_runs_once_in_the_blocking_mode() -> None:
    ctx = fake_context()
    ran = []

    def run(ctx: RuntimeContext) -> float:
        with ctx.step("measure", {"threshold": 0.5}) as step:
            if not step.done:
                ran.append(1)
                step.data["volume_ml"] = 12.5
                step.files.save("box.json", {"size": 3})
        assert step.files.load("box.json") == {"size": 3}
        assert "volume_ml" in step.data
        return step.data.get("volume_ml", float)

    assert [run(ctx), run(ctx)] == [12.5, 12.5]
    assert ran == [1]


def test_a_step_runs_once_in_the_asynchronous_mode() -> None:
    ran = []

    async def run(ctx: AsyncRuntimeContext) -> float:
        async with ctx.step("measure") as step:
            if not step.done:
                ran.append(1)
                await step.data.set("volume_ml", 12.5)
                await step.progress(0.5, "half")
        return await step.data.get("volume_ml", float)

    async def twice() -> list[float]:
        ctx = fake_async_context()
        return [await run(ctx), await run(ctx)]

    assert asyncio.run(twice()) == [12.5, 12.5]
    assert ran == [1]


def test_an_error_of_the_block_passes_and_nothing_is_kept() -> None:
    ctx = fake_context()
    step = ctx.step("measure")

    def run() -> None:
        with step:
            step.data["half"] = 1
            raise ValueError("no liver")

    with pytest.raises(ValueError, match=r"^no liver$"):
        run()
    assert step.record.state == "failed"
    assert step.data.keys() == []


def test_a_cancelled_task_gives_the_lease_back() -> None:
    async def run() -> tuple[str, int]:
        ctx = fake_async_context()
        begun, step = asyncio.Event(), ctx.step("measure")

        async def work() -> None:
            async with step:
                begun.set()
                await asyncio.Event().wait()

        task = asyncio.ensure_future(work())
        await begun.wait()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        async with ctx.step("measure") as again:
            return step.record.state, again.record.attempts

    assert asyncio.run(run()) == ("failed", 2)


def test_a_thread_keeps_the_lease_alive_and_ends_with_the_block() -> None:
    beaten = threading.Event()

    def customise(container: Container) -> None:
        container.step_timing.override(StepTiming(beat_s=0.001))

    ctx = fake_context(customise=customise)
    with ctx.step("measure") as step:
        lease = step._async._held()
        change = lease.change

        async def told(**fields: Any) -> bool:
            held = await change(**fields)
            beaten.set()
            return held

        lease.change = told  # type: ignore[method-assign]
        assert beaten.wait(30)
        assert step.record.beat >= 1
    for thread in threading.enumerate():
        if thread.name == "step":
            thread.join(30)
            assert not thread.is_alive()


def test_a_beat_that_does_not_come_through_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    ctx = fake_context()
    with ctx.step("measure") as step:
        lease = step._async._held()
        repository = lease.data

        class Away:
            async def put(self, *_arguments: Any) -> bool:
                raise StoreUnavailableError("the store does not answer")

        lease.data = Away()  # type: ignore[assignment]
        assert run_inline(lease.beat()) is True
        lease.data = repository
        step.data["a"] = 1
    assert step.done
    assert "was not renewed" in caplog.text


def test_a_write_whose_answer_was_lost_is_recognised() -> None:
    ctx = fake_context()
    with ctx.step("measure") as step:
        lease = step._async._held()
        repository = lease.data

        class Lossy:
            lost = 0

            async def put(self, *arguments: Any) -> bool:
                stored = await repository.put(*arguments)
                self.lost += 1
                return stored and self.lost > 1

            def __getattr__(self, name: str) -> Any:
                return getattr(repository, name)

        lease.data = Lossy()
        step.data["a"] = 1
    assert step.done
    assert step.data["a"] == 1


def test_inputs_are_distinguished_by_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(b"1")
    array = np.zeros((3, 4), dtype=np.int16)
    stored = fake_context().session.files.put("a", b"x")
    different: list[object] = [
        *(1, 2, "1", None, True, 1.5, b"1", [1], {"a": 1}, path, str(path), array, array.T, array.astype("u2"), stored),
        *({1: "a"}, {"1": "a"}, {1: "a", "1": "b"}, {1: "b", "1": "a"}, [], {}, ["mapping"], np.ma.array(array)),
        *(np.ma.array(array, mask=array == 0), np.int16(1), np.float64(1)),
    ]
    digests = [digest(value=value) for value in different]
    assert len(set(digests)) == len(different)
    assert digests == [digest(value=value) for value in different]
    path.write_bytes(b"2")
    assert digest(value=path) not in digests
    assert digest(a=1, b=2) == digest(b=2, a=1)
    assert digest(value={1: "a", "1": "b"}) == digest(value={"1": "b", 1: "a"})
    for refused in (object(), np.array([object()]), {object(): 1}):
        with pytest.raises(UnsupportedValueError):
            digest(value=refused)


def test_a_series_of_other_pixels_is_another_input() -> None:
    def checksum(value: int) -> str:
        series = synthetic_series(slices=2)
        series[1].PixelData = bytes([value]) * len(series[1].PixelData)
        return fake_context(series=series).session.dicom.get_series().checksum()

    assert checksum(1) == checksum(1)
    assert checksum(1) != checksum(2)


def test_the_code_of_a_step_is_the_file_that_calls_it(tmp_path: Path) -> None:
    ctx = fake_context()

    def call(text: str, file: str) -> bool:
        (tmp_path / file).write_text(text)
        scope: dict[str, Any] = {}
        exec(compile(text, str(tmp_path / file), "exec"), scope)
        with scope["make"](ctx) as step:
            return bool(step.done)

    source = "def make(ctx):\n    return ctx.step('a')\n"
    assert [call(source, "a.py"), call(source, "a.py"), call(source + "# edited\n", "a.py")] == [False, True, False]
    own = "def make(ctx):\n    return ctx.step('a', code='7')\n"
    assert [call(own, "a.py"), call(own + "# edited\n", "a.py")] == [False, True]
    assert code_version("<stdin>") == ""


def test_a_context_of_the_environment_alone_has_no_steps() -> None:
    settings = RuntimeSettings.without_environment(db_provider="memory", session_id="5" * 24, job_id="1" * 24)
    ctx = RuntimeContext(**{name: getattr(settings, name) for name in RuntimeSettings.model_fields})
    with pytest.raises(ConfigurationError, match="no session"):
        ctx.step("measure")


class Slow:
    """A store whose compare-and-set takes until it is told to go on."""

    def __init__(self, repository: Any) -> None:
        self.repository = repository
        self.reached, self.goes_on = asyncio.Event(), asyncio.Event()

    async def put(self, *arguments: Any) -> bool:
        self.reached.set()
        await self.goes_on.wait()
        return bool(await self.repository.put(*arguments))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.repository, name)


@pytest.mark.parametrize("hangs", [False, True])
@pytest.mark.parametrize("while_it", ["renews the lease", "ends the step"])
def test_a_cancellation_at_the_end_of_a_block_passes_and_gives_the_lease_back(
    while_it: str, monkeypatch: pytest.MonkeyPatch, *, hangs: bool
) -> None:
    monkeypatch.setattr("dcm_processor_service.runtime.steps.running._GIVING_UP_S", 0.01 if hangs else 60.0)

    async def run() -> str:
        ctx = fake_async_context(
            customise=lambda container: container.step_timing.override(
                StepTiming(beat_s=0 if while_it == "renews the lease" else 3600)
            )
        )
        step = ctx.step("measure")

        async def work() -> None:
            async with step:
                slow.repository = step._held().data
                step._held().data = slow
                if while_it == "renews the lease":
                    await slow.reached.wait()

        slow = Slow(None)
        task = asyncio.ensure_future(work())
        await slow.reached.wait()
        task.cancel()
        if not hangs:
            slow.goes_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        slow.goes_on.set()
        return step.record.state

    assert asyncio.run(run()) == ("running" if hangs else "failed")


def test_a_late_sign_of_life_changes_nothing_of_a_step_that_is_done() -> None:
    ctx = fake_context()
    with ctx.step("measure") as step:
        step.progress(0.4)
    before = step.record
    assert run_inline(step._async._held().beat(progress_percent=40)) is False
    with ctx.step("measure") as again:
        assert again.done
    assert again.record == before
    assert before.progress_percent == 100


def test_a_block_whose_lease_is_lost_is_told_to_try_again_when_it_writes() -> None:
    ctx = fake_context()
    step = ctx.step("measure")

    def run() -> None:
        with step:
            step._async._held().lost = True
            step.data["a"] = 1

    with pytest.raises(StepBusyError, match="no sign of life") as caught:
        run()
    assert caught.value.retryable


def test_a_step_that_failed_can_be_begun_again_and_keeps_its_lease_alive() -> None:
    pause = threading.Event()
    ctx = fake_context(customise=lambda container: container.step_timing.override(StepTiming(beat_s=0.001)))
    step = ctx.step("measure")

    def fail() -> None:
        with step:
            raise ValueError("no liver")

    with pytest.raises(ValueError, match="no liver"):
        fail()
    with step:
        assert not step.done
        for _pause in range(10_000):
            if step.record.beat or pause.wait(0.003):
                break
        assert step.record.beat >= 1
    assert (step.record.state, step.record.attempts) == ("done", 2)
