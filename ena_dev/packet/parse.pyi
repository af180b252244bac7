from enum import IntEnum
from typing import TypedDict

class Reason(IntEnum):
    OK = 0
    TRUNCATED = 1
    MALFORMED = 2
    UNKNOWN_L3 = 3
    HEADERS_SPLIT = 4

class Flag(IntEnum):
    FRAGMENT = 1
    FIRST_FRAGMENT = 2
    OPTIONS = 4
    BROADCAST = 8

class Parsed(TypedDict):
    ethertype: int
    l3_offset: int
    l4_offset: int
    payload_offset: int
    source_port: int
    destination_port: int
    l3_length: int
    version: int
    protocol: int
    tcp_flags: int
    icmp_type: int
    icmp_code: int
    ttl: int
    flags: int

def parse(data: bytes | bytearray | memoryview, available: int | None = None) -> tuple[Reason, Parsed]: ...
def parse_quote(data: bytes | bytearray | memoryview, available: int | None = None) -> tuple[Reason, Parsed]: ...
