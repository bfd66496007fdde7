"""One word for one thing: no text of the project has a word that docs/glossary.md says not to write."""

from __future__ import annotations

import io
import re
import tokenize
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
GLOSSARY = ROOT / "docs" / "glossary.md"
ROW = re.compile(r"^\| (?P<word>[^|]+) \| (?P<means>[^|]+) \| ?(?P<wrong>[^|]*?) ?\|$", re.MULTILINE)
ROWS = [match for match in ROW.finditer(GLOSSARY.read_text(encoding="utf-8")) if match["word"] != "word"]
INSTEAD = {wrong: row["word"] for row in ROWS for wrong in row["wrong"].split(", ") if wrong and wrong != "not"}
# the word means something else there: syntax trees, members of a replica set, options of 0.0.1
OTHER_MEANINGS = {"node": re.compile(r"replica|ast\.|three-node|one-node|-nodes|Node\b|server", re.IGNORECASE)}
# turns of phrase that readers had to read twice, each with what to write in its place
PHRASES = {
    r"(?<!there )\b(is|are|was|were) no (?!(longer|more|less|such|other|earlier|later|faster|slower)\b)": "is not a …",
    r"\bof ours\b": "our …",
    r"\banew\b": "again",
}
TEXTS = sorted(
    [
        *(ROOT / "dcm_processor_service").rglob("*.py"),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "examples").rglob("*.py"),
        ROOT / "README.md",
    ]
)


@cache
def words_of(path: Path) -> str:
    """Returns the text of a file; of a module, only its comments and strings."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return text
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    # from Python 3.12 on, an f-string comes in parts
    parts = [
        token.string for token in tokens if tokenize.tok_name[token.type] in {"COMMENT", "STRING", "FSTRING_MIDDLE"}
    ]
    # a string of one word is a name: of a field, a class, a column
    return "\n".join(part for part in parts if not re.fullmatch(r"[rfb]*['\"]+[\w.]*['\"]+", part))


def wrong_lines(text: str, wrong: str) -> list[str]:
    """Returns the lines with a word or its plural, but not as a part of a name in code."""
    if wrong.lower() not in text.lower():  # nearly every text; ten times as fast as the pattern
        return []
    word = re.compile(rf"(?<![\w.`{{'-]){re.escape(wrong)}s?(?![\w`(=])", re.IGNORECASE)
    other = OTHER_MEANINGS.get(wrong)
    return [line.strip() for line in text.splitlines() if word.search(line) and not (other and other.search(line))]


def test_the_glossary_is_read() -> None:
    assert INSTEAD["moment"] == "datetime"
    assert INSTEAD["drawer"] == "key"
    assert wrong_lines("the moment of arrival\nmomentary\nx.moment", "moment") == ["the moment of arrival"]


@pytest.mark.parametrize("wrong", INSTEAD)
def test_nobody_writes(wrong: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {line}"
        for path in TEXTS
        if path != GLOSSARY
        for line in wrong_lines(words_of(path), wrong)
    ]
    assert not found, f"docs/glossary.md says {INSTEAD[wrong]!r}"


def phrase_lines(text: str, phrase: str) -> list[str]:
    """Returns each occurrence of a phrase with the words around it; a phrase may go on in the next line."""
    whole = re.sub(r"\s+", " ", re.sub(r'"\s*\n\s*f?"', " ", text))
    return [whole[max(0, found.start() - 60) : found.end() + 30] for found in re.finditer(phrase, whole, re.IGNORECASE)]


@pytest.mark.parametrize("phrase", PHRASES)
def test_nobody_writes_a_phrase_that_is_hard_to_follow(phrase: str) -> None:
    found = [f"{path.relative_to(ROOT)}: {line}" for path in TEXTS for line in phrase_lines(words_of(path), phrase)]
    assert not found, f"write {PHRASES[phrase]!r}"


def test_a_phrase_is_found_across_lines() -> None:
    assert [len(phrase_lines("a key that is\nno number", phrase)) for phrase in PHRASES] == [1, 0, 0]
    assert [len(phrase_lines("There is no peer; it is no longer there", phrase)) for phrase in PHRASES] == [0, 0, 0]
