# A driver that pushes the start of each frame into the card's memory.
seq 1 100000 >/tmp/text
shown() { ethtool -g "$IF" | sed -n "/^Current/,\$s/^$1:[[:space:]]*//Ip"; }
moves() {
    for peer in "$PEER" "$PEER6"; do marked && nc "$peer" 7000 </tmp/text >/dev/null && host took-stream && compared segmented || return 1; done
    host begin && pinged "$PEER" && pinged "$PEER6" && host saw-pings 10 && host begin && pinged -s 1 "$PEER" && pinged -s 1 "$PEER6" && host saw-pings 10 1 1 &&
        host lines-written && healthy
}
# kernels whose ethtool knows of it say so, and take wide lines
known() { [ -n "$(shown 'TX push buff len')" ] && [ "$(shown 'TX push buff len')" != n/a ]; }
pushed() { ! known || { [ "$(shown 'TX push')" = on ] && [ "$(shown 'TX push buff len')" = "$1" ]; }; }
llq() { ! dmesg | grep -i 'llq is not supported' && moves && pushed 96 && { ! known || { ethtool -G "$IF" tx-push-buf-len 224 && ready && pushed 224 && moves; }; }; }

load && set_up || { echo "FAIL llq: no card"; exit 1; }
check llq llq
dmesg | grep -iE 'ena .*(llq|push|error|fail|timeout|reset)' | tail -5
exit $fail
