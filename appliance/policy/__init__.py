"""Policy: which flows may pass.

    facts.py      what a decision is told, answers and may ask: start here
    rules.py      the configuration's ordered rules, compiled to a classifier
    dimension.py  which rules speak of a number: what the classifier is made of

The engine that joins policy, translation, balancing and routes stands one floor up, in `appliance/decide.py`.
"""
