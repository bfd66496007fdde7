"""For mkdocs: pages that lie outside of docs/, and every page as Markdown beside its HTML, for llms.txt."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
OUTSIDE = {
    "index.md": "README.md",
    **{name: name for name in ("SECURITY.md", "CHANGELOG.md", "CONTRIBUTING.md")},
}
"""Pages of the site, and the files at the root of the source that they are."""
_OUT_OF_DOCS = re.compile(r"\]\(\.\./(?=[A-Z])")
_INTO_DOCS = re.compile(r"\]\(docs/")
_EXAMPLE = re.compile(r"\]\((?:\.\./)?examples/([\w/]+)\.py\)")
_EXAMPLES = re.compile(r"\]\((?:\.\./)?examples(?:/\w+)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages, and one that shows all examples."""
    for name, source in OUTSIDE.items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / source)))
    files.append(File.generated(config, "examples.md", content=examples_page()))
    return files


def examples_page() -> str:
    """Returns a page with the source of each example."""
    parts = ["# Examples\n\nEach runs as it is, over a real scan that comes with pydicom: `run FILE --sample`."]
    for path in sorted((ROOT / "examples").rglob("*.py")):
        name = path.relative_to(ROOT / "examples").with_suffix("").as_posix()
        parts.append(f"## {name} {{#{anchor(name)}}}\n\n```python\n{path.read_text(encoding='utf-8')}```")
    return "\n\n".join(parts) + "\n"


def anchor(name: str) -> str:
    """Returns the anchor of an example in the page."""
    return name.replace("/", "-")


def on_page_markdown(markdown: str, page: Page, **_others: object) -> str:
    """Makes links between the two places those of the site."""
    del page
    text = _EXAMPLE.sub(lambda found: f"](examples.md#{anchor(found[1])})", markdown)
    text = _EXAMPLES.sub("](examples.md)", text)
    return _INTO_DOCS.sub("](", _OUT_OF_DOCS.sub("](", text))


def on_post_build(config: MkDocsConfig) -> None:
    """Lays the pages down as Markdown too: what llms.txt names."""
    site = Path(config.site_dir)
    for path in (ROOT / "docs").glob("*.md"):
        (site / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
