"""DICOM peers that images come from and results go to."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from dcm_processor_service.keywords import refuses_unknown_keywords
from dcm_processor_service.models.web_auth import WebAuth

__all__ = ["DEFAULT_AE_TITLE", "AETitle", "Peer"]

DEFAULT_AE_TITLE = "DCM-PROCESSOR"
"""Our own AE title, where neither the settings nor a peer ask for another one."""

_MAX_AE_TITLE_CHARACTERS = 16


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


@refuses_unknown_keywords
class Peer(BaseModel):
    """One DICOM peer.

    Example:
        >>> Peer(name="PACS", ae_title="ORTHANC", host="127.0.0.1", port=4242).address
        'ORTHANC@127.0.0.1:4242'
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="ignore")

    name: str = Field(min_length=1)
    ae_title: AETitle = Field(description="Called AE title: the peer's own")
    host: str = Field(min_length=1)
    port: int = Field(ge=1, le=65535)
    calling_ae_title: AETitle | None = Field(default=None, description="Ours, where this peer wants its own spelling")
    tls: bool = False
    cert_file: str | None = Field(default=None, repr=False, description="Our certificate, PEM")
    key_file: str | None = Field(default=None, repr=False, description="Our private key, PEM")
    ca_file: str | None = Field(
        default=None, repr=False, description="Authority behind the peer's certificate, or that itself"
    )
    url: str | None = Field(default=None, repr=False, description="DICOMweb root; sent to by STOW-RS when set")
    auth: WebAuth | None = Field(
        default=None, repr=False, exclude=True, description="What the DICOMweb service knows us by; never stored"
    )
    proxy: str | None = Field(
        default=None,
        repr=False,
        exclude=True,
        description="URL of a proxy on the way to it; ``environment`` takes HTTPS_PROXY, HTTP_PROXY and NO_PROXY",
    )
    id: str = Field(default="", description="The platform's id of the document")

    @property
    def address(self) -> str:
        """The peer as ``AET@HOST:PORT``, with an IPv6 host in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.ae_title}@{host}:{self.port}"
