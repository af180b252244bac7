# Two cards on one cable, the second in a network namespace of its own: the guest talks to itself through both drivers.
FIRST='' SECOND='' OTHER=''
other() { program=$(command -v "$1"); shift; nsenter -t "$OTHER" -n "$program" "$@"; }  # by its path, or busybox takes its own
moved() { other ip link show "$SECOND"; }
apart() {
    load && probed 2 && set -- $(interfaces 2) && FIRST=$1 SECOND=$2 && { unshare -n sleep 10000 & OTHER=$!; } &&
        until_true 100 ip link set "$SECOND" netns "$OTHER" && until_true 100 moved && other ip link set lo up &&
        ip addr add 169.254.9.2/24 dev "$FIRST" && ip -6 addr add fd09::2/64 dev "$FIRST" nodad && other ip addr add 169.254.9.3/24 dev "$SECOND" &&
        other ip -6 addr add fd09::3/64 dev "$SECOND" nodad
}
# a card has a carrier only while the other's driver receives
carriers() { IF=$FIRST; ip link set "$FIRST" up && sleep 1 && carrier 0 && other ip link set "$SECOND" up && ready; }
peers() { pinged 169.254.9.3 && pinged -s 8000 169.254.9.3 && pinged fd09::3; }
jumbo() { ip link set "$FIRST" mtu 9001 && other ip link set "$SECOND" mtu 9001 && pinged -M do -s 8973 169.254.9.3 && ip link set "$FIRST" mtu 1500 && other ip link set "$SECOND" mtu 1500; }
streams() { { other iperf3 -s -D; } && sleep 1 && PEER=169.254.9.3 && iperf && iperf -R && PEER=fd09::3 && iperf; }
changed() { [ "$(cat /sys/class/net/"$FIRST"/carrier_changes)" -ge "$1" ]; }
flapped() { changes=$(cat /sys/class/net/"$FIRST"/carrier_changes) && host fault a link-flap=1s && until_true 100 changed $((changes+2)) && ready && until_true 20 pinged 169.254.9.3; }
well() { healthy && ! other ethtool -S "$SECOND" | grep -E '(total_resets|bad_|missing|invalid|csum_bad)[^:]*: [1-9]'; }
check apart apart
check carriers carriers
check peers peers
check jumbo jumbo
check streams streams
check flapped flapped
check well well
check told host stats
exit $fail
