"""README's table of drivers is about the capabilities that are tried, each by some chapter, and is made of their verdicts."""

from __future__ import annotations

import re

from tests.guest.capabilities import CAPABILITIES
from tests.guest.chapters import CHAPTERS
from tests.guest.desks import TEXT, toeplitz
from tests.guest.lab import HERE, Said
from tests.guest.table import BEGIN, END, README, TITLES, inserted, table

LIB = (HERE / "scripts" / "lib.sh").read_text()


def test_readme_names_the_capabilities_that_are_tried() -> None:
    made = README.read_text().partition(BEGIN)[2].partition(END)[0]
    rows = [line.split(" | ") for line in made.splitlines() if line.startswith("| ") and not line.startswith("| |")]
    assert [row[0].removeprefix("| ") for row in rows] == list(CAPABILITIES.values())
    assert {len(row) for row in rows} == {1 + len(TITLES)}


def test_each_capability_is_tried_by_one_chapter_whose_script_says_so() -> None:
    proved = [name for chapter in CHAPTERS for name in chapter.proves]
    assert sorted(proved) == sorted(CAPABILITIES)
    for chapter in CHAPTERS:
        script = (HERE / "scripts" / f"table-{chapter.name}.sh").read_text()
        assert set(chapter.proves) <= set(re.findall(r"check ([a-z-]+)", script))


def test_a_script_asks_only_for_what_some_desk_does() -> None:
    from tests.guest import desks

    offered = {name.replace("_", "-") for desk in (desks.TrafficDesk, desks.FrameDesk, desks.CardDesk) for name in vars(desk)}
    for script in (HERE / "scripts").glob("table-*.sh"):
        asked = set(re.findall(r"\bhost ([a-z-]+)", script.read_text())) - {"fault"}
        assert {name.removesuffix("-2").removesuffix("-") for name in asked} <= offered, script.name


def test_a_verdict_is_a_line_and_nothing_else_is() -> None:
    said = Said()
    for line in ("ok ping", "FAIL tcp: 3 bytes: lost", "n/a llq: no memory", "ok, fine", "look ok", "ok tcp"):
        said.hear(line)
    assert {name: (verdict.word, verdict.why) for name, verdict in said.verdicts.items()} == {
        "ping": ("ok", ""), "tcp": ("FAIL", "3 bytes: lost"), "llq": ("n/a", "no memory"),
    }  # fmt: skip


def test_a_reason_is_told_once_below_the_table() -> None:
    cells = {"llq": ["n/a", "no memory"], "ping": ["ok", ""], "tcp": ["FAIL", "astray"]}
    made = table({"6.1": {"version": "6.1.7", "cells": cells}, "6.12": {"version": "", "cells": cells}})
    assert "| Linux 6.1.7 | Linux 6.12 |" in made
    assert made.count("no memory") == made.count("astray") == 1
    assert f"| {CAPABILITIES['ping']} | ✓ | ✓ | n/a (" in made


def test_a_table_replaces_the_one_before() -> None:
    assert inserted(f"a\n{BEGIN}old\n{END}b\n", "new\n") == f"a\n{BEGIN}new\n{END}b\n"


def test_the_far_side_hashes_as_published() -> None:
    key = bytes.fromhex("6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa")
    assert toeplitz(key, bytes([66, 9, 149, 187, 161, 142, 100, 80]) + (2794).to_bytes(2) + (1766).to_bytes(2)) == 0x51CCC178


def test_the_text_is_what_seq_prints() -> None:
    assert TEXT.startswith(b"1\n2\n3\n") and TEXT.endswith(b"99999\n100000\n") and len(TEXT) == 588_895
