"""Finds codes of languages by RFC 5646, from a tag or an English name (PS3.16, CID 5000)."""

from __future__ import annotations

import difflib
import re

from dcm_processor_service.derived.terminology.codes import checked_code
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.models.derived import Code

__all__ = ["language_code"]

_NAMES = {
    "af": "Afrikaans", "am": "Amharic", "ar": "Arabic", "az": "Azerbaijani", "be": "Belarusian", "bg": "Bulgarian",
    "bn": "Bengali", "bs": "Bosnian", "ca": "Catalan", "cs": "Czech", "cy": "Welsh", "da": "Danish", "de": "German",
    "el": "Greek", "en": "English", "es": "Spanish", "et": "Estonian", "eu": "Basque", "fa": "Persian",
    "fi": "Finnish", "fil": "Filipino", "fr": "French", "ga": "Irish", "gl": "Galician", "gu": "Gujarati",
    "ha": "Hausa", "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian", "hy": "Armenian",
    "id": "Indonesian", "ig": "Igbo", "is": "Icelandic", "it": "Italian", "ja": "Japanese", "ka": "Georgian",
    "kk": "Kazakh", "km": "Khmer", "kn": "Kannada", "ko": "Korean", "ky": "Kyrgyz", "lb": "Luxembourgish",
    "lo": "Lao", "lt": "Lithuanian", "lv": "Latvian", "mk": "Macedonian", "ml": "Malayalam", "mn": "Mongolian",
    "mr": "Marathi", "ms": "Malay", "mt": "Maltese", "my": "Burmese", "nb": "Norwegian Bokmål", "ne": "Nepali",
    "nl": "Dutch", "nn": "Norwegian Nynorsk", "no": "Norwegian", "pa": "Punjabi", "pl": "Polish", "ps": "Pashto",
    "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "rw": "Kinyarwanda", "si": "Sinhala", "sk": "Slovak",
    "sl": "Slovenian", "so": "Somali", "sq": "Albanian", "sr": "Serbian", "sv": "Swedish", "sw": "Swahili",
    "ta": "Tamil", "te": "Telugu", "tg": "Tajik", "th": "Thai", "tk": "Turkmen", "tr": "Turkish", "uk": "Ukrainian",
    "ur": "Urdu", "uz": "Uzbek", "vi": "Vietnamese", "xh": "Xhosa", "yo": "Yoruba", "zh": "Chinese", "zu": "Zulu",
}  # fmt: skip
_BY_NAME = {name.lower(): tag for tag, name in _NAMES.items()}
_TAG = re.compile(r"([a-z]{2,3})(-[A-Za-z]{4})?(-(?:[A-Za-z]{2}|[0-9]{3}))?")


def language_code(language: Code | str) -> Code:
    """Returns the code of a language from its tag, which may have script and region, or from its English name.

    Raises:
        DerivedObjectError: No language has this tag or name, or the given code cannot be written.

    Example:
        >>> language_code("de").meaning, language_code("pt-br").value, language_code("French").value
        ('German', 'pt-BR', 'fr')
    """
    if isinstance(language, Code):
        return checked_code(language)
    if not isinstance(language, str):
        raise DerivedObjectError("the language is not a name: give a tag such as 'de' or 'pt-BR', or a Code")
    given = language.strip().lower()
    found = _TAG.fullmatch(_BY_NAME.get(given, given.replace("_", "-")))
    if found is None or found[1] not in _NAMES:
        near = difflib.get_close_matches(given, _BY_NAME, n=1)
        raise DerivedObjectError(
            f"no language is called {language!r}"
            + (f": {near[0].title()!r} is" if near else "")
            + "; give a tag such as 'de' or 'pt-BR', or a code of your own: Code(tag, 'RFC5646', name)"
        )
    script, region = (found[2] or "").title(), (found[3] or "").upper()
    name = _NAMES[found[1]]
    extra = ", ".join(part[1:] for part in (script, region) if part)
    return Code(f"{found[1]}{script}{region}", "RFC5646", f"{name} ({extra})" if extra else name)
