from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ena_dev.abi.events import Group
from ena_dev.abi.features import (
    DeviceAttributes,
    InterruptModeration,
    LargeReceiveOffer,
    MaxQueuesExt,
    RssHashFunction,
    RssIndirection,
    StatelessOffloads,
    TxOffload,
)
from ena_dev.driver.negotiation import Offers, Wishes, negotiate
from ena_dev.errors import DeviceError, UsageError


def offers(**changes: Any) -> Offers:
    depth = changes.pop("depth", 1024)
    queues = changes.pop("queues", 8)
    limits = dict.fromkeys(("max_tx_sq", "max_tx_cq", "max_rx_sq", "max_rx_cq"), queues)
    limits |= {f"{name}_depth": depth for name in limits}
    return Offers(
        **{
            "attributes": DeviceAttributes(mac=(2, 0, 0, 0, 0, 7), max_mtu=9216, supported_features=0xFFFFFFFF),
            "queues": MaxQueuesExt(version=1, max_per_packet_tx_descriptors=19, max_per_packet_rx_descriptors=17, **limits),
            "groups": 0xFF,
            "offloads": StatelessOffloads(tx=0xFF, rx_supported=0xF),
            "moderation": InterruptModeration(resolution=1),
            "indirection": RssIndirection(min_size_log=7, max_size_log=7),
            "hash_function": RssHashFunction(supported=2, selected=2),
            "large_receive": LargeReceiveOffer(supported_flags=1, max_packet=65550),
        }
        | changes
    )


@given(wish=st.integers(1, 200), offered=st.integers(1, 200), vectors=st.integers(2, 200))
def test_queues_are_what_wish_card_and_vectors_allow(wish: int, offered: int, vectors: int) -> None:
    agreed = negotiate(Wishes(queues=wish), offers(queues=offered), vectors=vectors)
    assert agreed.queues == min(wish, offered, vectors - 1, 128)
    assert agreed.queues <= agreed.max_queues


@given(wish=st.integers(2, 20000), offered=st.integers(2, 20000))
def test_depths_are_powers_of_two_that_neither_side_exceeds(wish: int, offered: int) -> None:
    agreed = negotiate(Wishes(rx_depth=wish, tx_depth=wish), offers(depth=offered), vectors=2)
    best = max(2**n for n in range(16) if 2**n <= min(wish, offered))
    assert agreed.rx_depth == agreed.tx_depth == best


@pytest.mark.parametrize("mtu", [127, 9217])
def test_an_mtu_that_the_card_cannot_have_is_refused_not_lowered(mtu: int) -> None:
    with pytest.raises(UsageError, match=str(mtu)):
        negotiate(Wishes(mtu=mtu), offers(), vectors=2)


@pytest.mark.parametrize(("changes", "vectors"), [({"queues": 0}, 2), ({}, 1), ({"depth": 1}, 2)])
def test_a_card_without_a_usable_queue_is_refused(changes: dict[str, Any], vectors: int) -> None:
    with pytest.raises(DeviceError):
        negotiate(Wishes(), offers(**changes), vectors=vectors)


@given(offered=st.integers(0, 0xFF), checksum=st.booleans(), segmentation=st.booleans())
def test_no_offload_is_used_that_was_not_both_wished_and_offered(offered: int, checksum: bool, segmentation: bool) -> None:
    wishes = Wishes(checksum=checksum, segmentation=segmentation)
    agreed = negotiate(wishes, offers(offloads=StatelessOffloads(tx=offered, rx_supported=0)), vectors=2).tx_offloads
    assert agreed & ~offered == 0
    if not segmentation:
        assert not agreed & (TxOffload.TSO_IPV4 | TxOffload.TSO_IPV6)
    if not (checksum or segmentation):
        assert agreed == 0


def test_what_the_card_lacks_is_simply_not_there() -> None:
    bare = offers(moderation=None, indirection=None, hash_function=None, large_receive=None, groups=1 << Group.LINK_CHANGE)
    agreed = negotiate(Wishes(), bare, vectors=2)
    assert (agreed.table_size, agreed.hash_configurable, agreed.large_receive) == (0, False, False)
    assert (agreed.moderation_resolution, agreed.moderation) == (0, (0, 0))
    assert agreed.watches(Group.LINK_CHANGE) and not agreed.watches(Group.KEEP_ALIVE)


@pytest.mark.parametrize(("smallest", "largest", "entries"), [(7, 7, 128), (0, 9, 128), (8, 9, 512), (3, 6, 64), (7, 17, 0)])
def test_the_rss_table_has_128_entries_where_the_card_allows(smallest: int, largest: int, entries: int) -> None:
    agreed = negotiate(Wishes(), offers(indirection=RssIndirection(min_size_log=smallest, max_size_log=largest)), vectors=2)
    assert agreed.table_size == entries


def test_delays_count_the_cards_resolution_and_fit_fifteen_bits() -> None:
    coarse = offers(moderation=InterruptModeration(resolution=4))
    assert negotiate(Wishes(rx_usecs=20, tx_usecs=66), coarse, vectors=2).moderation == (5, 16)
    assert negotiate(Wishes(rx_usecs=0, tx_usecs=1 << 20), offers(), vectors=2).moderation == (0, 0x7FFF)
    assert negotiate(Wishes(tx_usecs=9), offers(moderation=InterruptModeration(resolution=0)), vectors=2).moderation == (0, 9)
