"""A QUIC server and client of aioquic's, each a process in its host.

    python -m tests.conformance.quic_peer serve|fetch|move HOST PORT DIR

The server makes its certificate in DIR, prints `ready`, and answers each stream with the SHA-256 of what came on it, and as much again. The
client prints what it found in a line. `move` changes its UDP port after the first stream, as a phone does that leaves a network.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import ssl
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import serve
from aioquic.quic.configuration import QuicConfiguration
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ALPN: Final = ["conformance"]
PIECE: Final = 1 << 18
STREAMS: Final = 10
NAME: Final = "server.example"


def certify(directory: Path) -> None:
    """A certificate of its own, good for a day."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    begin = datetime.now(UTC) - timedelta(hours=1)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number()).not_valid_before(begin).not_valid_after(begin + timedelta(days=1))
    signed = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False).sign(key, hashes.SHA256())
    plain = serialization.NoEncryption()
    (directory / "quic.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    (directory / "quic.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The hash of a stream, and the stream."""
    data = await reader.read()
    writer.write(hashlib.sha256(data).digest() + data)
    writer.write_eof()


async def ask(protocol: QuicConnectionProtocol) -> bool:
    """A quarter of a MiB there and back."""
    data = os.urandom(PIECE)
    reader, writer = await protocol.create_stream()
    writer.write(data)
    writer.write_eof()
    return await reader.read() == hashlib.sha256(data).digest() + data


async def move(protocol: QuicConnectionProtocol, family: socket.AddressFamily) -> None:
    """Go on from another UDP port."""
    loop = asyncio.get_running_loop()
    local = ("::", 0) if family == socket.AF_INET6 else ("0.0.0.0", 0)
    transport, _ = await loop.create_datagram_endpoint(lambda: protocol, local_addr=local, family=family)
    assert transport


async def client(host: str, port: int, directory: Path, moving: bool) -> str:
    """One connection and its streams."""
    configuration = QuicConfiguration(is_client=True, alpn_protocols=ALPN, server_name=NAME, verify_mode=ssl.CERT_REQUIRED)
    configuration.load_verify_locations(str(directory / "quic.pem"))
    async with connect(host, port, configuration=configuration) as protocol:
        whole = int(await ask(protocol))
        if moving:
            await move(protocol, socket.AF_INET6)
        whole += sum(await asyncio.gather(*(ask(protocol) for _ in range(STREAMS - 1))))
    return f"{whole} of {STREAMS} streams whole"


async def server(host: str, port: int, directory: Path) -> None:
    """Until killed."""
    certify(directory)
    configuration = QuicConfiguration(is_client=False, alpn_protocols=ALPN)
    configuration.load_cert_chain(directory / "quic.pem", directory / "quic.key")
    tasks: set[asyncio.Task[None]] = set()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(answer(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    await serve(host, port, configuration=configuration, stream_handler=begin)
    print("ready", flush=True)
    await asyncio.Event().wait()


async def main(role: str, host: str, port: str, directory: str) -> None:
    """Serve, or ask and tell."""
    if role == "serve":
        await server(host, int(port), Path(directory))
    else:
        print(await asyncio.wait_for(client(host, int(port), Path(directory), role == "move"), 30))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
