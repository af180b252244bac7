"""The running appliance: cards, queue coroutines, and everything that decides in Python while frames flow compiled.

    appliance     start, reload, stop, and what status shows: begin here
    cards         one nic: port, card, driver, on the shared executor
    decider       misses become flow entries, through the decision engine
    neighbours    ARP and ND of each nic, behind the compiled adjacencies
    errors        ICMP: errors we send, errors about flows we pass on
    health        probes of balancer targets, over the host's own TCP
    world         TAPs, TUN and uplinks of the host, or what stands for them
    serve         `softena run`: signals, control socket, exit status
    report        what status, flows and ethtool show
    rejudge       after a reload: flows that the new policy forbids end

Nothing here runs per frame of a known flow.
"""
