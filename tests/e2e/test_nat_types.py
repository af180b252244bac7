"""What kind of NAT a stranger finds: coturn's discovery (RFC 5780) of mapping, filtering and hairpin, beside what the file says.

    inside .9 --192.168.1.0/24-- lan [fw] wan --203.0.113.0/24-- .9 .10 turnserver
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.e2e.host import Host, eventually
from tests.e2e.lab import Lab

pytestmark = pytest.mark.skipif(
    not (shutil.which("turnserver") and shutil.which("turnutils_natdiscovery")), reason="needs coturn's turnserver and natdiscovery"
)

CONFIG = """
version: 1
nics:
  lan: {{address: 192.168.1.1/24}}
  wan: {{address: 203.0.113.1/24}}
zones:
  home: {{nics: [lan]}}
  net: {{nics: [wan]}}
policy:
  - out: {{from: [home], to: [net], allow: any}}
nat:
  - hide: {{{how}}}
"""
SERVER, SECOND = "203.0.113.9", "203.0.113.10"
PLACES = [f"{address}:{port}" for address in (SERVER, SECOND) for port in (3478, 3479)]
BINDS = "mapping: endpoint-independent, filtering: "
MASQUERADE = "masquerade: {{from: [home], to: [net], {}}}"
POOL = "snat: {{from: [home], to: [net], pool: 203.0.113.32/29, {}}}"


@contextmanager
def turnserver(host: Host, directory: str) -> Iterator[None]:
    """coturn's server on two addresses and two ports."""
    files = ("-l", "stdout", "--simple-log", "--pidfile", f"{directory}/pid", "--userdb", f"{directory}/db")
    argv = host.inside("turnserver", "-n", "--no-auth", "-L", SERVER, "-L", SECOND, "--no-tls", "--no-dtls", "--no-cli", *files)
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            eventually(lambda: all(place in host.output("ss", "-Hlun") for place in PLACES), "turnserver listens")
            yield
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("how", "filtering", "hairpin"),
    [
        (MASQUERADE.format(BINDS + "endpoint-independent"), "Endpoint Independent", True),
        (MASQUERADE.format(BINDS + "address-and-port-dependent"), "Address and Port Dependent", False),
        (POOL.format(BINDS + "address-dependent"), "Address Dependent", False),
    ],
    ids=("anybody", "answers", "whom it knows"),
)
@pytest.mark.usefixtures("machine")
def test_a_stranger_finds_what_the_file_says(tmp_path_factory: pytest.TempPathFactory, how: str, filtering: str, hairpin: bool) -> None:
    with Lab() as lab:
        inside, outside = lab.host("inside"), lab.host("outside")
        fw = lab.appliance("fw", CONFIG.format(how=how))
        fw.plug("lan", inside, ["192.168.1.9/24"], ["192.168.1.1"])
        fw.plug("wan", outside, [f"{SERVER}/24", f"{SECOND}/24"], ["203.0.113.1"])
        with turnserver(outside, str(tmp_path_factory.mktemp("turn"))):
            def ask(question: str) -> str:
                return inside.output("turnutils_natdiscovery", question, "-L", "192.168.1.9", SERVER, check=False)

            with ThreadPoolExecutor() as pool:  # they wait for what does not come
                mapped, filtered, turned = pool.map(ask, ("-m", "-f", "-H"))
            assert "NAT with Endpoint Independent Mapping" in mapped
            assert f"NAT with {filtering} Filtering" in filtered
            assert ("successful hairpinning" in turned) is hairpin
        assert fw.balanced()


@pytest.mark.usefixtures("machine")
def test_ports_at_random_are_dependent_mapping_to_a_stranger(tmp_path_factory: pytest.TempPathFactory) -> None:
    with Lab() as lab:
        inside, outside = lab.host("inside"), lab.host("outside")
        fw = lab.appliance("fw", CONFIG.format(how=MASQUERADE.format("ports: random")))
        fw.plug("lan", inside, ["192.168.1.9/24"], ["192.168.1.1"])
        fw.plug("wan", outside, [f"{SERVER}/24", f"{SECOND}/24"], ["203.0.113.1"])
        with turnserver(outside, str(tmp_path_factory.mktemp("turn"))):
            said = inside.output("turnutils_natdiscovery", "-m", "-L", "192.168.1.9", SERVER, check=False)
            assert "NAT with Address and Port Dependent Mapping" in said
