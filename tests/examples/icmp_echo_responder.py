"""An appliance in thirty lines: one card over a TAP that answers ARP and ping for one address.

ip tuntap add tap0 mode tap && ip addr add 10.0.0.1/24 dev tap0 && ip link set tap0 up
python tests/examples/icmp_echo_responder.py tap0 10.0.0.2/24 &
ping 10.0.0.2
"""

import asyncio
import sys
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Interface

from ena_dev.driver.queue import QueuePair
from ena_dev.packet import build
from ena_dev.packet.checksum import checksum
from ena_dev.packet.parse import Flag, Reason, parse
from ena_dev.port.tap import TapPort
from ena_dev.testbed import Testbed


def answer(frame: bytes, mac: bytes, me: IPv4Address) -> bytes | None:
    """What to send for a received frame, if anything."""
    if frame[12:22] == bytes.fromhex("08060001080006040001") and frame[38:42] == me.packed:
        return build.arp_reply(mac, me, frame[22:28], IPv4Address(frame[28:32]))
    reason, seen = parse(frame)
    if reason is not Reason.OK or seen["version"] != 4 or seen["protocol"] != build.ICMP or seen["flags"] & Flag.FRAGMENT:
        return None
    source, destination = frame[seen["l3_offset"] + 12 :][:4], frame[seen["l3_offset"] + 16 :][:4]
    message = frame[seen["l4_offset"] : seen["l3_offset"] + seen["l3_length"]]
    if destination != me.packed or message[:2] != b"\x08\x00" or checksum(message):
        return None
    identifier, sequence = int.from_bytes(message[4:6]), int.from_bytes(message[6:8])
    return build.reply(frame, build.icmp_echo(me, IPv4Address(source), identifier, sequence, message[8:], reply=True))


async def serve(pair: QueuePair, mac: bytes, me: IPv4Address) -> None:
    """Answer the frames of one queue pair until cancelled."""
    while True:
        frames = pair.receive_nowait()
        for frame in frames:
            if (reply := answer(frame.data, mac, me)) is not None:
                pair.send_nowait(reply)
        pair.flush()
        pair.replenish()
        pair.reap_nowait()
        await (asyncio.sleep(0) if frames else pair.wait_for_interrupt())


async def main(tap: str, address: str) -> None:
    async with Testbed(port=TapPort(tap)) as bench:
        print(f"answering for {address} on {tap}", flush=True)
        await serve(bench.adapter.pairs[0], bench.adapter.mac, IPv4Interface(address).ip)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:]))
