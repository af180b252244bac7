# What a card's allowances look like from a stock driver: traffic held to them, and their counters by their names.
names="bw_in bw_out pps conntrack linklocal"
over() { counter "$1_allowance_exceeded"; }
named() { for n in $names; do [ -n "$(over $n)" ] || { echo "no $n"; return 1; }; done; }
# NAME... alone have grown since `mark`
mark() { for n in $names; do eval "was_$n=$(over $n)"; done; }
grown() { for n in $names; do eval "was=\$was_$n"; now=$(over $n); case " $* " in *" $n "*) [ "$now" -gt "$was" ];; *) [ "$now" = "$was" ];; esac || { echo "$n: $was, now $now"; return 1; }; done; }
# rate WORDS...: kbit/s that iperf3's receiver saw
rate() { iperf3 -c "$PEER" -t 3 -f k "$@" >/tmp/iperf 2>&1 || { cat /tmp/iperf; return 1; }; awk '/receiver/ {for (i = 2; i <= NF; i++) if ($i == "Kbits/sec") print int($(i-1))}' /tmp/iperf | tail -1; }
within() { got=$(rate "$@"); echo "$got kbit/s"; [ "$got" -ge "$low" ] && [ "$got" -le "$high" ]; }
limited() { spec=$1; shift; host allow "$spec" && mark; "$@"; }
echoes() { ping -n -q -i 0.02 -W 1 "$@" | sed -n 's/.* \([0-9]*\) \(packets \)*received.*/\1/p'; }
few() { most=$1; shift; got=$(echoes "$@"); echo "$got answers"; [ "$got" -ge 1 ] && [ "$got" -le "$most" ]; }
strangers() { left=6; while [ "$left" -gt 0 ]; do ping -n -q -c 1 -W 1 "$PEER6" >/dev/null && echo answered; left=$((left-1)); done; }
three_of_six() { got=$(strangers | wc -l); echo "$got answers"; [ "$got" = 3 ]; }

check probe load
check link-up set_up
check names named
check ping6 pinged "$PEER6"
mark
check unlimited-udp iperf -u -b 20M
check unlimited-tcp iperf
check unlimited-counts-nothing grown
low=5000 high=10500                      # of 10 Mbit/s; an emulated guest on a busy machine may be slower than that
check bw-out limited bw-out=10M within -u -b 40M -l 1400
check bw-out-counted grown bw_out
check bw-in limited bw-in=10M within -R -u -b 40M -l 1400
check bw-in-counted grown bw_in
check bw-out-tcp limited bw-out=10M within
check bw-out-tcp-counted grown bw_out
low=300 high=880                         # 500 packets a second of 200 bytes
check pps limited pps=500 within -u -b 20M -l 200
check pps-counted grown pps
check linklocal limited linklocal=10 few 40 -c 100 "$PEER"
check linklocal-counted grown linklocal
check conntrack limited conntrack=3 three_of_six
check conntrack-counted grown conntrack
if [ -n "$(counter conntrack_allowance_available)" ]; then
    check none-left [ "$(counter conntrack_allowance_available)" = 0 ]
else
    cannot none-left "this driver asks for the first five only"
fi
check numbers-are-the-cards host counted $(for n in $names; do over $n; done)
check unlimited-again limited "" pinged "$PEER6"
check unlimited-again-counts-nothing grown
check healthy healthy
check tx-drops [ "$(cat /sys/class/net/$IF/statistics/tx_dropped)" -gt 0 ]
exit $fail
