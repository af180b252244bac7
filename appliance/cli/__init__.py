"""The command line: `softena run`, `check`, `status`, `flows`, `ethtool`, `drain`, `restore`, `reload`, `demo`, `card`.

    app        the commands that run, check and change something: begin here
    reading    the commands that ask the running appliance
    targets    drain and restore
    card       a card for a virtual machine: no appliance
    tables     how its answers look to people
    logs       structlog, and everything that logs by the standard library
    exits      exit statuses, and how errors end a command

A command imports what it needs when it runs, so that the others start quickly. Starting makes many objects and no garbage, so the collector
waits until a command that stays has started.
"""

import os


def main() -> None:
    """The entry point of the `softena` program. Ends the process with the command's exit status."""
    from appliance.collector import off

    off()
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # it would look for some in every installed package
    from appliance.cli.app import app
    from appliance.cli.exits import told

    with told():
        app(prog_name="softena")
