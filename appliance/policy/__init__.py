"""Policy: which flows may pass.

    facts.py    what a decision is told, answers and may ask: start here
    match.py    networks as pairs of integers
    rules.py    the configuration's ordered rules, compiled to integer rows for one (zone, zone, version, protocol) each

The engine that joins policy, translation, balancing and routes stands one floor up, in `appliance/decide.py`.
"""
