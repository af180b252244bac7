"""Objects in rules: a configuration with names decides as the same one with what they mean written out."""

from ipaddress import IPv4Network, IPv6Network
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.classes import find_cuts
from appliance.config.models import Config
from appliance.config.objects import Domains, Group, Host, ObjectName
from appliance.decide import compile_ruleset, decide
from tests.appliance.any_network import Flows, configs
from tests.appliance.small_network import View
from tests.appliance.test_classes import Likes, judge


def with_names(config: Config, random: Random) -> Config:
    """The same with each list of networks in its policy as an object or two, of whatever kind would do."""
    objects: dict[str, Group | Host] = {}

    def named(networks: tuple[IPv4Network | IPv6Network, ...]) -> tuple[object, ...]:
        if not networks or random.random() < 0.3:
            return networks
        name = f"o{len(objects)}"
        four, six = ([network for network in networks if network.version == version] for version in (4, 6))
        if random.random() < 0.5:
            objects[name] = Host(name=name, v4=tuple(four), v6=tuple(six))
        else:
            objects[f"{name}-inner"] = Group(name=f"{name}-inner", members=tuple(networks[1:] or networks))
            objects[name] = Group(name=name, members=(networks[0], ObjectName(f"{name}-inner")))
        return (ObjectName(name),) if random.random() < 0.5 else (networks[-1], ObjectName(name))

    policy = [rule.model_copy(update={"source": named(rule.source), "destination": named(rule.destination)}) for rule in config.policy]
    return config.model_copy(update={"policy": tuple(policy), "objects": objects})


@settings(max_examples=60)
@given(config=configs(), seed=st.integers(0, 1 << 32))
def test_a_name_decides_as_what_it_means(config: Config, seed: int) -> None:
    random = Random(seed)
    plain, named = (compile_ruleset(each, 1, b"seed", 31) for each in (config, with_names(config, random)))
    assert find_cuts(plain) == find_cuts(named)
    flows = Flows(config, plain.local_addresses, random)
    for _ in range(20):
        facts = flows.draw()
        assert decide(facts, named, View()) == decide(facts, plain, View())


class KnowingView(View):
    """Object `o` stands for some addresses."""

    def __init__(self, known: set[tuple[int, int]]) -> None:
        super().__init__()
        self.known = known

    def named(self, objects: tuple[str, ...], version: int, address: int) -> bool:
        return "o" in objects and (version, address) in self.known


@settings(max_examples=60)
@given(config=configs(), seed=st.integers(0, 1 << 32))
def test_what_hangs_on_a_domain_name_says_nothing_of_other_flows(config: Config, seed: int) -> None:
    random = Random(seed)

    def joined(networks: tuple[object, ...]) -> tuple[object, ...]:
        return (*networks, ObjectName("o")) if random.random() < 0.4 else networks

    policy = [rule.model_copy(update={"source": joined(rule.source), "destination": joined(rule.destination)}) for rule in config.policy]
    objects = {"o": Domains(name="o", fqdn=["example.org"])}
    ruleset = compile_ruleset(config.model_copy(update={"policy": tuple(policy), "objects": objects}), 1, b"seed", 31)
    flows = Flows(config, ruleset.local_addresses, random)
    likes = Likes(flows, find_cuts(ruleset), random)
    known = {(version, address) for version in (4, 6) for address in flows.addresses[version] if random.random() < 0.5}
    for _ in range(40):
        facts, view = flows.draw(), KnowingView(known)
        other, one = likes.draw(facts), decide(facts, ruleset, view)
        if not one.alone:
            assert decide(facts, ruleset, KnowingView(set())) == one
            if not decide(other, ruleset, view).alone:
                judge(facts, other, ruleset, view)
