"""Places in text against a plain count, and bytes that are no text."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config.errors import ConfigError
from appliance.config.source import LARGEST, Source, checked, decoded, open_source


@given(st.text(alphabet="ab\n\r\u2028é", max_size=40), st.integers(0, 45))
def test_a_place_is_where_a_plain_count_ends(text: str, offset: int) -> None:
    place = Source(text, "x").place(offset)
    offset = min(offset, len(text))
    if offset == len(text) and text.endswith("\n"):
        offset -= 1  # the end of a file that ends well is shown on its last line
    before = text[:offset]
    assert place == (before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1)


def test_bytes_that_are_no_utf_8_are_pointed_at() -> None:
    with pytest.raises(ConfigError) as caught:
        decoded("nics:\n  é: ".encode() + b"\xff\n", "x.yaml")
    assert str(caught.value) == "x.yaml:2:6: not UTF-8 text, found byte 0xff, save the file as UTF-8"


def test_a_byte_order_mark_is_no_text() -> None:
    assert decoded(b"\xef\xbb\xbfnics: {}", "x.yaml").text == "nics: {}"


@pytest.mark.parametrize("hidden", ["\x85", "\u2028", "\u2029"])
def test_a_line_break_that_editors_do_not_show_is_refused(hidden: str) -> None:
    with pytest.raises(ConfigError, match="x:1:7: unprintable character"):
        checked(f"# odd {hidden}nics: {{}}\n", "x")


def test_a_file_beyond_the_limit_is_refused_without_being_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    path.write_bytes(b"#" * (LARGEST + 10))
    with pytest.raises(ConfigError, match=f"file is too large, found more than {LARGEST} bytes"):
        open_source(path)
    with pytest.raises(ConfigError, match="too large"):
        open_source(Path("/dev/zero"))


def test_every_tab_in_the_indentation_is_told() -> None:
    with pytest.raises(ConfigError) as caught:
        checked("a:\n\tb: 1\n  \tc: 2\n# \tcomment\n\t# comment\nd: 1\t# fine\n", "x.yaml")
    assert [(mistake.line, mistake.column) for mistake in caught.value.mistakes] == [(2, 1), (3, 3)]
