# The card misbehaves; the driver notices, says why, resets the card and goes on. The card's hints make its watchdogs quick.
seq 1 100000 >/tmp/text
moves() { host begin && nc "$PEER" 7000 </tmp/text >/dev/null && host took-stream && pinged "$PEER"; }
up_count() { counter interface_up; }
again() { [ "$(up_count)" -gt "$u" ]; }
said() { dmesg | grep -iE "$1" | tail -1 | grep . || { echo "the driver's log has no '$1'"; dmesg | grep -i ena | grep -v "hasn't completed" | head -3; return 1; }; }
# inject WORDS...: a fault now, and remember how things stand
inject() { stand; host fault "$@"; }
stand() { u=$(up_count); dmesg -c >/dev/null; }
# recovered WORDS REASON...: the driver's log has the words, the card was reset for one of the reasons, and all works again
recovered() { words=$1; shift; until_true 300 again || { echo "no reset"; return 1; }; until_true 100 ready && said "$words" && moves && host reset-for "$@"; }
knock() { /bin/ping -n -q -i 0.02 -c "$1" -W 1 "$PEER" >/dev/null; :; }

# the driver counts packets; where the stack's queue limits let too few of them out, the stack's own watchdog barks
LOST='lost tx completions|transmit queue . timed out'
keep_alive() { w=$(counter wd_expired) && inject miss-keep-alives 60 && recovered 'keep alive watchdog timeout' KEEP_ALIVE_TO && [ "$(counter wd_expired)" -gt "$w" ]; }
completion() { inject withhold-tx-completions 60 && knock 100 && recovered "$LOST" MISS_TX_CMPL OS_NETDEV_WD; }
interrupt() { inject lose-interrupts 1 1 && host fault lose-interrupts 1 2 && knock 100 && knock 100 && recovered "$LOST|msix" MISS_TX_CMPL MISS_INTERRUPT OS_NETDEV_WD; }
tx_id() { inject spoil-tx-completions 1 && knock 20 && recovered 'invalid req_id|tx_bad_req_id: [1-9]' INV_TX_REQ_ID; }
rx_id() { inject spoil-rx-completions 1 && knock 20 && recovered 'invalid rx req_id|rx_bad_req_id: [1-9]' INV_RX_REQ_ID; }
request() { recovered 'reset' DEVICE_REQUEST; }
link() {
    c=$(cat /sys/class/net/$IF/carrier_changes) && inject link-flap 1.0 && until_true 100 carrier 0 && ready &&
        [ "$(cat /sys/class/net/$IF/carrier_changes)" -ge $((c+2)) ] && moves && [ "$(up_count)" = "$u" ] && host no-reset
}

load && set_up && moves || { echo "FAIL faults: no card"; exit 1; }
check fault-link link
check fault-keep-alive keep_alive
check fault-completion completion
check fault-interrupt interrupt
check fault-tx-id tx_id
check fault-rx-id rx_id
stand
if host request-reset >/tmp/why; then check fault-request request
elif grep -q 'no driver is up' /tmp/why; then cannot fault-request "this driver does not subscribe to the event by which a card asks for a reset"
else check fault-request cat /tmp/why /nothing; fi
check healthy-again moves
exit $fail
