"""`softena demo`: the appliance between two network namespaces, and real traffic that shows what it does.

    clients 10.1.0.0/24, 2001:db8:1::/64 --TAP-- [clients | softena | servers] --TAP-- servers 192.0.2.0/24, 2001:db8:2::/64

    director     from first check to last cleaning: begin here
    scene        a row; single_flows, service, changing and counters are the rows
    stage        namespaces, the appliance's process, the peers (remote: one of them)
    screen       how it is shown
    demo.yaml    what the appliance runs

    peer         the program inside the namespaces; it takes its orders as JSON lines
    answering    its servers               asking       its clients
    probing      ping, hop limits, MTU     bulk         streams with a checksum

The peers use the kernel's network stack and the standard library alone: nothing of the appliance judges itself.
"""
