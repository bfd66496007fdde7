"""HTML that holds what it shows: everything is escaped, nothing is fetched, nothing runs."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from dcm_processor_service.hypertext import Html, chip, element, facts, join, page, picture, table

HOSTILE = "<script>alert('x')</script>\" onload=\"x & 'y'"


class Seen(HTMLParser):
    """The tags, the text and the attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words = ""
        self.feed(text)
        self.close()

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    @override
    def handle_data(self, data: str) -> None:
        self.words += data


@given(st.text())
def test_any_text_comes_back_as_it_was_and_makes_no_tag(text: str) -> None:
    seen = Seen(element("p", text, title=text))
    assert seen.tags == ["p"]
    assert seen.words.replace("\r\n", "\n").replace("\r", "\n") == text.replace("\r\n", "\n").replace("\r", "\n")
    assert [value for _name, value in seen.attributes] == ([text] if text else [])


def test_every_builder_escapes() -> None:
    built = [
        chip(HOSTILE, HOSTILE),
        facts([(HOSTILE, HOSTILE)]),
        table([HOSTILE], [[HOSTILE]]),
        picture(b"", HOSTILE),
        join([HOSTILE], HOSTILE),
        Html(page(HOSTILE, HOSTILE)),
    ]
    for one in built:
        assert not {"script"} & {*Seen(one).tags}
        assert "onload" not in dict(Seen(one).attributes)


def test_a_page_has_no_script_and_its_policy_lets_nothing_be_fetched() -> None:
    text = page("title", element("p", "x"))
    assert ("http-equiv", "Content-Security-Policy") in Seen(text).attributes
    policies = [value for name, value in Seen(text).attributes if name == "content" and "-src" in (value or "")]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]
    assert "script" not in Seen(text).tags
    assert not re.search(r"(src|href|url)\s*[=(]\s*[\"'](?!data:|#)", text)


def test_a_page_knows_light_dark_and_paper() -> None:
    text = page("title")
    for rule in ("color-scheme: light dark", "@media (prefers-color-scheme: dark)", "@media print"):
        assert rule in text
