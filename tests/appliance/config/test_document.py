"""Trees with places, against what ruamel.yaml itself loads; and input that is meant to hurt."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.compat import StringIO

from appliance.config.document import MOST_EXPANDED, Node, read_document
from appliance.config.errors import ConfigError
from appliance.config.source import checked

LEAVES = st.text(alphabet="abc :#-'\"\\,[]{}&*!?|>%@`~é\n", max_size=8)
KEYS = st.text("abc :é", min_size=1)
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=15)


def plain(node: Node) -> object:
    if isinstance(node.value, dict):
        return {key: plain(entry.node) for key, entry in node.value.items()}
    return [plain(item) for item in node.value] if isinstance(node.value, list) else node.value


@settings(max_examples=150)
@given(st.dictionaries(st.text("abc", min_size=1), TREES, min_size=1))
def test_a_document_holds_what_was_written(tree: dict[str, object]) -> None:
    blocks = StringIO()
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.dump(tree, blocks)
    for text in (blocks.getvalue(), json.dumps(tree, indent=1), json.dumps(tree)):
        root, mistakes = read_document(checked(text, "x"))
        assert mistakes == []
        assert plain(root) == tree


def test_every_node_knows_its_place() -> None:
    source = checked("a: 1\nbé: {c: [x, 'y']}\nd:\n  - z\n", "x")
    root, _ = read_document(source)
    assert isinstance(root.value, dict)
    nested = root.value["bé"].node.value
    assert isinstance(nested, dict)
    items = nested["c"].node.value
    assert isinstance(items, list)
    assert source.place(root.value["a"].node.at) == (1, 4)
    assert source.place(root.value["bé"].at) == (2, 1)
    assert source.place(nested["c"].at) == (2, 6)
    assert [source.place(item.at) for item in items] == [(2, 10), (2, 13)]
    assert [item.plain for item in items] == [True, False]


def test_a_scalar_is_text_whatever_it_looks_like_and_nothing_is_none() -> None:
    root, _ = read_document(checked(json.dumps({"a": "~"}) + "\n", "x"))
    assert plain(root) == {"a": "~"}
    root, _ = read_document(checked("a: 1\nb: yes\nc: 0o10\nd: 2001-01-01\ne: ~\nf:\ng: null\nh: ''\n", "x"))
    assert plain(root) == {"a": "1", "b": "yes", "c": "0o10", "d": "2001-01-01", "e": None, "f": None, "g": None, "h": ""}


def test_a_key_without_value_has_the_place_of_the_key() -> None:
    source = checked("a:\n  b:\nc: 1\n", "x")
    root, _ = read_document(source)
    assert isinstance(root.value, dict)
    inner = root.value["a"].node.value
    assert isinstance(inner, dict)
    assert source.place(inner["b"].node.at) == (2, 3)


def test_mistakes_before_a_syntax_error_are_told_too() -> None:
    with pytest.raises(ConfigError) as caught:
        read_document(checked("a: 1\na: 2\nb: [\n", "x"))
    assert [mistake.line for mistake in caught.value.mistakes] == [2, 3]


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (BOMB, "aliases expand to too much"),
        ("a: " + "[" * 200_000, "nested too deeply"),
        ("- " * 200_000, "nested too deeply"),
        ("a: &a [[[[[[[[[[[[[[[[[x]]]]]]]]]]]]]]]]]\nb: [[[[[[[[[[[[[[[[[*a]]]]]]]]]]]]]]]]]\n", "nested too deeply"),
        ("a: &a {b: *a}", "alias inside its own anchor"),
        ("a: *b", "unknown alias"),
        ("? {a: b}\n: c", "key is not text"),
    ],
    ids=["bomb", "brackets", "dashes", "deep alias", "loop", "dangling", "mapping as key"],
)
def test_input_that_is_meant_to_hurt_is_refused_where_it_starts_to(text: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        read_document(checked(text, "x"))


def test_aliases_that_stay_small_are_fine() -> None:
    text = "a: &a [x, y]\n" + "b: [" + ", ".join(["*a"] * 1000) + "]\n"
    root, mistakes = read_document(checked(text, "x"))
    assert mistakes == []
    assert root.extent()[0] < MOST_EXPANDED
