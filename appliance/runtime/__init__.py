"""The running appliance: cards, queue coroutines, and everything that decides in Python while frames flow compiled.

    appliance     start, reload, stop, and what status shows: begin here
    hardware      ports, cards, guests, and the memory and executor they share; cards: one nic: port, card, driver
    guest         a virtual machine at the far side of a nic
    guest_card    cards whose drivers run in virtual machines: no appliance around them; replay: a capture for a far side
    card_control  what such a card is asked while it runs: card_report what it shows, card_faults how it misbehaves
    decider       misses become flow entries, through the decision engine
    punts         frames handed over: ARP, ND, ICMP errors, what has to be fragmented
    neighbours    ARP and ND of each nic; adjacencies: the numbers behind them; link_messages: what is heard
    errors        ICMP errors, those we send and those about flows; translate: packets rewritten in Python
    commands      what is told to the compiled path when its ring may be full
    health        health of balancer targets: when to probe, and how they count
    targets       who takes new flows and who is leaving; resets: both ends of a connection are told that it ended
    circumstances what rules hang on besides their file; waiting: for an event or a time
    world         TAPs, TUN and uplinks of the host, or what stands for them
    serve         `softena run`: signals, control socket, exit status
    report        what status, flows and ethtool show
    rejudge       after a reload: flows that the new policy forbids end; fixed: what a reload can't change

Nothing here runs per frame of a known flow.
"""
