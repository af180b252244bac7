"""The appliance: a firewall and load balancer, told what to do by one YAML file. Its packets come and go through ENA cards.

    YAML --config--> Config --ruleset--> Ruleset --+
                                                   v
    frame --flow (compiled)--> known: rewritten, sent | unknown --runtime--> decide --> flow entry

* `config`                      what an operator may write, and every mistake in it
* `policy`, `nat`, `balancer`, `route`, `sanity`, `special`, `ruleset`, `decide`      the decision engine: pure functions
* `objects`                     what names in rules stand for while it runs: sets from files, domain names, schedules
* `classes`                     flows that the engine cannot tell apart: what it decided about one holds for all
* `neighbour`                   the cache behind ARP and ND, sans-IO
* `flow`                        the compiled fast path: table, tracking, rewrite, the burst program
* `runtime`                     cards, queue coroutines, reload, health: start reading here
* `host`                        the Linux around it: TUN, addresses, namespaces, privileges
* `control`, `cli`, `demo`      how people meet it
"""
