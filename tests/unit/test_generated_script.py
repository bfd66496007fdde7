"""What the platform's generated script makes of a job's arguments, and how text is passed through it whole."""

from __future__ import annotations

import ast
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcm_processor_service.models.generated_script import (
    ScriptFault,
    ends_script,
    escaped,
    faults_below,
    survives,
    unescaped,
)
from tests.desk import examples

TEXTS = st.text(st.characters(codec="utf-8") | st.sampled_from('"\\\n\r\t\x00n"u'), max_size=12)


def arrived(kwargs: dict[str, Any]) -> Any:
    """What the callback is called with: the template of the worker, as it is published."""
    script = f'KWARGS = """{json.dumps(kwargs, indent=2)}"""'
    (statement,) = ast.parse(script).body
    assert isinstance(statement, ast.Assign)
    return json.loads(ast.literal_eval(statement.value))


@given(TEXTS)
@settings(max_examples=examples(200))
def test_what_arrives_of_a_text_is_known_before(text: str) -> None:
    try:
        found = arrived({"before": "a", "text": text, "after": "b"})
    except (ValueError, SyntaxError):
        assert ends_script(text)
    else:
        assert not ends_script(text)
        assert survives(text) is (found == {"before": "a", "text": text, "after": "b"})


@given(st.dictionaries(st.sampled_from(["PatientName", "StudyID"]), TEXTS | st.lists(TEXTS, max_size=3)))
@settings(max_examples=examples(200))
def test_escaped_text_arrives_as_it_was_and_is_distinguished_from_other_text(values: dict[str, Any]) -> None:
    assert arrived(escaped(values)) == values
    assert unescaped(escaped(values)) == values


@pytest.mark.parametrize(
    ("text", "characters"),
    [
        ('the "best"', ["a quotation mark"]),
        ("a \\ b", ["a backslash"]),
        ("\U0001f600", []),
        ("a\r\nb", ["a line break"]),
        ("a\tb", ["a control character"]),
        ('"\\\n\x00', ["a quotation mark", "a backslash", "a line break", "a control character"]),
        ("Müller's 100 % {x} Ω", []),
        ("a\\b arrives as something else", []),
    ],
)
def test_a_fault_names_the_attribute_and_the_character_and_not_the_value(text: str, characters: list[str]) -> None:
    value = {"headers": {"Metadata": {"OperatorsName": ["fine", text]}}, "job_id": "1b" * 12}
    assert list(faults_below(value)) == [ScriptFault("headers.Metadata.OperatorsName", one) for one in characters]


def test_a_name_that_does_not_survive_is_a_fault_of_what_it_stands_in() -> None:
    assert list(faults_below({"params": {'a "b"': 1}})) == [ScriptFault("params", "a quotation mark in a name")]
