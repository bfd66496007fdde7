"""DICOM peers that images come from and results go to."""

from __future__ import annotations

from string import hexdigits
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from dcm_processor_service.keywords import refuses_unknown_keywords
from dcm_processor_service.models.network.web_auth import WebAuth

__all__ = ["DEFAULT_AE_TITLE", "WRITABLE_SYNTAXES", "AETitle", "Peer"]

DEFAULT_AE_TITLE = "DCM-PROCESSOR"
"""Our own AE title, unless the settings or the peer's record name another one."""

WRITABLE_SYNTAXES = (
    "1.2.840.10008.1.2.1",  # explicit VR little endian
    "1.2.840.10008.1.2",  # implicit VR little endian
    "1.2.840.10008.1.2.5",  # RLE
    "1.2.840.10008.1.2.4.80",  # JPEG-LS lossless
    "1.2.840.10008.1.2.4.90",  # JPEG 2000 lossless
)
"""The transfer syntaxes that a peer's record may prefer: those to which instances are converted without loss."""

_MAX_AE_TITLE_CHARACTERS = 16
_SHA256_DIGITS = 64


def _check_ae_title(value: str) -> str:
    if not value.isascii() or not value.isprintable() or "\\" in value:
        raise ValueError("an AE title has printable ASCII characters without backslash (PS3.5, section 6.2)")
    return value


AETitle = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=_MAX_AE_TITLE_CHARACTERS),
    AfterValidator(_check_ae_title),
]
"""An application entity title: 1 to 16 printable ASCII characters, not only spaces, no backslash (PS3.5, 6.2)."""


def _check_syntax(value: str) -> str:
    if value not in WRITABLE_SYNTAXES:
        raise ValueError(f"give one of {', '.join(WRITABLE_SYNTAXES)}, to which instances are converted without loss")
    return value


def _check_fingerprint(value: str) -> str:
    digits = value.replace(":", "").replace(" ", "").lower()
    if len(digits) != _SHA256_DIGITS or set(digits) - set(hexdigits):
        raise ValueError("a SHA-256 fingerprint has 64 hexadecimal digits, with or without colons")
    return digits


@refuses_unknown_keywords
class Peer(BaseModel):
    """One DICOM peer, and how to communicate with it; every C-STORE, C-ECHO, query and fetch follows these fields.

    Example:
        >>> Peer(name="PACS", ae_title="ORTHANC", host="127.0.0.1", port=4242).address
        'ORTHANC@127.0.0.1:4242'
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    name: str = Field(min_length=1)
    ae_title: AETitle = Field(description="Called AE title: the peer's own")
    host: str = Field(min_length=1)
    port: int = Field(ge=1, le=65535)
    calling_ae_title: AETitle | None = Field(
        default=None, description="Our AE title, where this peer expects another one"
    )
    tls: bool = False
    cert_file: str | None = Field(default=None, repr=False, description="Our certificate, PEM")
    key_file: str | None = Field(default=None, repr=False, description="Our private key, PEM")
    ca_file: str | None = Field(
        default=None, repr=False, description="Certificate of the authority that signed the peer's, or the peer's own"
    )
    url: str | None = Field(
        default=None, repr=False, description="DICOMweb root; instances go there by STOW-RS when set"
    )
    auth: WebAuth | None = Field(
        default=None,
        repr=False,
        exclude=True,
        description="How we identify ourselves to the DICOMweb service; never stored",
    )
    proxy: str | None = Field(
        default=None,
        repr=False,
        exclude=True,
        description="URL of a proxy for DICOMweb; ``environment``: that of HTTPS_PROXY, HTTP_PROXY and NO_PROXY",
    )
    transfer_syntax_uid: Annotated[str, AfterValidator(_check_syntax)] | None = Field(
        default=None, description="Transfer syntax it prefers; used if it accepts that, and no loss results"
    )
    timeout_s: float | None = Field(
        default=None, gt=0, description="Seconds to wait for its answer, unless options of a call say otherwise"
    )
    connection_timeout_s: float | None = Field(
        default=None, gt=0, description="Seconds to wait for the TCP connection, unless options of a call say otherwise"
    )
    max_associations: int | None = Field(
        default=None, ge=1, le=32, description="How many associations or connections it accepts at once"
    )
    max_pdu_bytes: int | None = Field(
        default=None,
        ge=4096,
        le=131_072,
        description="Longest PDU to send, for a peer that announces more than it can receive",
    )
    max_request_bytes: int | None = Field(
        default=None, ge=1 << 20, description="Longest STOW-RS request; an instance that alone is longer is sent whole"
    )
    tls_server_name: str | None = Field(
        default=None, min_length=1, repr=False, description="Name that its certificate is for, in place of the host"
    )
    certificate_sha256: Annotated[str, AfterValidator(_check_fingerprint)] | None = Field(
        default=None,
        repr=False,
        description="Fingerprint that its certificate must have; without ca_file nothing else is checked",
    )
    id: str = Field(default="", description="The platform's id of the document")

    @property
    def address(self) -> str:
        """The peer as ``AET@HOST:PORT``, with an IPv6 host in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.ae_title}@{host}:{self.port}"
