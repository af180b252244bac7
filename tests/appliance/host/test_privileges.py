"""What a process is after dropping its privileges, as the kernel tells it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="dropping privileges needs root")

STORY = """
import json, os, threading
from pathlib import Path
from appliance.host.privileges import drop
from ena_dev.errors import HostError

def statuses():
    texts = [path.read_text() for path in Path("/proc/self/task").glob("*/status")]
    return [dict(line.split(":", 1) for line in text.splitlines() if ":" in line) for text in texts]

end = threading.Event()
threading.Thread(target=end.wait).start()       # an executor's idle thread
try:
    said = drop()
except HostError as error:
    said = str(error)
refused = []
for forbidden in (lambda: os.setuid(0), lambda: open("/etc/shadow"), lambda: os.listdir("/root")):
    try:
        forbidden()
    except PermissionError as error:
        refused.append(error.errno)
after = statuses()
again = drop() if isinstance(said, list) else []
end.set()
print(json.dumps({"said": said, "again": again, "after": after, "refused": len(refused)}))
"""


def story(*wrapper: str) -> Any:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    done = subprocess.run([*wrapper, sys.executable, "-c", STORY], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@needs_root
def test_root_becomes_nobody_in_every_thread():
    told = story("setpriv", "--inh-caps=+net_admin", "--groups=4,27", "--")

    assert told["said"] == []
    assert len(told["after"]) == 2
    for thread in told["after"]:
        assert set(thread["Uid"].split()) == set(thread["Gid"].split()) == {"65532"}
        assert thread["Groups"].split() == []
        assert [int(thread[name], 16) for name in ("CapPrm", "CapEff", "CapAmb")] == [0, 0, 0]
    assert told["refused"] == 3


@needs_root
def test_the_calling_thread_can_gain_nothing_by_a_program_either():
    main = story("setpriv", "--inh-caps=+net_admin", "--")["after"][0]

    assert (int(main["CapBnd"], 16), int(main["CapInh"], 16), main["NoNewPrivs"].strip()) == (0, 0, "1")


@needs_root
def test_dropping_again_says_that_there_is_nothing_to_drop():
    assert story()["again"] == ["not started as root: stays user 65532, nothing to drop"]


@needs_root
def test_without_setpcap_the_bounding_set_stays_and_a_remark_says_so():
    told = story("setpriv", "--bounding-set=-setpcap", "--inh-caps=-setpcap", "--")

    assert told["said"] == ["the bounding set stays, for want of CAP_SETPCAP; no_new_privs makes it useless"]
    assert int(told["after"][0]["CapEff"], 16) == 0


@needs_root
def test_without_setuid_the_refusal_names_the_flags():
    said = story("setpriv", "--bounding-set=-setuid", "--inh-caps=-setuid", "--")["said"]

    assert said.startswith("can't become user 65532, group 65532: Operation not permitted (EPERM); it takes CAP_SETUID and CAP_SETGID")
