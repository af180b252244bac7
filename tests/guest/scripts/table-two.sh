# Two cards in one guest: each with its own address, network and cable.
seq 1 100000 >/tmp/text
FIRST='' SECOND=''
on() { [ "$(cat /sys/class/net/"$1"/carrier)" = "$2" ]; }
both() {
    load && probed 2 && set -- $(interfaces 2) && FIRST=$1 SECOND=$2 && [ "$(cat /sys/class/net/$FIRST/address)" != "$(cat /sys/class/net/$SECOND/address)" ] &&
        ip addr add 169.254.9.2/24 dev "$FIRST" && ip addr add 169.254.10.2/24 dev "$SECOND" && ip link set "$FIRST" up && ip link set "$SECOND" up &&
        until_true 100 on "$FIRST" 1 && until_true 100 on "$SECOND" 1 && pinged 169.254.9.1 && pinged 169.254.10.1
}
# while streams leave by both, each cable carries its own
streams() { host begin && host begin-2 && { nc 169.254.9.1 7000 </tmp/text >/dev/null & other=$!; nc 169.254.10.1 7100 </tmp/text >/dev/null && wait $other; } && host took-stream && host took-stream-2; }
cables() { host link-2 down && until_true 100 on "$SECOND" 0 && on "$FIRST" 1 && pinged 169.254.9.1 && host link-2 up && until_true 100 on "$SECOND" 1 && pinged 169.254.10.1; }
apart() { ip link set "$FIRST" down && pinged 169.254.10.1 && ip link set "$FIRST" up && until_true 100 on "$FIRST" 1 && pinged 169.254.9.1; }
well() { for IF in "$FIRST" "$SECOND"; do healthy || return 1; done; }
two() { both && streams && cables && apart && well; }
check two-cards two
exit $fail
