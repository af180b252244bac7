"""What stands behind the names in rules while the appliance runs, and changes meanwhile.

    lists.py     a file of addresses: read within bounds, or refused with its line
    sets.py      the sets of a configuration: looked at now and then, the last good ones kept
    dns.py       queries and answers of DNS: read within bounds
    names.py     the addresses of domain names, as answers on the way have told them, each with its time to live
    schedule.py  when a rule applies, and when that changes next

What names are in the file: `config/objects.py`; how they come into rules: `config/resolve.py`.
"""
