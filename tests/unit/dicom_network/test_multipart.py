"""The parts of a WADO-RS answer, whose bytes arrive in pieces of any length."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcm_processor_service.dicom_network.retrieval.web_channel import split_parts
from tests.desk import examples

BOUNDARY = b"ab-c"
CONTENT = st.lists(st.sampled_from([b"\r", b"\n", b"-", b"ab-c", b"\r\n--ab", b"\0", b"x" * 50]), max_size=8)


def body(parts: list[bytes]) -> bytes:
    head = b"--" + BOUNDARY + b"\r\nContent-Type: application/dicom\r\n\r\n"
    return b"".join(head + part + b"\r\n" for part in parts) + b"--" + BOUNDARY + b"--\r\n"


def read(pieces: list[bytes]) -> list[bytes]:
    found, current = [], b""
    for piece in split_parts(pieces, BOUNDARY):
        if piece is None:
            found.append(current)
            current = b""
        else:
            current += piece
    return found


def cut(content: bytes, length: int) -> list[bytes]:
    return [content[start : start + length] for start in range(0, len(content), length)]


@settings(max_examples=examples(60))
@given(parts=st.lists(CONTENT.map(b"".join), max_size=4), length=st.integers(1, 70))
def test_parts_are_restored_however_the_answer_is_cut(parts: list[bytes], length: int) -> None:
    parts = [part for part in parts if b"\r\n--" + BOUNDARY not in b"\r\n" + part]
    assert read(cut(b"preamble\r\n" + body(parts), length)) == parts
    assert read(cut(body(parts), length)) == parts


@pytest.mark.parametrize("missing", [1, 5, 9, 12, 30])
def test_an_answer_that_is_cut_off_is_reported(missing: int) -> None:
    whole = body([b"first", b"second"]).rstrip(b"\r\n")
    with pytest.raises(Exception, match="cut off"):
        read([whole[:-missing]])


def test_a_head_without_end_is_refused_before_it_fills_the_memory() -> None:
    with pytest.raises(Exception, match="the head of a part does not end"):
        read([b"--" + BOUNDARY + b"\r\n", *[b"x" * 10_000] * 20])
