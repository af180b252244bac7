from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from scapy.utils import RawPcapReader, wrpcap, wrpcapng

from ena_dev.errors import PortError
from ena_dev.port.pcap import PcapRecorder, PcapReplay
from ena_dev.port.wire import WirePort
from tests.support.frames import udp
from tests.support.io_bench import IoBench


def capture(path: Path, *stamps: float) -> list[bytes]:
    """A capture written by scapy, in the format that the name says: one frame a time stamp."""
    from scapy.layers.l2 import Ether

    packets = []
    for n, stamp in enumerate(stamps):
        packet = Ether(udp(30 + n))
        packet.time = stamp
        packets.append(packet)
    (wrpcapng if path.suffix == ".pcapng" else wrpcap)(str(path), packets)
    return [udp(30 + n) for n in range(len(stamps))]


@pytest.mark.parametrize("name", ["in.pcap", "in.pcapng"])
def test_a_capture_reaches_the_card_at_its_pace(tmp_path: Path, name: str) -> None:
    frames = capture(tmp_path / name, 1000.0, 1000.5, 1000.5, 1003.0)
    bench = IoBench()
    rx = bench.rx()
    rx.post(10)
    replay = PcapReplay(tmp_path / name, bench.wire)
    seen = []
    for now in (50.0, 50.4, 50.5, 52.9, 53.0):
        replay.step(now)
        bench.run()
        seen.append([packet.data for packet in rx.receive()])
    assert seen == [frames[:1], [], frames[1:3], [], frames[3:]]
    assert replay.done
    assert replay.deadline() is None


@pytest.mark.usefixtures("virtual_time")
async def test_a_capture_runs_on_the_clock_of_the_loop(tmp_path: Path) -> None:
    frames = capture(tmp_path / "in.pcap", 10.0, 70.0)
    bench = IoBench()
    rx = bench.rx()
    rx.post(10)
    start = asyncio.get_running_loop().time()
    await PcapReplay(tmp_path / "in.pcap", bench.wire).run()
    assert asyncio.get_running_loop().time() - start == pytest.approx(60.0)
    bench.run()
    assert [packet.data for packet in rx.receive()] == frames


def test_what_the_card_sends_is_recorded_for_others_to_read(tmp_path: Path) -> None:
    bench = IoBench()
    tx = bench.tx()
    with PcapRecorder(tmp_path / "out.pcap") as recorder:
        for n in range(3):
            tx.send(udp(30 + n))
            bench.run()
            recorder.drain(bench.wire, 100.25 + n)
    records = list(RawPcapReader(str(tmp_path / "out.pcap")))
    assert [frame for frame, _ in records] == [udp(30 + n) for n in range(3)]
    assert [(told.sec, told.usec) for _, told in records] == [(100 + n, 250_000_000) for n in range(3)]


def test_frames_beyond_the_wire_are_counted(tmp_path: Path) -> None:
    capture(tmp_path / "in.pcap", *([1.0] * 3))
    wire = WirePort()
    while wire.inject(b"x"):
        pass
    replay = PcapReplay(tmp_path / "in.pcap", wire)
    replay.step(0.0)
    assert (replay.frames, replay.dropped) == (0, 3)


def test_an_older_stamp_does_not_hold_the_rest(tmp_path: Path) -> None:
    capture(tmp_path / "in.pcap", 10.0, 9.0, 10.1)
    wire = WirePort()
    replay = PcapReplay(tmp_path / "in.pcap", wire)
    assert replay.step(0.0) == 2


@pytest.mark.parametrize("content", [b"", b"not a capture at all", b"\x0a\x0d\x0d\x0a" + bytes(60)])
def test_what_is_no_capture_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "in.pcap").write_bytes(content)
    with pytest.raises(PortError, match="not a capture"):
        PcapReplay(tmp_path / "in.pcap", WirePort())


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PortError, match="No such file"):
        PcapReplay(tmp_path / "in.pcap", WirePort())
    with pytest.raises(PortError, match="can't be written"):
        PcapRecorder(tmp_path / "nowhere" / "out.pcap")


def test_a_capture_without_ethernet_is_refused(tmp_path: Path) -> None:
    wrpcap(str(tmp_path / "in.pcap"), [], linktype=101)
    with pytest.raises(PortError, match="link type 101"):
        PcapReplay(tmp_path / "in.pcap", WirePort())


def test_a_capture_that_is_cut_off_says_where(tmp_path: Path) -> None:
    capture(tmp_path / "in.pcap", 1.0, 1.1)
    raw = (tmp_path / "in.pcap").read_bytes()
    (tmp_path / "in.pcap").write_bytes(raw[: 24 + 16 + len(udp(30)) + 5])
    replay = PcapReplay(tmp_path / "in.pcap", WirePort())
    with pytest.raises(PortError, match="broken after"):
        replay.step(0.0)
