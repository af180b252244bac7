"""The keyed hash against the interpreter's own SipHash-1-3, under keys that PYTHONHASHSEED determines."""

import os
import subprocess
import sys
from ipaddress import ip_address

import pytest

from appliance.flow.table import FlowTable
from tests.appliance.flow.bench import tuple5

TUPLES = [
    (4, 17, tuple5("192.168.10.5", "198.51.100.9", 4000, 53), 0),
    (6, 6, tuple5("2001:db8::1", "2001:db8::2", 65535, 1), 0),
    (4, 1, tuple5("10.0.0.1", "10.0.0.2", 7, 7), 8),
]


def wire(version: int, protocol: int, key: tuple[int, int, int, int], kind: int) -> bytes:
    """The 40 bytes as the format is described, IPv4 mapped (RFC 4291, 2.5.5.2)."""
    prefix = ip_address("::ffff:0:0").packed[:12] if version == 4 else b""
    addresses = b"".join(prefix + address.to_bytes(4 if version == 4 else 16, "big") for address in key[:2])
    return addresses + key[2].to_bytes(2, "big") + key[3].to_bytes(2, "big") + bytes((version, protocol, kind, 0))


def secret_of(seed: int) -> bytes:
    """The interpreter's hash key for a seed: its linear congruential generator; all zero for seed 0."""
    out, state = bytearray(), seed
    for _ in range(16):
        state = (state * 214013 + 2531011) & 0xFFFFFFFF
        out.append(state >> 16 & 0xFF)
    return bytes(out) if seed else bytes(16)


@pytest.mark.skipif(sys.hash_info.algorithm != "siphash13", reason="this interpreter hashes otherwise")
@pytest.mark.parametrize("seed", [0, 1, 4242])
def test_the_hash_is_siphash_1_3_of_the_forty_bytes(seed: int) -> None:
    data = [wire(*row) for row in TUPLES]
    code = f"print(*[hash(data) for data in {data!r}])"
    environment = os.environ | {"PYTHONHASHSEED": str(seed)}
    printed = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True, text=True).stdout
    table = FlowTable(64, secret_of(seed))
    assert [table.hash(*row) for row in TUPLES] == [int(value) & 0xFFFFFFFFFFFFFFFF for value in printed.split()]
