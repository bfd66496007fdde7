"""What a type checker tells an author of callbacks; each ``# E: code`` names the error expected on its line.

This file is never run. Lines without a mark must have no error, so that right use stays right.
"""

# ruff: noqa: B007, B018, F841, TC001, TC003  nothing here runs; names and imports stand as an author writes them

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from dcm_processor_service import (
    ABSENT,
    AsyncContainer,
    AsyncRuntimeContext,
    AsyncSession,
    Container,
    DicomSeries,
    FoundInstance,
    FoundSeries,
    FoundStudy,
    Marker,
    Patient,
    RuntimeContext,
    RuntimeSettings,
    SendOptions,
    SeriesRecord,
    SeriesRules,
    Session,
    Study,
    opened,
)
from dcm_processor_service.ports import DataRepository, Found, JobKey, Sentinel
from dcm_processor_service.runtime.execution.runner import run_callback
from dcm_processor_service.testing import fake_async_context, fake_context, synthetic_series


class Report(BaseModel):
    volume_ml: float


def right_blocking(ctx: RuntimeContext) -> float:
    report: Report = ctx.session.data.get("report", Report)
    either: Report | None = ctx.session.data.get("report", Report, default=None)
    count: int = ctx.session.data.get("count", int, default=0)
    sizes: list[float] = ctx.session.data.get("sizes", list[float])
    anything: Any = ctx.session.data["anything"]
    ctx.session.data["report"] = report
    ctx.session.data.compare_and_set("owner", ABSENT, ctx.job.id)
    path: Path = ctx.session.files.get("volume.nii.gz", "out")
    with ctx.session.files.open("report.pdf") as stream:
        head: bytes = stream.read(4)
    for dataset in ctx.session.dicom.get_series().datasets():
        modality: str = str(dataset.Modality)
    source = ctx.session.dicom.get_series()
    volume = source.volume()
    derive = ctx.session.dicom.derive
    derive(volume, like=source, role="r", kind="sc", units="HU", window=(40, 400), recipe={"series_number": 901})
    derive([b"a PNG"], like=source.headers(), role="pages", multi_frame=True, shows_identity=False)
    derive.segmentation({"liver": volume}, like=source, kind="binary", recipe={"series_description": "Liver"})
    derive.segmentation(volume, like=source, labels={1: "liver"}, kind="labelmap")
    derive.rtstruct(source.to_source(volume), like=source, labels={1: "liver"}, label="LIVER")
    derive.overlay(volume, {"liver": volume}, like=source, style="fill", slices=[1], text="draft")
    derive.presentation({"liver": volume}, like=source, markers=[Marker((1.0, 2.0, 3.0), "nodule")])
    derive.measurement_report({"liver": {"Volume": (12.5, "ml")}}, like=source, title="Imaging Measurement Report")
    match ctx.job.headers:
        case SeriesRecord() as series:
            uid: str = series.series_instance_uid
        case Study() | Patient() | None:
            uid = ""
    return report.volume_ml + count


async def right_async(ctx: AsyncRuntimeContext, session: AsyncSession) -> None:
    report: Report = await ctx.session.data.get("report", Report)
    await session.data.set("report", report)
    async with session.files.open("report.pdf") as stream:
        content: bytes = stream.read()
    series = await session.dicom.get_series()
    async for dataset in series.datasets():
        modality = str(dataset.Modality)


def right_test() -> None:
    ctx: RuntimeContext = fake_context(series=synthetic_series(), job_name="segment")
    right_blocking(ctx)
    run_callback(right_blocking, RuntimeSettings.without_environment(db_provider="memory"))
    with opened(Container()) as container:
        settings: RuntimeSettings = container.settings()


def wrong_types(ctx: RuntimeContext) -> None:
    text: str = ctx.session.data.get("count", int)  # E: assignment
    number: int = ctx.session.data.get("count", int, default=None)  # E: assignment
    ctx.session.data.get("report", Report).volume  # E: attr-defined
    ctx.session.data.get(5)  # E: call-overload
    ctx.session.data.set("x")  # E: call-arg
    ctx.session.data.increment("x", "1")  # E: arg-type
    ctx.session.files.put("x", 5)  # E: arg-type
    ctx.session.files.put("x", "path", content_typ="x")  # E: call-arg
    ctx.session.files.read("x").volume  # E: attr-defined
    ctx.session.peers.get("PACS").aet  # E: attr-defined
    ctx.session.dicom.get_series().to_nifty("x")  # E: attr-defined
    ctx.job.nam  # E: attr-defined
    ctx.job.headers.metadata  # E: union-attr
    ctx.job_name = "x"  # E: misc
    ctx.session.data.get("x", job=5)  # E: call-overload


def misspelt_names() -> None:
    fake_context(jobname="segment")  # E: call-arg
    fake_context(parmas={"threshold": 0.5})  # E: call-arg
    fake_context(store_timeout_s="soon")  # E: arg-type
    fake_async_context(jobname="segment")  # E: call-arg
    RuntimeSettings.without_environment(db_provder="memory")  # E: call-arg
    RuntimeSettings(db_provider="memory", sesion_id="5")  # E: call-arg
    SendOptions(associatons=2)  # E: call-arg
    SeriesRules(modalty="CT")  # E: call-arg
    SeriesRules(min_slices="three")  # E: arg-type


def right_search(ctx: RuntimeContext) -> None:
    studies: list[FoundStudy] = ctx.session.peers.find("PACS", patient_id="1", study_date=(date(2024, 1, 1), None))
    series: list[FoundSeries] = ctx.session.peers.find("PACS", level="series", modality="CT", limit=10)
    instances: list[FoundInstance] = ctx.session.peers.find("PACS", level="instance", study_instance_uid=["1.2"])
    fetched: tuple[DicomSeries, ...] = ctx.session.dicom.fetch(series, from_="PACS").series
    ctx.session.dicom.fetch(studies[0], "PACS", on_progress=print)
    priors: int = ctx.session.dicom.priors(modality="CT", before=date(2024, 1, 1)).report.fetched


def wrong_search(ctx: RuntimeContext) -> None:
    ctx.session.peers.find("PACS", level="patient")  # E: call-overload
    ctx.session.peers.find("PACS", patientid="1")  # E: call-overload, call-overload
    ctx.session.peers.find("PACS", study_date=2024)  # E: call-overload
    instances: list[FoundInstance] = ctx.session.peers.find("PACS")  # E: assignment
    ctx.session.dicom.fetch(["1.2"], from_="PACS")  # E: list-item
    ctx.session.dicom.priors("CT")  # E: call-arg


def wrong_options_of_derived_objects(ctx: RuntimeContext) -> None:
    series, derive = ctx.session.dicom.get_series(), ctx.session.dicom.derive
    derive(series.volume(), like=series, role="r", widnow=(40, 400))  # E: call-arg
    derive(series.volume(), like=series, role="r", kind="CT")  # E: arg-type
    derive(series.volume(), like=series, role="r", window=40)  # E: arg-type
    derive.rtstruct({"liver": series.volume()}, like=series, kind="binary")  # E: call-arg
    derive.overlay(series.volume(), {"liver": series.volume()}, like=series, style="shaded")  # E: arg-type
    derive.presentation(like=series, markers=["nodule"])  # E: list-item
    derive(series.volume(), like=series)  # E: call-arg
    derive.segmentation({"liver": series.volume()}, like=series, labls={"liver": 1})  # E: call-arg
    derive.segmentation({"liver": series.volume()}, like=series, kind="fraction")  # E: arg-type
    derive.parametric_map(series.volume(), like=series, role="r", unit="mm")  # E: call-arg
    derive.measurement_report({}, like=series, titel="x")  # E: call-arg
    derive.text_report({"findings": 5}, like=series)  # E: dict-item
    derive.pdf(b"%PDF-", like=series, recipe={"series_descripton": "x"})  # E: typeddict-unknown-key
    derive.pdf(b"%PDF-", like=series, recipe={"series_number": "5"})  # E: typeddict-item
    derive.pdf(b"%PDF-", like=5)  # E: arg-type


async def wrong_options_in_an_async_callback(ctx: AsyncRuntimeContext) -> None:
    series, derive = await ctx.session.dicom.get_series(), ctx.session.dicom.derive
    await derive(await series.volume(), like=series, role="r", widnow=(40, 400))  # E: call-arg
    await derive.segmentation({"liver": await series.volume()}, like=series, labls={})  # E: call-arg
    await derive.pdf(b"%PDF-", like=series, recipe={"series_descripton": "x"})  # E: typeddict-unknown-key


async def forgotten_await(ctx: AsyncRuntimeContext) -> None:
    ctx.session.data.set("x", 1)  # E: unused-coroutine
    report: Report = ctx.session.data.get("report", Report)  # E: assignment
    ctx.session.dicom.get_series().datasets()  # E: attr-defined
    with ctx.session.files.open("x") as stream:  # E: attr-defined, attr-defined
        pass


async def blocking_session_in_async_callback(ctx: RuntimeContext, session: Session) -> None:
    await ctx.session.data.set("x", 1)  # E: func-returns-value, misc
    await session.files.read("x")  # E: misc
    async for dataset in session.dicom.get_series().datasets():  # E: attr-defined
        pass


def async_session_in_blocking_callback(session: AsyncSession) -> None:
    report: Report = session.data.get("report", Report)  # E: assignment
    session.data["x"] = 1  # E: index


def mixed_colours() -> None:
    right_blocking(fake_async_context())  # E: arg-type
    blocking: Session = AsyncContainer().async_session()  # E: assignment


class WrongRepository:
    async def find(self, key: JobKey, name: str) -> Found | None: ...


class RightRepository:
    async def find(self, key: JobKey, name: str) -> Found | None:
        return None

    async def put(self, key: JobKey, name: str, value: Any, expected: Any | Sentinel = ABSENT) -> bool:
        return True

    async def increment(self, key: JobKey, name: str, by: float) -> Any | None:
        return None

    async def delete(self, key: JobKey, name: str) -> bool:
        return False

    async def scan(self, key: JobKey, *, values: bool) -> list[tuple[str, Any]]:
        return []


right_fake: DataRepository = RightRepository()
wrong_fake: DataRepository = WrongRepository()  # E: assignment
