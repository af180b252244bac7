"""NAT: how a flow's addresses and ports change.

    destination.py  forwards and services: where a flow to one of our addresses really goes
    source.py       which flows leave under another address
    pool.py         outside addresses that inside ones are spread over
    ports.py        a source port that keeps the reply unambiguous
    layers.py       ranges of which the first given wins
"""
