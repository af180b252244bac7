# What exceeds an allowance is lost to the guest, and the driver tells it by its name: as many as were lost.
NAMES="bw_in_allowance_exceeded bw_out_allowance_exceeded pps_allowance_exceeded conntrack_allowance_exceeded linklocal_allowance_exceeded"
told() { for name in $NAMES conntrack_allowance_available; do value=$(counter $name); [ -z "$value" ] || echo "$name=$value"; done; }
named() { for name in $NAMES; do counter $name | grep -x '[0-9]*' || { echo "no $name"; return 1; }; done; }
# lost OF WORDS...: how many of so many pings were not answered
lost() { of=$1; shift; /bin/ping -n -q -W 1 "$@" >/tmp/ping; got=$(sed -n 's/.*transmitted, \([0-9]*\) received.*/\1/p' /tmp/ping); echo $((of-got)); }
# neighbour discovery may meet a limit as well
as_many() { [ $((after-before)) -ge "$gone" ] && [ $((after-before)) -le $((gone+10)) ]; }
# exceeds NAME ALLOWANCE OF WORDS...: some of the pings are lost by the allowance, and as many are told, by the card too
exceeds() {
    name=$1_allowance_exceeded; before=$(counter $name); host allow "$2" || return 1; shift 2
    gone=$(lost "$@"); after=$(counter $name); echo "$name $before..$after, $gone lost"
    host allow max-wait=0s && host exceeded $(told) && [ "$gone" -gt 0 ] && as_many
}
connections() { n=0; gone=0; while [ $n -lt 8 ]; do [ "$(lost 1 -c 1 "$PEER6")" = 0 ] || gone=$((gone+1)); n=$((n+1)); done; echo $gone; }
tracked() {
    before=$(counter conntrack_allowance_exceeded); host allow conntrack=5 && gone=$(connections) && after=$(counter conntrack_allowance_exceeded)
    echo "conntrack $before..$after, $gone lost"; host exceeded $(told) && [ "$gone" -ge 3 ] && as_many
}
statistics() {
    named && pinged "$PEER" && pinged "$PEER6" && exceeds linklocal linklocal=20 100 -i 0.01 -c 100 "$PEER" &&
        exceeds pps pps=20,max-wait=0s 200 -i 0.01 -c 200 "$PEER6" &&
        exceeds bw_out bw-out=100k,max-wait=0s 100 -i 0.01 -c 100 -s 1400 "$PEER6" && exceeds bw_in bw-in=100k,max-wait=0s 100 -i 0.01 -c 100 -s 1400 "$PEER6" && tracked
}

load && set_up || { echo "FAIL statistics: no card"; exit 1; }
check statistics statistics
exit $fail
