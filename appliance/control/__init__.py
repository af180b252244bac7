"""How the command line, and any other program on this machine, talks to the running appliance, or to a card that is served alone.

    softena status --> client --JSON lines over a unix socket--> server --> methods by name: ControlledAppliance's (interface), a card's

    interface     what a running appliance can be asked: begin here
    messages      the lines: version, bounds, error codes, how parameters are read
    server        the socket's owner, on the event loop
    client        a blocking caller, for tools

Everything that arrives is hostile: bounded in length, time and number, and answered with an error where it makes no sense.
"""
