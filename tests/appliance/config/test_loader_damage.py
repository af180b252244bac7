"""Damaged files: whatever happens to a shipped file, it ends in mistakes with places or in a configuration, never in a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.config.errors import ConfigError
from appliance.config.loader import load, loads
from appliance.config.models import Config

TEXTS = [path.read_text() for path in sorted(Path(__file__).parents[3].joinpath("configs").glob("*.yaml"))]


def judge(text: str) -> None:
    """Either a configuration, or mistakes inside the file that fit on a line."""
    try:
        assert isinstance(loads(text, "x.yaml"), Config)
    except ConfigError as error:
        assert error.mistakes
        lines = text.removeprefix("\ufeff").split("\n")
        for mistake in error.mistakes:
            assert 1 <= mistake.line <= len(lines)
            assert 1 <= mistake.column <= len(lines[mistake.line - 1]) + 1
            assert mistake.what
            assert mistake.found
            assert mistake.hint
            assert "\n" not in str(mistake)


FRAGMENTS = st.sampled_from(
    ["[", "]", "{", "}", ":", ": ", "- ", ",", "'", '"', "#", "&a ", "*a", "!!int ", "|", ">", "? ", "---\n", "...", "\n", "\n  ", "\t",
     "~", "no", "0o10", "12:30", "0x1F", "1_000", "-1", "99999999999999999999999", "1e9", "<<", "self", "any", "name", "line", "kind",
     "null", "%", "\\", "\u2028", "\x85", "\ufeff", "é", "/", "/99", "::", ".300"]
)  # fmt: skip


@settings(max_examples=200)
@given(st.data())
def test_a_damaged_file_ends_in_mistakes_with_places_or_in_a_configuration(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(TEXTS), label="file")
    for _ in range(data.draw(st.integers(1, 4), label="cuts")):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.sampled_from([start, start + 1, start + 3, start + 20, len(text)]))
        put = data.draw(st.one_of(FRAGMENTS, st.text(max_size=4), st.just("")))
        text = text[:start] + put + text[end:]
    judge(text)


@settings(max_examples=100)
@given(st.data())
def test_lines_that_moved_end_in_mistakes_or_in_a_configuration(data: st.DataObject) -> None:
    lines = data.draw(st.sampled_from(TEXTS)).split("\n")
    source, target = data.draw(st.integers(0, len(lines) - 1)), data.draw(st.integers(0, len(lines) - 1))
    lines.insert(target, " " * data.draw(st.integers(0, 6)) + lines.pop(source).lstrip())
    judge("\n".join(lines))


SECTIONS = ["nics", "zones", "routes", "policy", "nat", "services", "timeouts", "host"]
KEYS = [
    *SECTIONS, "version", "wan", "address", "gateway", "from", "to", "allow", "deny", "masquerade", "forward", "on", "port", "listen",
    "targets", "name", "health", "type", "every", "kind", "line", "verdict", "faults", "warnings",
]  # fmt: skip
WORDS = ["10.0.0.1/24", "10.0.0.1:80/tcp", "tcp/1", "wan", "any", "5s"]
TREES = st.recursive(
    st.one_of(st.none(), FRAGMENTS, st.integers(), st.sampled_from(WORDS)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)),
    max_leaves=20,
)


@settings(max_examples=150)
@given(st.dictionaries(st.sampled_from(SECTIONS), TREES, min_size=1))
def test_well_formed_nonsense_ends_in_mistakes_with_places(tree: dict[str, object]) -> None:
    judge(json.dumps(tree))


@settings(max_examples=100)
@given(st.binary(max_size=200))
def test_any_bytes_end_in_mistakes(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes.yaml"
    path.write_bytes(data)
    with pytest.raises(ConfigError):
        load(path)
