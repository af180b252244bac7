# What an operator of an unmodified ena driver does in a day.
reloaded() { left=$1; while [ "$left" -gt 0 ]; do rmmod ena && load || return 1; left=$((left-1)); done; set_up; }

check probe load
check link-up set_up
check ping4 pinged "$PEER"
check ping6 pinged "$PEER6"
check ping-large pinged -s 1400 "$PEER"
check tcp-out iperf
check tcp-in iperf -R
check udp iperf -u -b 20M
check healthy healthy
for view in i g k l x S c; do check "ethtool-$view" ethtool -$view "$IF"; done
check channels ethtool -L "$IF" combined 1
check ring-sizes ethtool -G "$IF" rx 512 tx 256
check coalescing ethtool -C "$IF" adaptive-rx off rx-usecs 50 tx-usecs 100
check checksum-off ethtool -K "$IF" tx off rx off
check ping-unoffloaded pinged -s 1000 "$PEER"
check tcp-unoffloaded iperf
check checksum-on ethtool -K "$IF" tx on rx on
check mtu ip link set "$IF" mtu 1400
check ping-after-mtu pinged -s 1300 "$PEER"
n=0; while [ $n -lt 5 ]; do ip link set "$IF" down; ip link set "$IF" up; n=$((n+1)); done
check down-and-up ready; check ping-after-down-and-up pinged "$PEER"
check healthy-still healthy
check reload-5-times reloaded 5
check ping-after-reload pinged "$PEER"
dmesg | grep -iE 'ena .*(error|fail|timeout|reset)' | tail -5
ip link set "$IF" down; check unload rmmod ena
exit $fail
