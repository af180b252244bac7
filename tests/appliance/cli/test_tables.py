"""What people read: translations shown only where there are any, IPv6 with ports unambiguous, columns aligned without a terminal."""

from __future__ import annotations

from typing import Any

import pytest

from appliance.cli.tables import endpoint, show, show_flows, show_status
from tests.support.fake_appliance import FLOW, STATUS


def test_an_ipv6_endpoint_has_brackets_around_the_address() -> None:
    assert endpoint("2001:db8::1", 443) == "[2001:db8::1]:443"
    assert endpoint("2001:db8::1", 0) == "2001:db8::1"
    assert endpoint("192.0.2.1", 443) == "192.0.2.1:443"


def test_columns_are_aligned_and_no_line_ends_in_spaces(capsys: pytest.CaptureFixture[str]) -> None:
    show("things", ("name", "n"), [("a", 1), ("longer", 22)])
    assert capsys.readouterr().out == "\nthings\n  name    n\n  a       1\n  longer  22\n"


def test_an_empty_column_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    show("things", ("name", "nothing", "n"), [("a", "", 1)])
    assert capsys.readouterr().out == "\nthings\n  name  n\n  a     1\n"


def test_a_table_without_rows_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    show("things", ("name",), [])
    assert capsys.readouterr().out == ""


def flow(**changes: Any) -> dict[str, Any]:
    return FLOW | changes


def test_an_untranslated_flow_does_not_repeat_its_ends(capsys: pytest.CaptureFixture[str]) -> None:
    original = FLOW["original"]
    back = {"source": original["destination"], "sport": original["dport"], "destination": original["source"], "dport": original["sport"]}
    show_flows([flow(reply=back)], more=False)
    assert capsys.readouterr().out.count("192.168.10.5:40000") == 1


def test_a_flow_that_waits_for_its_decision_has_no_reply_yet(capsys: pytest.CaptureFixture[str]) -> None:
    show_flows([flow(reply=None, state="pending", rule="")], more=False)
    assert "pending" in capsys.readouterr().out


def test_a_denied_flow_tells_why_and_others_need_no_column_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    show_flows([flow(), flow(reply=None, state="denied", rule="", reason="spoofed")], more=False)
    _, header, open_one, denied, _ = capsys.readouterr().out.strip("\n").splitlines()
    assert denied[header.index("why") :].startswith("spoofed  ") and open_one[header.index("why") :].startswith("   ")
    show_flows([flow()], more=False)
    assert "why" not in capsys.readouterr().out


def test_markup_in_names_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    show("rules", ("rule",), [("[red]x[/red]",)])
    assert "[red]x[/red]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("connected", "driver", "shown"),
    [
        (False, None, "not connected"),
        (True, None, "no driver"),
        (True, {"system": "linux", "distribution": "6.12.9-amd64"}, "linux 6.12.9-amd64"),
        (True, {"system": "dpdk", "distribution": ""}, "dpdk"),
    ],
)
def test_a_nic_shows_the_machine_behind_it(
    capsys: pytest.CaptureFixture[str], connected: bool, driver: dict[str, str] | None, shown: str
) -> None:
    [nic] = STATUS["nics"]
    show_status(STATUS | {"nics": [nic | {"tap": "", "guest": {"connected": connected, "driver": driver}}]})
    _, header, row, *_ = capsys.readouterr().out.split("\nnics")[1].splitlines()
    assert "guest" in header
    assert "tap" not in header
    assert row[header.index("guest") :].startswith(f"{shown}  ")
