#!/bin/sh
# Guest script: what an operator of an unmodified ena driver does in a day. One "ok NAME" or "FAIL NAME" line each.
# Needs the peer 169.254.9.1 with an iperf3 server; PING6 of fd09::1.
fail=0
check() { name=$1; shift; if "$@" >/tmp/out 2>&1; then echo "ok $name"; else echo "FAIL $name: $(tail -2 /tmp/out | tr '\n' ' ')"; fail=1; fi; }
ready() { n=0; while [ $n -lt 100 ] && [ "$(cat /sys/class/net/"$1"/carrier 2>/dev/null)" != 1 ]; do sleep 0.1; n=$((n+1)); done; [ "$(cat /sys/class/net/"$1"/carrier)" = 1 ]; }
probed() { n=0; while [ $n -lt 100 ]; do set -- /sys/bus/pci/drivers/ena/*/net/*; [ -e "$1" ] && return 0; sleep 0.1; n=$((n+1)); done; return 1; }
set_up() { set -- /sys/bus/pci/drivers/ena/*/net/*; IF=${1##*/}; ip addr add 169.254.9.2/24 dev "$IF" && ip -6 addr add fd09::2/64 dev "$IF" nodad && ip link set "$IF" up && ready "$IF"; }
pinged() { /bin/ping -n -q -i 0.05 -c 10 -W 2 "$@" | grep -q ' 0% packet loss'; }
iperf() { iperf3 -c 169.254.9.1 -t 2 -J "$@" >/tmp/iperf && grep -q '"bytes":[[:space:]]*[1-9]' /tmp/iperf; }
healthy() { # every error counter of the driver is 0
    ! ethtool -S "$IF" | grep -E '(total_resets|reset_fail|tx_timeout|wd_expired|bad_|missing|malformed|invalid|admin_to|lost_interrupt|missed_tx|csum_bad|no_completion|_err)[^:]*: [1-9]'
}
reloaded() { left=$1; while [ $left -gt 0 ]; do rmmod ena && insmod /mods/ena.ko && probed || return 1; left=$((left-1)); done; set_up; }

check probe insmod /mods/ena.ko; check netdev probed
check link-up set_up
check ping4 pinged 169.254.9.1
check ping6 pinged fd09::1
check ping-large pinged -s 1400 169.254.9.1
check tcp-out iperf
check tcp-in iperf -R
check udp iperf -u -b 20M
check healthy healthy
for view in i g k l x S c; do check "ethtool-$view" ethtool -$view "$IF"; done
check channels ethtool -L "$IF" combined 1
check ring-sizes ethtool -G "$IF" rx 512 tx 256
check coalescing ethtool -C "$IF" adaptive-rx off rx-usecs 50 tx-usecs 100
check checksum-off ethtool -K "$IF" tx off rx off
check ping-unoffloaded pinged -s 1000 169.254.9.1
check tcp-unoffloaded iperf
check checksum-on ethtool -K "$IF" tx on rx on
check mtu ip link set "$IF" mtu 1400
check ping-after-mtu pinged -s 1300 169.254.9.1
n=0; while [ $n -lt 5 ]; do ip link set "$IF" down; ip link set "$IF" up; n=$((n+1)); done
check down-and-up ready "$IF"; check ping-after-down-and-up pinged 169.254.9.1
check healthy-still healthy
check reload-5-times reloaded 5
check ping-after-reload pinged 169.254.9.1
dmesg | grep -iE 'ena .*(error|fail|timeout|reset)' | tail -5
ip link set "$IF" down; check unload rmmod ena
exit $fail
