"""What a health check may ask for, in the words of the file; what else is refused with a hint that is right."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

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


@pytest.mark.parametrize(
    ("keys", "hint"),
    [
        ({"type": "https"}, "http"),
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
