"""A throw-away certificate authority, for tests of TLS on a laptop or in CI; never for real data.

The certificates are made by the ``openssl`` program: nearly every machine that runs Python with TLS has it, and a
library for certificates would be one more dependency, for tests alone.
"""

from __future__ import annotations

import ipaddress
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dcm_processor_service.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["Certificate", "FakeAuthority"]

_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, both PEM files.

    Example:
        >>> Certificate("ours.pem", "ours.key").key_file
        'ours.key'
    """

    cert_file: str
    key_file: str


class FakeAuthority:
    """Signs certificates that no one else trusts.

    Args:
        folder: The folder for its files.
        name: A name that distinguishes authorities in one folder.
        own: The authority's certificate; None makes one that it signs itself.

    Raises:
        ConfigurationError: There is no ``openssl`` program.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(FakeAuthority(Path(folder)).issue("pacs").cert_file).name
        'pacs.pem'
    """

    def __init__(self, folder: Path, name: str = "authority", *, own: Certificate | None = None) -> None:
        self._folder = folder
        if own is not None:
            self._own = own
            return
        self._own = Certificate(str(folder / f"{name}.pem"), str(folder / f"{name}.key"))
        subject = ("-subj", f"/CN=throw-away {name}", "-days", "2")
        files = ("-keyout", self._own.key_file, "-out", self._own.cert_file)
        _openssl("req", "-x509", *_NEW_KEY, *subject, *files)

    @property
    def ca_file(self) -> str:
        """The certificate of the authority, PEM."""
        return self._own.cert_file

    def intermediate(self, name: str) -> FakeAuthority:
        """Makes an authority whose certificate this one signs."""
        extension = "basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign\n"
        return FakeAuthority(self._folder, name, own=self._sign(name, extension, days=1))

    def issue(
        self, name: str, hosts: Sequence[str] = ("localhost", "127.0.0.1", "::1"), *, days: int = 1
    ) -> Certificate:
        """Signs a certificate for host names and addresses; with ``days=0`` it is expired from the start."""
        return self._sign(name, f"subjectAltName={','.join(map(_alternative_name, hosts))}\n", days=days)

    def _sign(self, name: str, extension: str, *, days: int) -> Certificate:
        made = Certificate(str(self._folder / f"{name}.pem"), str(self._folder / f"{name}.key"))
        request, extensions = self._folder / f"{name}.csr", self._folder / f"{name}.ext"
        extensions.write_text(extension, encoding="ascii")
        _openssl("req", *_NEW_KEY, "-subj", f"/CN={name}", "-keyout", made.key_file, "-out", str(request))
        authority = ("-CA", self._own.cert_file, "-CAkey", self._own.key_file, "-CAcreateserial")
        target = ("-in", str(request), "-out", made.cert_file, "-days", str(days), "-extfile", str(extensions))
        _openssl("x509", "-req", *authority, *target)
        return made


def _alternative_name(host: str) -> str:
    try:
        return f"IP:{ipaddress.ip_address(host)}"
    except ValueError:
        return f"DNS:{host}"


def _openssl(*arguments: str) -> None:
    program = shutil.which("openssl")
    if program is None:
        raise ConfigurationError("throw-away certificates need the openssl program; install it")
    # fixed arguments, no shell
    result = subprocess.run([program, *arguments], capture_output=True, check=False, text=True)  # noqa: S603
    if result.returncode:
        raise ConfigurationError(f"openssl {arguments[0]} failed: {result.stderr.strip()}")
