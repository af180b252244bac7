# Frames of every common kind, both ways.
seq 1 100000 >/tmp/text
outward() { nc "$1" 7000 </tmp/text >/dev/null; }
inward() { nc "$1" 7001 </dev/null >/tmp/came && cmp /tmp/came /tmp/text; }
probe() { load && host probed && ethtool -i "$IF" | grep -x 'driver: ena'; }
pings() { host begin && pinged "$PEER" && pinged "$PEER6" && host saw-pings 10; }
tcp() { for peer in "$PEER" "$PEER6"; do host begin && outward "$peer" && host took-stream "${1:-1500}" && inward "$peer" || return 1; done; iperf && iperf -R; }
udp() {
    marked && pinged "$PEER" && compared agrees || return 1
    host begin && iperf3 -u -c "$PEER" --repeating-payload -l 1000 -k 100 -b 4M && host saw-datagrams 100 1000 &&
        iperf3 -u -R -J -c "$PEER" -l 1000 -k 100 -b 4M >/tmp/iperf && grep -q '"lost_packets":[[:space:]]*0' /tmp/iperf
}
jumbo() {
    ip link set "$IF" mtu 9001 && host begin && pinged -M do -s 8973 "$PEER" && pinged -M do -s 8953 "$PEER6" &&
        host saw-pings 10 8973 8953 9001 && tcp 9001 && ip link set "$IF" mtu 1500
}
view() { ethtool "-$1" "$IF" | tee /tmp/view | grep -q "$2" || { cat /tmp/view; echo "-$1 says nothing of $2"; return 1; }; }
views() {
    view i 'bus-info: 0000:' && view l 'Combined:.*[1-9]' && view g 'RX:.*1024' && view k 'rx-checksumming: on' &&
        view x 'toeplitz: on' && view c 'rx-usecs:' && view S 'queue_0_tx_cnt: [1-9]' && view S 'ena_admin_q_completed_cmd: [1-9]'
}

check probe probe
check ready set_up
check ping pings
check tcp tcp
check udp udp
check jumbo jumbo
check views views
check healthy healthy
dmesg | grep -iE 'ena .*(error|fail|timeout|reset)' | tail -5
exit $fail
