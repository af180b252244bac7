# Guest script: a machine behind a firewall, 192.168.50.2 and .1; the server PEER lies beyond the firewall's other nic.
# host large BYTES: packets from here reached the firewall, BYTES long on average. host forwarded: a connection from outside, both ways.
# With SHORT the machine is killed in its youth.
addresses() { ip addr add 192.168.50.2/24 dev "$IF"; }
routed() { ip route add default via 192.168.50.1; }
called() { echo | nc -w 5 "$PEER" "$1" >/tmp/called && grep -q "^$2 " /tmp/called; }
denied() { ! nc -w 2 "$PEER" "$1" </dev/null; }
large() { host large 0 && iperf && host large 2000; }
listening() { netstat -ltn | grep -q ":$1 "; }
forwarded() { nc -l -p 7000 -e cat & until_true 50 listening 7000 && host forwarded; }
largest() { [ "$(cat /sys/class/net/"$IF"/mtu)" = 1500 ] && ip link set "$IF" mtu 1600 && ! ip link set "$IF" mtu 1601; }

check probe load
check link-up set_up
check route routed
check ping-firewall pinged 192.168.50.1
check ping pinged "$PEER"
check masqueraded called 7001 203.0.113.7
if [ -n "$SHORT" ]; then host dying; sleep 300; fi
check denied denied 7002
check tcp-out-in-large-packets large
check tcp-in iperf -R
check udp iperf -u -b 20M
check forwarded forwarded
check mtu largest
check ping-after-mtu pinged -s 1500 "$PEER"
check reload host reload
check ping-after-reload pinged "$PEER"
check healthy healthy
check seen host seen "$(uname -r)"
ip link set "$IF" down
check down host link down
ip link set "$IF" up
check up host link up
check ended host ended
exit $fail
