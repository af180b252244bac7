"""Between the appliance and the Linux it runs on. Everything that needs root, netlink or the host's sockets is here.

    links.py        find, bring up and move interfaces; what the kernel refused, in words
    changes.py      changes to the kernel's configuration, each with its way back
    tun.py          the TUN device of the appliance's own traffic: addresses and policy routing
    uplink.py       take over a Linux interface: wire it to a TAP, adopt its addresses
    keeper.py       a small process that undoes changes when the appliance, by then without privileges, ends
    privileges.py   from root to nobody, once all is set up
    probes.py       health probes of balancer targets, by the own stack's sockets
    namespaces.py   network namespaces: the lab of the demo and of tests

    own traffic:   sockets -> (from an own address: table 5250) -> TUN -> appliance -> driver -> card -> TAP
    taken over:    network -> uplink =tc=> TAP -> card -> driver -> appliance         the Linux stack never sees these frames

All of it but the probes is synchronous and short; a coroutine calls it through `asyncio.to_thread`. pyroute2 makes an event loop of its
own, which must not be uvloop's: start uvloop with `uvloop.run`, not as a policy. Everything acts in the network namespace of the calling
thread.
"""
