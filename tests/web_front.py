"""Debian's package ``nginx`` in front of an archive, as hospitals run it: over TLS, for clients with a certificate."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.archives import program, waited_for
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dcm_processor_service.testing.fake_certificates import Certificate, FakeAuthority

__all__ = ["running_nginx"]

_CONFIGURATION = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {certificate}; ssl_certificate_key {key};
    ssl_verify_client on; ssl_client_certificate {authority};
    client_max_body_size 0;
    location / {{ proxy_pass {behind}; }}
  }}
}}
"""


@contextmanager
def running_nginx(folder: Path, behind: str, authority: FakeAuthority, certificate: Certificate) -> Iterator[str]:
    """Runs nginx in front of a URL, and yields its own URL; it refuses clients without the authority's certificate."""
    port, configuration, log = free_port(), folder / "nginx.conf", folder / "nginx.log"
    places = {"certificate": certificate.cert_file, "key": certificate.key_file, "authority": authority.ca_file}
    configuration.write_text(_CONFIGURATION.format(folder=folder, port=port, behind=behind, **places), encoding="utf-8")
    command = [program("nginx"), "-p", str(folder), "-c", str(configuration), "-e", str(log)]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            waited_for(port, process, log)
            yield f"https://localhost:{port}"
        finally:
            process.kill()
