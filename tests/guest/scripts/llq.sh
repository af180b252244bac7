# A driver that pushes the start of each frame into the card's memory.
shown() { ethtool -g "$IF" | sed -n "/^Current/,\$s/^$1:[[:space:]]*//Ip"; }
pushes() { [ "$(shown 'TX push')" = on ] && [ "$(shown 'TX push buff len')" = "$1" ]; }
traffic() { check "ping-$1" pinged "$PEER"; check "ping6-$1" pinged "$PEER6"; check "ping-large-$1" pinged -s 1400 "$PEER"; check "ping-short-$1" pinged -s 1 "$PEER"
            check "tcp-out-$1" iperf; check "tcp-in-$1" iperf -R; check "udp-$1" iperf -u -b 10M; check "healthy-$1" healthy; }

check probe load
check link-up set_up
ethtool -g "$IF" | sed 's/^/    /'
traffic "$FIRST"
check lines-"$FIRST" host lines
if [ -n "$(shown 'TX push buff len')" ] && [ "$(shown 'TX push buff len')" != n/a ]; then
    check push-"$FIRST" pushes $((FIRST - 32))
    check push-"$SECOND" ethtool -G "$IF" tx-push-buf-len $((SECOND - 32))
    check ready-"$SECOND" ready
    check pushes-"$SECOND" pushes $((SECOND - 32))
    traffic "$SECOND"
    check lines-"$SECOND" host lines
else
    for name in push-"$FIRST" push-"$SECOND"; do cannot "$name" "this kernel's ethtool knows no push buffer"; done
fi
dmesg | grep -iE 'ena .*(llq|push|error|fail|timeout|reset)' | tail -5
ip link set "$IF" down; check unload rmmod ena
exit $fail
