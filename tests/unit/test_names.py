"""Names of data and files: none leaves its folder, on any system, and none deceives a reader."""

from __future__ import annotations

import string
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcm_processor_service.codec import check_name
from dcm_processor_service.errors import InvalidNameError
from tests.desk import examples
from tests.parameters import shown

BAD_NAMES = [
    "",
    ".",
    "..",
    "../up",
    "a/../b",
    "/etc/passwd",
    "a/",
    "a//b",
    "./a",
    "a\\..\\b",
    "C:evil",
    "C:/evil",
    "a:stream",
    "a\0b",
    "a\nb",
    "a\x1b[31m",
    "a\u202eb",
    "a\u200bb",
    "\ufeffa",
    "a\u2028b",
    "a\u00a0b",
    "a\u3000",
    "\ud800",
    " a",
    "a ",
    "a /b",
    "a.",
    "a./b",
    "a/...",
    "a*",
    "a?",
    'a"b',
    "a<b",
    "a|b",
    "x" * 201,
]


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_a_name_that_could_leave_its_folder_or_deceive_is_refused(name: str) -> None:
    with pytest.raises(InvalidNameError, match=r"file name .* is not allowed: ") as caught:
        check_name(name, "file")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("name", [None, 3, b"a", Path("a")], ids=shown)
def test_a_name_is_text(name: Any) -> None:
    with pytest.raises(InvalidNameError, match="a name is a text"):
        check_name(name, "data")


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "volume.nii.gz",
        "masks/left/liver.nii.gz",
        ".hidden",
        "..a",
        "a..b",
        "mit Leerzeichen",
        "Größe",
        "山田",
        "x" * 200,
    ],
)
def test_a_harmless_name_is_given_back(name: str) -> None:
    assert check_name(name, "file") == name


@settings(max_examples=examples(100), deadline=None)
@given(st.text(st.characters() | st.sampled_from("./\\: "), max_size=12))
def test_no_allowed_name_leaves_a_folder(name: str) -> None:
    try:
        check_name(name, "file")
    except InvalidNameError:
        return
    base = PurePosixPath("/base")
    windows = PureWindowsPath("C:/base")
    assert (base / name).parts[: len(base.parts)] == base.parts
    assert ".." not in (base / name).parts
    assert (windows / name).parts[: len(windows.parts)] == windows.parts
    assert not set(name) & set(string.whitespace) - {" "}
