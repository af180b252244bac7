"""NAT: how a flow's addresses and ports change.

    destination.py  forwards and services: where a flow to one of our addresses really goes
    masquerade.py   which flows leave under the appliance's own address
    ports.py        a source port that keeps the reply unambiguous
"""
