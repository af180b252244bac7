"""The model of health checks: what a probe asks, what counts as a good answer, and how many of them it takes."""

from __future__ import annotations

import os
import re
import ssl
from typing import Annotated, Final, Literal, NamedTuple

from pydantic import PlainValidator

from appliance.config.addresses import Ports
from appliance.config.errors import BadValueError
from appliance.config.section import Section
from appliance.config.values import OneOrMore, Percent, duration, only, scalar, whole

LONGEST_SEND: Final = 512
"""Bytes of a UDP probe: they fit into any packet."""
LARGEST_FILE: Final = 1 << 20
"""Bytes that are read of a file of certificates."""
PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----")
"""RFC 7468."""

HTTP: Final = ("http", "https")
OWN_KEYS: Final = {
    "path": HTTP, "expect": HTTP, "host": HTTP, "verify": ("https",), "server_name": ("https",), "send": ("udp",), "silence": ("udp",),
}  # fmt: skip
"""The attributes that only some types of probes have."""


def _codes(value: object) -> Ports:
    """HTTP status codes: `200`, or `200-299`."""
    if isinstance(value, tuple):
        return int(value[0]), int(value[1])
    found = re.fullmatch(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?", scalar(value, "200-299"))
    if found is None or int(found[2] or 599) < int(found[1]):
        raise BadValueError("not a status code", "write a code or a range from 100 to 599, such as 200 or 200-399")
    return int(found[1]), int(found[2] or found[1])


def _path(value: object) -> str:
    text = scalar(value, "/ready")
    if not re.fullmatch(r"/[!-~]{0,511}", text) or "#" in text:
        raise BadValueError("not a path", "write a slash and up to 511 printable ASCII characters, others as %XX, such as /ready")
    return text


def _host(value: object) -> str:
    text = scalar(value, "www.example.com")
    if not re.fullmatch(r"[A-Za-z0-9._:\[\]-]{1,253}", text):
        raise BadValueError("not a host name", "write what the Host header shall say, such as www.example.com")
    return text


def _server_name(value: object) -> str:
    text = scalar(value, "www.example.com")
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._:-]{0,252}", text):
        raise BadValueError("not a server name", "write the name, or the address, that the certificate is for, such as www.example.com")
    return text


class Trust(NamedTuple):
    """Whose word for a certificate counts: nobody's, so that any will do; the system's authorities; or those in `pem`."""

    how: Literal["off", "system", "file"]
    pem: str = ""


def _verify(value: object) -> Trust:
    """`off`, `system`, or the path of a file with CA certificates, which is read here: later there may be no right to."""
    if isinstance(value, Trust):
        return value
    text = scalar(value, "system")
    if text in ("off", "system"):
        return Trust("off" if text == "off" else "system")
    if not text.startswith("/"):
        raise BadValueError("unknown word", "write off, system, or the whole path of a file with CA certificates, such as /config/ca.pem")
    try:
        with open(text, "rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise BadValueError("file can't be read", f"see to it that it can be: {os.strerror(error.errno or 0).lower()}") from error
    pem = "\n".join(PEM.findall(content.decode("ascii", "replace")))
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError) as error:
        raise BadValueError("no CA certificates in the file", "write the path of a PEM file, with BEGIN CERTIFICATE lines") from error
    return Trust("file", pem)


def _send(value: object) -> bytes:
    """What a UDP probe says: text, or bytes as `hex:0a1b`."""
    if isinstance(value, bytes):
        return value
    text = scalar(value, "hex:0a1b")
    if text.startswith("hex:"):
        if not re.fullmatch(r"hex:([0-9a-fA-F]{2})+", text):
            raise BadValueError("not bytes", "write pairs of hex digits after hex:, such as hex:0a1b")
        data = bytes.fromhex(text[4:])
    else:
        data = text.encode(errors="surrogatepass")
    if len(data) > LONGEST_SEND:
        raise BadValueError("too long", f"write at most {LONGEST_SEND} bytes")
    return data


class Health(Section):
    """How targets are probed: every `every` seconds, up after `rise` good answers in a row, down after `fall` bad ones.

    tcp   a connection opens
    http  `GET path` with the header `Host: host` is answered by a status in `expect`
    https the same inside of TLS; the certificate is for `server-name`, by the word of `verify`
    udp   a datagram with `send` is answered; with `silence` "up" it's enough that nobody says that it can't be delivered
    icmp  an echo request is answered
    """

    type: Annotated[Literal["tcp", "http", "https", "udp", "icmp"], only("tcp", "http", "https", "udp", "icmp")] = "tcp"
    every: Annotated[float, duration("100ms", "1h")] = 5.0
    timeout: Annotated[float, duration("10ms", "1h")] = 2.0
    jitter: Percent = 0.1
    """By which part of `every` a pause may be longer or shorter, at random."""
    rise: Annotated[int, whole(1, 100)] = 3
    fall: Annotated[int, whole(1, 100)] = 2
    port: Annotated[int, whole(1, 65535)] | None = None
    fail_open_below: Percent = 0.0
    """If fewer of the targets of one IP version are up, all count as up."""
    path: Annotated[str, PlainValidator(_path)] = "/"
    expect: Annotated[tuple[Annotated[Ports, PlainValidator(_codes)], ...], OneOrMore] = ((200, 299),)
    host: Annotated[str, PlainValidator(_host)] | None = None
    verify: Annotated[Trust, PlainValidator(_verify)] = Trust("system")
    server_name: Annotated[str, PlainValidator(_server_name)] | None = None
    """Without it, the name in `host`, or else the target's address."""
    send: Annotated[bytes, PlainValidator(_send)] = b""
    silence: Annotated[Literal["up", "down"], only("up", "down")] = "down"
