"""A database that is reached over TLS, with a certificate that is checked."""

import asyncio
import socket
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from app.db import local, migrate
from app.db.connection import connect
from app.db.errors import UnreachableError
from tests.conftest import running
from tests.webhooks import webhook


@pytest.fixture
def certificate(tmp_path):
    """Of this machine's address, signed by itself: files with the certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "rushes")])
    at = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - timedelta(days=1))
        .not_valid_after(at + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = tmp_path / "cert.pem", tmp_path / "key.pem"
    files[0].write_bytes(made.public_bytes(Encoding.PEM))
    files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    return files


@pytest.fixture
async def tls_url(certificate, tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    """A database that answers on 127.0.0.1, to nobody without TLS."""
    options = [option for option in local._OPTIONS if option != "--skip-networking"]
    options += [f"--port={port}", "--bind-address=127.0.0.1", "--require-secure-transport=ON"]
    options += [f"--ssl-cert={certificate[0]}", f"--ssl-key={certificate[1]}"]
    monkeypatch.setattr(local, "_OPTIONS", tuple(options))
    async with local.private_database(tmp_path / "data") as own_url:
        connection = await connect(own_url, 10)  # a Unix socket counts as secure
        await connection.run("CREATE USER 'rushes'@'127.0.0.1' IDENTIFIED BY 'secret'")
        await connection.run("GRANT ALL ON rushes.* TO 'rushes'@'127.0.0.1'")
        connection.close()
        yield f"mysql://rushes:secret@127.0.0.1:{port}/rushes?ssl=true"


async def test_everything_works_over_tls(tls_url, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    await asyncio.to_thread(migrate.apply, tls_url)
    async with running(tls_url) as server:
        await server.register("j")
        for _ in range(5):  # enough that some come in while others wait for the database
            answers = await asyncio.gather(*(server.post(webhook("j", "processing")) for _ in range(40)))
            assert {code for code, _ in answers} == {200}


async def test_certificate_that_nobody_vouches_for_is_refused(tls_url):
    with pytest.raises(UnreachableError, match="cannot connect"):
        await connect(tls_url, 10)
