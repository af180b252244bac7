# The interface and its driver come, change and go.
seq 1 100000 >/tmp/text
outward() { nc "$1" 7000 </tmp/text >/dev/null; }
moves() { host begin && outward "$PEER" && host took-stream; }
up_count() { counter interface_up; }
BDF=$(for d in /sys/bus/pci/devices/*; do [ "$(cat $d/vendor)" = 0x1d0f ] && echo "${d##*/}"; done | head -1)
DEVICE=/sys/bus/pci/devices/$BDF

mtu() {
    iperf3 -c "$PEER" -t 4 -J >/tmp/one & one=$!
    until_true 100 grows tx; for size in 1300 4000 600 1300; do ip link set "$IF" mtu $size && grows tx || return 1; done
    wait $one && grep -q '"bytes":[[:space:]]*[1-9]' /tmp/one || return 1
    iperf3 -R -c "$PEER" -t 4 -J >/tmp/one & one=$!
    until_true 100 grows rx; for size in 1400 9001 1300; do ip link set "$IF" mtu $size && grows rx || return 1; done
    wait $one && grep -q '"bytes":[[:space:]]*[1-9]' /tmp/one || return 1
    pinged -M do -s 1272 "$PEER" && host begin && { /bin/ping -n -q -c 1 -W 1 -s 3000 "$PEER"; host largest 1314; } && ip link set "$IF" mtu 1500 && moves && healthy
}
# more than a trickle of packets passes
grows() { p=$(cat /sys/class/net/$IF/statistics/$1_packets); until_true 100 grown "$1" "$p"; }
grown() { [ "$(cat /sys/class/net/$IF/statistics/$1_packets)" -gt $(($2+50)) ]; }
down_up() {
    times=0; while [ $times -lt 5 ]; do ip link set "$IF" down && ip link set "$IF" up && ready && pinged "$PEER" || return 1; times=$((times+1)); done
    ip -6 addr add "fd09::$N/64" dev "$IF" nodad && pinged "$PEER6" && moves && healthy
}
reload() {
    host remember && left=20; while [ $left -gt 0 ]; do rmmod ena && load && interfaces 1 || return 1; left=$((left-1)); done
    set_up && moves && healthy && host unloads 20
}
flr_bound() {
    u=$(up_count) && host remember && echo 1 >"$DEVICE/reset" && until_true 400 pinged1 && until_true 100 ready && moves && host function-resets || return 1
    echo "interface_up $u..$(up_count)"; [ "$(up_count)" -gt "$u" ]
}
pinged1() { /bin/ping -n -q -c 1 -W 1 "$PEER" | grep -q ' 0% packet loss'; }
flr_unbound() {
    echo "$BDF" >/sys/bus/pci/drivers/ena/unbind && ! [ -e "$DEVICE/driver" ] && host remember && echo 1 >"$DEVICE/reset" && host function-resets &&
        echo "$BDF" >/sys/bus/pci/drivers/ena/bind && probed && set_up && moves && healthy
}

load && set_up || { echo "FAIL life: no card"; exit 1; }
check mtu mtu
check down-up down_up
check reload reload
check flr-unbound flr_unbound
check flr-bound flr_bound
dmesg | grep -iE 'ena .*(error|fail|timeout|reset)' | tail -5
ip link set "$IF" down; check unload rmmod ena
exit $fail
