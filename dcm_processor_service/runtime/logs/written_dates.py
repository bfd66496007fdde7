"""The ways in which people and programs write a date, as one pattern."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

__all__ = ["date_pattern", "year_signs"]

_MONTHS = {
    "en": "January February March April May June July August September October November December",
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "nl": "januari februari maart april mei juni juli augustus september oktober november december",
    "pt": "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
    "pl": "stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października listopada grudnia",
    "sv": "januari februari mars april maj juni juli augusti september oktober november december",
    "da": "januar februar marts april maj juni juli august september oktober november december",
    "ru": "января февраля марта апреля мая июня июля августа сентября октября ноября декабря",
    "tr": "Ocak Şubat Mart Nisan May\u0131s Haziran Temmuz Ağustos Eylül Ekim Kas\u0131m Aral\u0131k",
}
_NO_ACCENTS = str.maketrans("äéûçśźŞş\u0131ğü", "aeucszSsigu")
_ROMAN = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII")
_ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["zero", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_ORDINALS = {"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth"}

_TWO_DIGITS = 10
_TWO_DIGITS_LENGTH = 2
_DASHES = "\\-\u2010-\u2015\u2212"
_SEPARATOR = rf"(?:\s?[/.{_DASHES}]\s?|, ?|_|%2[DF]|\\\\?)"
_WIDE_SEPARATOR = rf"(?:{_SEPARATOR}|\s)"
"""The separator in a date with a year of four digits: there, numbers separated by spaces are a date, too."""
_GAP = rf"(?:[\s._/{_DASHES}]|,\s?|\.\s)?(?:of |de |del )?"
_TIME = r"(?:\d\d){0,3}"
"""The time that may follow the eight digits of a date in a DT value (PS3.5, section 6.2): HHMMSS, or its beginning."""
_CLOCK = r"(?:\d\d:\d\d(?::\d\d)? )?"
"""The time of day, which ``ctime`` writes before the year."""


def date_pattern(day: date, *, short_year: bool) -> str:
    """Returns the pattern of a date: digits alone, numbers with separators, and months or the whole in words.

    Numbers stand in the orders year-month-day, day-month-year and month-day-year, with and without leading zeros;
    months in the languages of this module and in their first three letters; the whole in English words.

    Args:
        day: The date.
        short_year: Whether the year may have two digits, too; such a date may as well be an ordinary number.

    Example:
        >>> import re
        >>> from datetime import date
        >>> pattern = re.compile(date_pattern(date(1979, 2, 3), short_year=True), re.IGNORECASE)
        >>> all(map(pattern.fullmatch, ("19790203", "3/2/1979", "3rd of February 1979", "03FEB1979", "030279")))
        True
    """
    alone = rf"{day.year:04}{day.month:02}{day.day:02}{_TIME}|{'|'.join(_digits(day, short_year=short_year))}"
    # neither part of a longer number nor a component of a UID
    return rf"(?<!\d)(?<!\d\.)(?:{alone}|(?:{'|'.join(_separated(day, short_year=short_year))})(?!\.\d))(?!\d)"


def year_signs(year: int, *, short_year: bool) -> tuple[str, ...]:
    """Returns lower-case texts; every text in which :func:`date_pattern` finds a date contains one of them.

    Example:
        >>> year_signs(1979, short_year=True)
        ('1979', 'nineteen', '79', 'seventy')
    """
    century = year // 100
    spoken = (_spoken(century).split("[")[0], *([_ONES[century // 10 % 10]] if century % 10 == 0 else []))
    short = (f"{year % 100:02}", _spoken(year % 100).split("[")[0]) if short_year else ()
    return (f"{year:04}", *spoken, *short)


def _digits(day: date, *, short_year: bool) -> Iterator[str]:
    """Yields the date in eight digits, or six, without separators."""
    month, number = f"{day.month:02}", f"{day.day:02}"
    yield from (rf"{number}{month}{day.year:04}(?!\.\d)", rf"{month}{number}{day.year:04}(?!\.\d)")
    if short_year:
        year = f"{day.year % 100:02}"
        yield from (rf"{one}(?!\.\d)" for one in (year + month + number, number + month + year, month + number + year))


def _separated(day: date, *, short_year: bool) -> Iterator[str]:
    month, number = _with_zero(day.month), _with_zero(day.day)
    for year in (f"{day.year:04}", *([f"{day.year % 100:02}"] if short_year else [])):
        separator = _WIDE_SEPARATOR if len(year) > _TWO_DIGITS_LENGTH else _SEPARATOR
        yield from map(separator.join, ((year, month, number), (number, month, year), (month, number, year)))
    yield rf"{number}\s?[/.{_DASHES}\s]\s?{_ROMAN[day.month - 1]}\s?[/.{_DASHES}\s]\s?{day.year:04}"
    of_year = day.toordinal() - day.replace(month=1, day=1).toordinal() + 1
    yield f"{day.year:04}-?{of_year:03}"
    week_year, week, week_day = day.isocalendar()
    if week_year == day.year:
        yield f"{week_year:04}-?W{week:02}-?{week_day}"
    yield f"{day.year:04}年{month}月{number}日"
    year = rf"(?:{day.year:04}|['’]?{day.year % 100:02})" if short_year else f"{day.year:04}"
    spoken_day, spoken_year = _spoken_ordinal(day.day), _spoken_year(day.year, short=short_year)
    nth = rf"(?:the )?(?:{number}(?:st|nd|rd|th|er|\.|º)?|{spoken_day})"
    year = rf"(?:{year}|{spoken_year})"
    name = _month_names(day.month)
    yield rf"{nth}{_GAP}{name}{_GAP}{year}"
    yield rf"(?<![^\W_]){name}{_GAP} ?{nth}{_GAP}{_CLOCK}{year}"
    yield rf"{day.year:04}{_GAP}{name}{_GAP}{nth}"


def _month_names(month: int) -> str:
    names = {name for names in _MONTHS.values() for name in (names.split()[month - 1],)}
    names |= {name.translate(_NO_ACCENTS) for name in names}
    short = {name[:3] for name in names} | {name[:4] for name in names if name == "September"}
    return rf"(?:{'|'.join(sorted(names, key=len, reverse=True))}|(?:{'|'.join(sorted(short))})\.?)"


def _spoken_ordinal(number: int) -> str:
    """Returns the pattern of a day in words, such as ``twenty-third``."""
    *tens, last = _spoken(number).split("[ -]")
    ordinal = _ORDINALS.get(last) or (f"{last[:-1]}ieth" if last.endswith("y") else f"{last.removesuffix('e')}th")
    ordinal = "twelfth" if last == "twelve" else ordinal
    return "[ -]".join([*tens, rf"(?:{ordinal}|{last})"])


def _spoken(number: int) -> str:
    """Returns the pattern of a number below a hundred in words."""
    if number < len(_ONES):
        return _ONES[number]
    tens, ones = divmod(number, 10)
    return _TENS[tens] + (f"[ -]{_ONES[ones]}" if ones else "")


def _spoken_year(year: int, *, short: bool) -> str:
    """Returns the pattern of a year in words: ``nineteen seventy-nine``, ``two thousand (and) five``."""
    century, rest = divmod(year, 100)
    tail = (
        _spoken(rest)
        if rest >= _TWO_DIGITS
        else (f"(?:oh|hundred and|hundred)[ -]{_ONES[rest]}" if rest else "hundred")
    )
    choices = [f"{_spoken(century)}[ -]{tail}"]
    if century % 10 == 0:
        choices.append(f"{_ONES[century // 10 % 10]} thousand" + (f"(?: and)? {_spoken(rest)}" if rest else ""))
    if short and rest:
        choices.append(_spoken(rest))
    return rf"(?:{'|'.join(choices)})"


def _with_zero(number: int) -> str:
    """Returns the pattern of a day's or month's number, with its leading zero or without."""
    return f"0?{number}" if number < _TWO_DIGITS else str(number)
