"""What a health check may ask for, in the words of the file; what else is refused with a hint that is right."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme
from pydantic import ValidationError

from appliance.config.health import Trust
from appliance.config.models import Health


def test_the_keys_of_each_type_are_read() -> None:
    http = Health(type="http", path="/ready?a=%20", expect="200-399", host="[2001:db8::1]:80", jitter="20%", fail_open_below="30%")
    assert (http.expect, http.jitter, http.fail_open_below) == (((200, 399),), 0.2, 0.3)
    assert Health(type="http", expect=["200", "204-206"]).expect == ((200, 200), (204, 206))
    assert Health(type="udp", send="hex:0aFF").send == b"\x0a\xff" and Health(type="udp", send="grüß").send == "grüß".encode()


def test_what_nobody_says_is_asked_as_before() -> None:
    health = Health()
    assert (health.type, health.path, health.expect, health.host, health.silence) == ("tcp", "/", ((200, 299),), None, "down")
    assert (health.jitter, health.fail_open_below) == (0.1, 0.0)


def test_certificates_are_read_with_the_file_and_nothing_else_in_it(tmp_path: Path) -> None:
    authority, path = trustme.CA().cert_pem.bytes(), tmp_path / "ca.pem"
    path.write_bytes("# das Zertifikat für hier\n".encode() + authority + b"and a word behind it\n" + trustme.CA().cert_pem.bytes())
    trust = Health(type="https", verify=str(path)).verify  # type: ignore[arg-type]
    assert (trust.how, trust.pem.count("BEGIN")) == ("file", 2) and authority.decode().strip() in trust.pem
    path.unlink()
    assert Health(type="https", verify=trust).verify is trust
    assert Health(type="https", verify="off", server_name="a.example").verify == Trust("off")  # type: ignore[arg-type]
    path.write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    with pytest.raises(ValidationError, match="no CA certificates"):
        Health(type="https", verify=str(path))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("keys", "hint"),
    [
        ({"type": "htps"}, "http"),
        ({"verify": "no"}, "write off, system, or the whole path"),
        ({"verify": "ca.pem"}, "write off, system, or the whole path"),
        ({"verify": "/nowhere/ca.pem"}, "no such file or directory"),
        ({"verify": "/"}, "is a directory"),
        ({"verify": "/etc/hostname"}, "BEGIN CERTIFICATE"),
        ({"server_name": ".example.com"}, "such as www.example.com"),
        ({"server_name": "a b"}, "such as www.example.com"),
        ({"expect": "600"}, "such as 200 or 200-399"),
        ({"expect": "299-200"}, "such as 200 or 200-399"),
        ({"expect": "20"}, "such as 200 or 200-399"),
        ({"expect": []}, "write at least one item"),
        ({"path": "ready"}, "such as /ready"),
        ({"path": "/a b"}, "such as /ready"),
        ({"path": "/a\r\nX: y"}, "such as /ready"),
        ({"path": "/a#b"}, "such as /ready"),
        ({"path": "/" + "a" * 512}, "such as /ready"),
        ({"host": "a\r\nX: y"}, "such as www.example.com"),
        ({"host": "two words"}, "such as www.example.com"),
        ({"send": "hex:0"}, "such as hex:0a1b"),
        ({"send": "x" * 513}, "at most 512 bytes"),
        ({"send": ""}, "hex:0a1b"),
        ({"silence": "maybe"}, "write one of"),
        ({"jitter": "20"}, "write 20%"),
        ({"fail_open_below": "120%"}, "from 0% to 100%"),
    ],
)
def test_what_no_probe_can_be_is_refused_with_a_hint(keys: dict[str, str], hint: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Health(**keys)  # type: ignore[arg-type]
    assert hint in str(caught.value)
