"""The file of a recording: there while it runs, whole at its end, and what happens when it can't be written."""

from __future__ import annotations

import logging
from pathlib import Path

import dpkt
import pytest

from ena_dev.errors import PortError
from ena_dev.port.recording import Recording
from ena_dev.port.wire import WirePort
from ena_dev.testbed import Testbed
from tests.support.frames import udp
from tests.support.waiting import until


def frames(path: Path) -> list[bytes]:
    with path.open("rb") as file:
        return [bytes(data) for _, data in dpkt.pcapng.Reader(file)]


async def test_the_file_grows_while_frames_pass_and_ends_with_the_counts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, wire, frame = tmp_path / "out.pcapng", WirePort(), udp(100)
    caplog.set_level(logging.INFO)
    async with Recording(path, wire, "card") as recording, Testbed(port=recording.port) as bench:
        wire.inject(frame)
        await until(lambda: frames(path) == [frame], "the frame is in the file")
        bench.adapter.pairs[0].send_nowait(frame)
        bench.adapter.pairs[0].flush()
    assert frames(path) == [frame, frame]
    assert "2 frames recorded, 0 passed unrecorded" in caplog.text


async def test_a_place_that_cannot_be_written_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(PortError, match=r"no/such.pcapng: can't be written: No such file"):
        async with Recording(tmp_path / "no" / "such.pcapng", WirePort(), "card"):
            pass


async def test_a_full_disk_ends_the_recording_not_the_card(caplog: pytest.LogCaptureFixture) -> None:
    wire = WirePort()
    async with Recording(Path("/dev/full"), wire, "card") as recording, Testbed(port=recording.port) as bench:
        wire.inject(udp(100))
        await until(bench.adapter.pairs[0].receive_nowait, "the frame arrives all the same")
        assert await until(lambda: recording.failed, "the recording ends") == "No space left on device"
    assert caplog.text.count("the recording ends here") == 1
