"""The demo's own clients and servers, over the loopback: what they report is what happened."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from appliance.demo.remote import Peer, PeerError
from appliance.host.namespaces import Namespace

HERE4, HERE6 = "127.0.0.1", "::1"


class NoNamespace:
    """Runs programs where the tests run."""

    async def run(self, *argv: str, **options: Any) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(*argv, **options)


async def peer(name: str) -> Peer:
    return await Peer.start(name, cast(Namespace, NoNamespace()))


@pytest.fixture
async def client() -> AsyncIterator[Peer]:
    started = await peer("client")
    yield started
    await started.kill()


@pytest.fixture
async def site() -> AsyncIterator[Peer]:
    started = await peer("site")
    yield started
    await started.kill()


@pytest.fixture
def port(unused_tcp_port: int) -> int:
    return unused_tcp_port


async def test_a_tcp_server_says_its_name_and_whom_it_sees(client: Peer, site: Peer, port: int) -> None:
    await site.call("serve", protocol="tcp", address=HERE4, port=port)
    assert await client.call("tcp", address=HERE4, port=port) == {"server": "site", "seen": HERE4}
    assert await client.call("tcp", address=HERE4, port=port, source="127.0.0.9") == {"server": "site", "seen": "127.0.0.9"}
    assert await site.call("heard", protocol="tcp", port=port) == {"count": 2}
    assert await site.call("heard", protocol="udp", port=port) == {"count": 0}


@pytest.mark.parametrize("address", [HERE4, HERE6])
async def test_a_udp_server_answers_each_datagram(client: Peer, site: Peer, port: int, address: str) -> None:
    await site.call("serve", protocol="udp", address=address, port=port)
    assert await client.call("udp", address=address, port=port) == {"server": "site", "seen": address}


async def test_nobody_there_is_an_error_in_words(client: Peer, port: int) -> None:
    with pytest.raises(PeerError, match="connection refused"):
        await client.call("tcp", address=HERE4, port=port)


async def test_a_spread_counts_who_answered_and_why_nobody_did(client: Peer, site: Peer, port: int) -> None:
    assert await client.call("spread", protocol="tcp", address=HERE4, port=port, count=3) == {"connection refused": 3}
    await site.call("serve", protocol="tcp", address=HERE4, port=port)
    assert await client.call("spread", protocol="tcp", address=HERE4, port=port, count=40) == {"site": 40}


async def test_held_connections_are_lost_with_their_server(client: Peer, site: Peer, port: int) -> None:
    await site.call("serve", protocol="tcp", address=HERE4, port=port)
    assert await client.call("hold", address=HERE4, port=port, count=3) == {"site": 3}
    assert await client.call("held") == {"alive": {"site": 3}, "lost": {}}
    await site.kill()
    assert await client.call("held") == {"alive": {}, "lost": {"site": 3}}


async def test_a_conversation_goes_on_until_it_is_finished_or_cut(client: Peer, site: Peer, port: int) -> None:
    await site.call("serve", protocol="tcp", address=HERE4, port=port)
    await client.call("start", name="one", address=HERE4, port=port)
    await client.call("start", name="two", address=HERE4, port=port)
    await client.call("tcp", address=HERE4, port=port)  # what was asked before has been answered by now
    one = await client.call("finish", name="one", within=0.1)
    assert one["answered"] > 0
    assert one["end"] == ""
    await site.kill()
    assert (await client.call("finish", name="two", within=5.0))["end"] != ""


@pytest.mark.parametrize("address", [HERE4, HERE6])
async def test_ping_counts_replies(client: Peer, address: str) -> None:
    result = await client.call("ping", address=address)
    assert (result["sent"], result["replies"]) == (3, 3)


@pytest.mark.parametrize("address", [HERE4, HERE6])
async def test_a_probe_of_a_closed_port_names_the_error_and_its_sender(client: Peer, port: int, address: str) -> None:
    result = await client.call("probe", address=address, port=port)
    assert (result["what"], result["sender"]) == ("port unreachable", address)


@pytest.mark.parametrize("order", ["upload", "download"])
async def test_a_bulk_transfer_is_compared_by_checksum(client: Peer, site: Peer, port: int, order: str) -> None:
    await site.call("serve_bulk", address=HERE4, port=port)
    result = await client.call(order, address=HERE4, port=port, seconds=0.1)
    assert result["intact"]
    assert result["bytes"] > 0


async def test_a_peer_that_is_gone_says_so(client: Peer) -> None:
    await client.kill()
    with pytest.raises(PeerError, match="peer client has ended"):
        await client.call("interfaces")


async def test_interfaces_are_counted_by_the_kernel(client: Peer) -> None:
    assert "lo" in await client.call("interfaces")
