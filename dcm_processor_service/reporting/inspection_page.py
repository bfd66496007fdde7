"""The page of ``inspect``: for each series its report and its contact sheet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcm_processor_service.hypertext import element, page, picture
from dcm_processor_service.models.images.series_report import series_html

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dcm_processor_service.models import SeriesReport

__all__ = ["inspection_page"]


def inspection_page(found: Sequence[tuple[SeriesReport, bytes | None]]) -> str:
    """Returns the page: for each series its report, and its contact sheet where there is one."""
    title = f"{len(found)} series"
    return page(title, element("h1", title), *(_article(report, sheet) for report, sheet in found))


def _article(report: SeriesReport, sheet: bytes | None) -> str:
    shown = (
        [] if sheet is None else [element("h3", "Contact sheet"), element("figure", picture(sheet, "contact sheet"))]
    )
    return element("article", series_html(report), *shown)
