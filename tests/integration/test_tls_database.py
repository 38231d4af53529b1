"""A database that is reached over TLS, with a certificate that is checked."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from pymysql.constants import CLIENT

from app.db import local, migrate
from app.db.connection import connect
from app.db.errors import RefusedError
from tests.client import running
from tests.processes import free_port, run
from tests.servers import is_mysql
from tests.webhooks import webhook


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
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
async def tls_url(
    certificate: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[str]:
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


async def test_everything_works_over_tls(
    tls_url: str, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    await asyncio.to_thread(migrate.apply, tls_url)
    async with running(tls_url) as server:
        await server.register("j")
        for _ in range(5):  # enough that some come in while others wait for the database
            answers = await asyncio.gather(*(server.send(webhook("j", "processing")) for _ in range(40)))
            assert {code for code, _ in answers} == {200}


async def test_certificate_authority_is_trusted_where_the_address_names_its_file(
    tls_url: str, certificate: tuple[Path, Path]
) -> None:
    for asked in (f"sslaccept=strict&sslcert={certificate[0]}", f"ssl-mode=VERIFY_CA&ssl-ca={certificate[0]}"):
        url = tls_url.replace("ssl=true", asked)
        report = await asyncio.to_thread(migrate.apply, url)
        connection = await connect(url, 10)
        rows = await connection.rows("SHOW STATUS LIKE 'Ssl_cipher'")
        connection.close()
        assert rows[0][1] != ""
        assert report.missing_indexes == []


@pytest.mark.parametrize("asked", ["ssl=true", "sslmode=verify-full", "ssl-mode=VERIFY_CA"])
async def test_certificate_that_nobody_vouches_for_ends_the_start_with_a_sentence(
    tls_url: str, tmp_path: Path, asked: str
) -> None:
    url = tls_url.replace("ssl=true", asked)
    with pytest.raises(RefusedError, match="certificate is not accepted"):
        await connect(url, 10)
    with pytest.raises(RefusedError, match="certificate is not accepted"):
        await asyncio.to_thread(migrate.apply, url)
    for command in ("serve", "migrate"):
        code, out, err = await run(tmp_path, command, PORT=free_port(), DATABASE_URL=url)
        assert (code, err.count("\n")) == (1, 1), err
        assert "the server's certificate is not accepted (" in err
        assert err.startswith("rushes: cannot connect to the database at 127.0.0.1:")
        assert "secret" not in out + err


def knows_itself() -> bool:
    """A bare root has no /etc/hosts."""
    try:
        return bool(socket.getaddrinfo("localhost", None))
    except OSError:
        return False


@pytest.mark.skipif(not knows_itself(), reason="the name localhost is unknown here, and a second name is the point")
async def test_certificate_of_another_name_is_refused_unless_only_the_authority_is_asked_for(
    tls_url: str, certificate: tuple[Path, Path]
) -> None:
    url = tls_url.replace("127.0.0.1", "localhost").replace("ssl=true", f"sslmode=verify-full&ssl_ca={certificate[0]}")
    with pytest.raises(RefusedError, match="certificate is not accepted"):
        await connect(url, 10)
    (await connect(url.replace("verify-full", "verify-ca"), 10)).close()


async def test_who_asks_for_no_encryption_gets_none_and_is_refused_by_a_server_that_wants_it(tls_url: str) -> None:
    for asked in ("ssl=false", "sslmode=disable"):
        with pytest.raises(RefusedError):
            await connect(tls_url.replace("ssl=true", asked), 10)
        with pytest.raises(RefusedError):
            await asyncio.to_thread(migrate.apply, tls_url.replace("ssl=true", asked))


class WithoutTls:
    """A server that offers no TLS, or one from whose offer somebody took it out; `heard` is what clients sent it."""

    def __init__(self) -> None:
        self.heard = b""

    async def greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        low, high = 0xFFFF & ~CLIENT.SSL, 0x81FF
        body = b"\x0a10.11.6-MariaDB\0" + struct.pack("<I9sHBHHB10s", 7, b"saltsalt", low, 45, 2, high, 21, b"")
        body += b"saltsaltsalt\0mysql_native_password\0"
        writer.write(len(body).to_bytes(3, "little") + b"\0" + body)
        self.heard += await reader.read(4096)
        writer.close()


async def test_server_without_tls_is_a_sentence_and_is_told_nothing(tmp_path: Path) -> None:
    met = WithoutTls()
    listening = await asyncio.start_server(met.greet, "127.0.0.1", 0)
    url = f"mysql://rushes:hush@127.0.0.1:{listening.sockets[0].getsockname()[1]}/x?sslmode=require"
    async with listening:
        for tried in (connect(url, 10), asyncio.to_thread(migrate.apply, url)):
            with pytest.raises(RefusedError, match="DATABASE_URL asks for TLS, and the server does not offer it"):
                await tried
        for command in ("serve", "migrate"):
            code, out, err = await run(tmp_path, command, PORT=free_port(), DATABASE_URL=url)
            assert (code, err.count("\n")) == (1, 1), err
            assert "DATABASE_URL asks for TLS, and the server does not offer it" in err
            assert "hush" not in out + err
    assert met.heard == b""


@pytest.mark.skipif(is_mysql(), reason="MySQL's root comes over its socket alone")
async def test_real_server_without_tls_ends_the_start_instead_of_being_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    options = [option for option in local._OPTIONS if option != "--skip-networking"]
    monkeypatch.setattr(local, "_OPTIONS", (*options, f"--port={port}", "--bind-address=127.0.0.1", "--skip-ssl"))
    async with local.private_database(tmp_path / "data"):
        url = f"mysql://root@127.0.0.1:{port}/rushes?ssl=true"
        code, _, err = await run(tmp_path, "serve", PORT=free_port(), DATABASE_URL=url)
        assert (code, err.count("\n")) == (1, 1), err
        assert "DATABASE_URL asks for TLS, and the server does not offer it" in err
