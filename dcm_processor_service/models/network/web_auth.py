"""Credentials with which we identify ourselves to a DICOMweb peer. No repr shows a secret, and no store keeps one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from dcm_processor_service.keywords import refuses_unknown_keywords

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["BasicAuth", "BearerToken", "ClientCredentials", "WebAuth"]


@refuses_unknown_keywords
class BasicAuth(BaseModel):
    """A user name and a password (RFC 7617).

    Example:
        >>> BasicAuth(user="anna", password="secret")
        BasicAuth(user='anna', password=SecretStr('**********'))
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    user: str = Field(min_length=1)
    password: SecretStr


@refuses_unknown_keywords
class BearerToken(BaseModel):
    """A token (RFC 6750): its value, a file that holds it, or a function that returns it; one of the three.

    The file is read, or the function called, for each request, so that a token that was renewed elsewhere is used.

    Example:
        >>> BearerToken(token="secret")
        BearerToken(token=SecretStr('**********'), file=None)

    Raises:
        ValidationError: None or several of the three are given.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    token: SecretStr | None = None
    file: str | None = Field(default=None, description="Its path; white space around the token is removed")
    call: Callable[[], str] | None = Field(default=None, repr=False)

    @model_validator(mode="after")
    def _one_of_three(self) -> Self:
        if sum(one is not None for one in (self.token, self.file, self.call)) != 1:
            raise ValueError("give one of token=, file= and call=")
        return self


@refuses_unknown_keywords
class ClientCredentials(BaseModel):
    """OAuth 2.0 client credentials (RFC 6749, section 4.4): tokens are fetched, and renewed before they expire.

    Example:
        >>> ClientCredentials(token_url="https://login.example/token", client_id="service", client_secret="secret")
        ClientCredentials(client_id='service', scope='')
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    token_url: str = Field(repr=False, pattern="^https?://")
    client_id: str = Field(min_length=1)
    client_secret: SecretStr = Field(repr=False)
    scope: str = ""
    ca_file: str | None = Field(
        default=None, repr=False, description="Certificate of the authority that signed token_url's"
    )


WebAuth: TypeAlias = BasicAuth | BearerToken | ClientCredentials
"""One of the ways in which we identify ourselves to a DICOMweb peer."""
