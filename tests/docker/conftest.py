"""One lab for all tests of the container."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.docker.engine import Engine, missing
from tests.docker.lab import CLIENT, INSIDE, OUTSIDE, W1, W2, Container, Lab, eventually

CONFIG = f"""\
version: 1
nics:
  outside: {{uplink: eth0}}
  inside: {{uplink: eth1}}
zones:
  internet: {{nics: [outside]}}
  servers: {{nics: [inside]}}
policy:
  - asked for: {{from: [internet], to: [servers], allow: [tcp/8001, udp/8001, ping]}}
  - updates: {{from: [servers], to: [internet], allow: tcp/8001}}
  - ping me: {{from: any, to: [self], allow: ping}}
nat:
  - servers out: {{masquerade: {{from: [servers], to: [internet]}}}}
  - web: {{forward: {{on: internet, port: tcp/8443, to: "{W1}:8002"}}}}
services:
  balanced:
    listen: ["{OUTSIDE}:80/tcp"]
    from: [internet]
    targets: [{{name: w1, address: "{W1}:8001"}}, {{name: w2, address: "{W2}:8001"}}]
    health: {{type: tcp, every: 500ms, timeout: 500ms, rise: 2, fall: 4}}
"""


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The image, and the networks."""
    if what := missing():
        pytest.skip(what)
    with Engine() as engine, Lab(engine, tmp_path_factory.mktemp("docker")) as made:
        yield made


@pytest.fixture(scope="session")
def client(lab: Lab) -> Container:
    return lab.peer("client", "internet", CLIENT, OUTSIDE, 8001)


@pytest.fixture(scope="session")
def w1(lab: Lab) -> Container:
    return lab.peer("w1", "servers", W1, INSIDE, 8001, 8002)


@pytest.fixture(scope="session")
def w2(lab: Lab) -> Container:
    return lab.peer("w2", "servers", W2, INSIDE, 8001, 8002)


@pytest.fixture(scope="session")
def firewall(lab: Lab, client: Container, w1: Container, w2: Container) -> Container:
    """The running appliance, healthy and with both targets up."""
    made = lab.firewall(CONFIG)
    both = {str({"name": name, "caller": CLIENT}) for name in ("w1", "w2")}
    try:
        eventually(lambda: made.inspect(".State.Health.Status") == "healthy", "the container turns healthy")
        eventually(lambda: {str(each) for each in client.ask("tcp", OUTSIDE, 80, 10)} == both, "both targets serve")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{made.inspect('json .State')}\n{made.log()}") from None
    return made
