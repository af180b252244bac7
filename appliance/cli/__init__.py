"""The command line: `softena run`, `check`, `status`, `flows`, `ethtool`, `reload`, `demo`, `card`.

    app        the commands that run, check and change something: begin here
    reading    the commands that ask the running appliance
    card       a card for a virtual machine: no appliance
    tables     how its answers look to people
    logs       structlog, and everything that logs by the standard library
    exits      exit statuses, and how errors end a command

A command imports what it needs when it runs, so that the others start quickly.
"""


def main() -> None:
    """The entry point of the `softena` program. Ends the process with the command's exit status."""
    from appliance.cli.app import app
    from appliance.cli.exits import told

    with told():
        app(prog_name="softena")
