"""The pytest plugin's fixtures, as an author's own tests use them."""

from __future__ import annotations

import pytest

from dcm_processor_service.testing.mongo_server import NO_MONGOD

pytest_plugins = ["pytester"]

QUIET = ("-p", "no:randomly", "-p", "no:cacheprovider", "-rs", "--strict-markers", "-W", "error")


def run(pytester: pytest.Pytester, text: str) -> pytest.RunResult:
    pytester.makepyfile(text)
    return pytester.runpytest_subprocess(*QUIET)


def test_ctx_and_pacs_are_what_their_markers_say(pytester: pytest.Pytester) -> None:
    run(
        pytester,
        """
        import socket

        import pytest
        from dcm_processor_service import RuntimeContext
        from dcm_processor_service.errors import DcmProcessorError
        from dcm_processor_service.testing import synthetic_series

        ports = []

        def test_default(ctx):
            assert isinstance(ctx, RuntimeContext)
            assert ctx.session.dicom.get_series().info.modality == "CT"
            assert ctx.session.dicom.get_series().instance_count() == 4
            assert (ctx.job.params, ctx.job.name) == ({}, "job")
            ctx.session.data["x"] = 1

        def test_a_context_of_its_own(ctx):
            assert "x" not in ctx.session.data

        @pytest.mark.ctx(series="mr", upstream={"segment": {"volume_ml": 5.0}})
        def test_kind(ctx):
            assert ctx.session.dicom.get_series().info.modality == "MR"
            assert ctx.session.data.get("volume_ml", job="segment") == 5.0

        @pytest.mark.ctx(series=synthetic_series(slices=7))
        def test_datasets(ctx):
            assert ctx.session.dicom.get_series().instance_count() == 7

        @pytest.mark.ctx(series=None)
        def test_none(ctx):
            assert ctx.job.headers is None

        @pytest.mark.ctx(params={"threshold": 0.5}, job_name="outer", service_name="outer")
        class TestNearest:
            @pytest.mark.ctx(job_name="inner")
            def test_wins(self, ctx):
                assert ctx.job.params == {"threshold": 0.5}
                assert (ctx.job.name, ctx.job.service_name) == ("inner", "outer")

        def test_who_sent_the_images_takes_results(ctx, pacs):
            ctx.session.dicom.send(ctx.session.dicom.get_series(), to=ctx.session.peers.current())
            assert len(pacs.datasets()) == 4
            ports.append(pacs.peer.port)

        def test_pacs_has_stopped():
            with socket.socket() as probe:
                assert probe.connect_ex(("127.0.0.1", ports[0])) != 0

        @pytest.mark.pacs(faults={"status": 0xC001}, ae_title="ARCHIVE")
        def test_faults(pacs, ctx):
            assert pacs.peer.ae_title == "ARCHIVE"
            with pytest.raises(DcmProcessorError):
                ctx.session.dicom.send(ctx.session.dicom.get_series(), to="ARCHIVE")
            assert not pacs.datasets()
        """,
    ).assert_outcomes(passed=9)


def test_an_author_s_own_pacs_may_be_anything(pytester: pytest.Pytester) -> None:
    run(
        pytester,
        """
        import pytest

        @pytest.fixture
        def pacs():
            return "http://localhost"

        def test_one(ctx, pacs):
            assert list(ctx.session.peers.list()) == []
        """,
    ).assert_outcomes(passed=1)


def test_a_marker_that_is_wrong_fails_with_what_was_meant(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        import pytest

        @pytest.mark.ctx(parms={})
        def test_misspelt(ctx): ...

        @pytest.mark.ctx({"threshold": 0.5})
        def test_without_a_name(ctx): ...

        @pytest.mark.pacs(faults={"stauts": 1})
        def test_fault(pacs): ...
        """,
    )
    result.assert_outcomes(errors=3)
    result.stdout.fnmatch_lines_random(
        ["*parms*params*", "*@pytest.mark.ctx takes arguments by name alone*", "*stauts*"]
    )


@pytest.mark.mongodb
def test_mongodb_is_a_real_server_with_a_database_for_each_test(
    pytester: pytest.Pytester, mongo_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THEIR_MONGODB", mongo_url)  # that of this run: to start another takes seconds
    pytester.makeconftest(
        """
        import os
        from contextlib import nullcontext
        from dcm_processor_service.testing import mongo_server

        mongo_server.running_mongod = lambda: nullcontext(os.environ["THEIR_MONGODB"])
        """
    )
    run(
        pytester,
        """
        import pytest
        from pymongo import MongoClient
        from dcm_processor_service import Container, RuntimeSettings, opened

        names = []

        @pytest.mark.parametrize("number", [1, 2])
        def test_own(mongodb, number):
            with MongoClient(mongodb.url) as client:
                for name in names:
                    assert name not in client.list_database_names()
                assert client[mongodb.name].list_collection_names() == []
            settings = RuntimeSettings.without_environment(session_id="5" * 24, job_id="1" * 24, **mongodb.settings())
            with opened(Container(settings=settings)) as container:
                container.session().data["x"] = number
                assert container.session().data["x"] == number
            names.append(mongodb.name)
            assert len(set(names)) == number
        """,
    ).assert_outcomes(passed=2)


@pytest.mark.parametrize("ci", ["", "true"])
def test_without_a_server_a_test_is_skipped_and_fails_under_ci(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, ci: str
) -> None:
    monkeypatch.setenv("CI", ci)
    pytester.makeconftest(
        """
        from dcm_processor_service.testing import mongo_server

        mongo_server.find_mongod = lambda: None
        """
    )
    result = run(pytester, "def test_one(mongodb): ...\ndef test_two(mongodb): ...")
    result.assert_outcomes(**{"errors" if ci else "skipped": 2})
    assert NO_MONGOD.partition(";")[0] in result.stdout.str().replace("\n", "")
