"""Balancer: which target answers a flow.

    maglev.py    the consistent-hash table, pure: start here; populate.pyx: its filling, compiled
    choices.py   round robin, least connections, two random choices; history.py: what they remember from flow to flow
    services.py  a service's targets and tables, and the choice of one for a flow
    lifecycle.py a target's life: active, leaving, unhealthy, ejected; what becomes of its flows
    health.py    probe results -> up and down, sans-IO
    outliers.py  how new connections went -> ejected and back, sans-IO
    warmup.py    a share of flows that grows, for who comes back, sans-IO
"""
