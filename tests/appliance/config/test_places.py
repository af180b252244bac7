"""Paths to places and words, also where the path says more or less than the file."""

from __future__ import annotations

from appliance.config.document import read_document
from appliance.config.places import existing, keys_at, locate, subject
from appliance.config.shape import shape
from appliance.config.source import Place, checked

TEXT = """\
nics:
  lan: {address: 10.0.0.1/24}
policy:
  - home out: {from: home, allow: any}
nat:
  - out: {masquerade: {from: [a, b]}}
objects:
  bad: {file: /bad.txt, max-age: 1s}
"""


def test_a_path_leads_to_the_value_and_its_key() -> None:
    source = checked(TEXT, "x")
    root, _ = shape(read_document(source)[0], source)

    def places(*path: int | str) -> tuple[Place, Place]:
        entry = locate(root, path)
        return source.place(entry.at), source.place(entry.node.at)

    assert places("nics", "lan", "address", 0) == ((2, 9), (2, 18))  # a single value is a list of one
    assert places("nics", "lan", "mtu")[0] == (2, 3)  # what is missing is where its parent is
    assert places("nat", 0, "masquerade", "from", 1)[1] == (6, 34)  # pydantic names the kind on the way
    assert places("policy", 0)[0] == (4, 5)
    assert places("policy", 7, "from")[0] == (3, 1)
    assert existing(root, ("nat", 0, "masquerade", "from", 1)) == ("nat", 0, "from", 1)
    assert places("objects", "bad", "file", "max-age")[1] == (8, 34)  # the kind is called as a key
    assert places("objects", "bad", "file", "file") == places("objects", "bad", "file") == ((8, 9), (8, 15))


def test_a_path_reads_as_words() -> None:
    source = checked(TEXT, "x")
    root, _ = shape(read_document(source)[0], source)

    assert subject(root, ()) == ""
    assert subject(root, ("nics", "lan", "address", 0)) == 'nic "lan": address'
    assert subject(root, ("nics", "lan", "name")) == 'nic "lan"'
    assert subject(root, ("policy", 0, "from")) == 'rule "home out": from'
    assert subject(root, ("nat", 0, "masquerade", "from")) == 'nat rule "out": from'
    assert subject(root, ("nat", 0, "masquerade")) == 'nat rule "out"'
    assert subject(root, ("objects", "bad", "file", "max-age")) == 'object "bad": max-age'
    assert subject(root, ("objects", "bad", "file", "file")) == 'object "bad": file'
    assert subject(root, ("services", "web", "masquerade")) == 'service "web": masquerade'
    assert subject(root, ("timeouts", "udp")) == "timeouts: udp"


def test_the_keys_of_a_mapping_are_found_by_its_path() -> None:
    assert "policy" in keys_at(())
    assert "address" in keys_at(("nics", "lan"))
    assert "loss" in keys_at(("nics", "lan", "faults"))
    assert keys_at(("nat", 0, "masquerade")) == ("from", "to", "source", "mapping", "filtering", "ports", "family")
    assert "weight" in keys_at(("services", "web", "targets", 0))
    assert "rise" in keys_at(("services", "web", "health"))
