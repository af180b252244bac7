# What the card does for its driver: checksums, segmentation, spreading of flows, fewer interrupts. Needs four processors.
seq 1 100000 >/tmp/text
outward() { nc "$1" 7000 </tmp/text >/dev/null; }
bad() { counters 'queue_[0-9]*_rx_csum_bad'; }
good() { counters 'queue_[0-9]*_rx_csum_good'; }
refused() { awk '/^Udp:/ && !n { for (i = 1; i <= NF; i++) if ($i == "InCsumErrors") n = i; next } /^Udp:/ { print $n }' /proc/net/snmp; }
refused6() { sed -n 's/^Udp6InCsumErrors[[:space:]]*//p' /proc/net/snmp6; }
outgoing() { for peer in "$PEER" "$PEER6"; do host begin && outward "$peer" && host took-stream || return 1; done; host begin; pinged "$PEER" && pinged "$PEER6" && host saw-pings 10; }
# incoming BAD GOOD: of three wrong and five right datagrams of each IP the driver counts so many, and the stack takes no wrong one
incoming() {
    b=$(bad) g=$(good) r=$(refused) r6=$(refused6)
    host datagrams wrong 3 && host datagrams right 5 && until_true 50 came "$@"
    echo "bad $b..$(bad) good $g..$(good) refused $r..$(refused) $r6..$(refused6)"; came "$@"
}
came() { [ "$(bad)" = $((b+$1)) ] && [ "$(good)" -ge $((g+$2)) ] && [ "$(refused)" = $((r+3)) ] && [ "$(refused6)" = $((r6+3)) ]; }
checksums() { ethtool -K "$IF" tx "$1" rx "$1" && outgoing && incoming "$2" "$3"; }
segmentation() {
    ethtool -K "$IF" tso "$1" && ethtool -k "$IF" | grep -q "tcp-segmentation-offload: $1" || return 1
    for peer in "$PEER" "$PEER6"; do
        marked && outward "$peer" && host took-stream && if [ "$1" = on ]; then compared segmented; else compared agrees; fi || return 1
    done
}
key() { ethtool -x "$IF" | sed -n 's/^\(..:[0-9a-f:]*\)$/\1/p'; }
table() { ethtool -x "$IF" | sed -n 's/^  *[0-9]*: *//p' | tr -s ' \t\n' ','; }
rx() { for q in 0 1 2 3; do counter "queue_${q}_rx_cnt"; done; }
# each flow went where the hash and table that the driver shows send it; what isn't hashed goes to queue 0
spread() { set_before=$(rx) && wanted=$(host flows "$(key)" "$(table)") && until_true 50 spread_as $wanted; echo "before" $set_before "after" $(rx) "wanted" $wanted; spread_as $wanted; }
spread_as() { now=$(rx); q=0; for want; do a=$(echo "$set_before" | sed -n $((q+1))p) b=$(echo "$now" | sed -n $((q+1))p); [ $((b-a)) = "$want" ] || { [ $q = 0 ] && [ $((b-a)) -gt "$want" ]; } || return 1; q=$((q+1)); done; }
NEW_KEY=6d:5a:56:da:25:5b:0e:c2:41:67:25:3d:43:a3:8f:b0:d0:ca:2b:cb:ae:7b:30:b4:77:cb:2d:a3:80:30:f2:0c:6a:42:b7:3b:be:ac:01:fa
chosen() {
    set_rss hkey $NEW_KEY && [ "$(key)" = $NEW_KEY ] && spread && set_rss equal 2 && spread && [ "$(table | tr ',' '\n' | sort -u | grep -c .)" = 2 ] &&
        set_rss weight 1 2 3 4 && spread && set_rss hfunc toeplitz && set_rss default && spread
}
# an ethtool newer than its kernel sends a field that the kernel refuses: then the same request without that field
set_rss() { ethtool -X "$IF" "$@" || case "$1 $2" in
    hkey*) /setrss "$IF" key "$2" ;;
    hfunc*) /setrss "$IF" function 1 ;;
    equal*) /setrss "$IF" table "$(entries 0 1)" ;;
    weight*) /setrss "$IF" table "$(entries 0 1 1 2 2 2 3 3 3 3)" ;;
    default*) /setrss "$IF" default ;;
esac; }
entries() { n=0; while [ $n -lt 128 ]; do for queue; do [ $n -lt 128 ] && printf '%s,' "$queue"; n=$((n+1)); done; done; }
channels() { ethtool -L "$IF" combined 1 && ready && spread && ethtool -l "$IF" | tail -4 | grep -q 'Combined:[[:space:]]*1$' && ethtool -L "$IF" combined 4 && ready && spread; }
rings() { ethtool -G "$IF" rx 256 tx 512 && ready && ethtool -g "$IF" | tail -12 | grep -q 'RX:[[:space:]]*256$' && outgoing && ethtool -G "$IF" rx 1024 tx 1024 && ready && outgoing; }
interrupts() { awk '/Tx-Rx/ { for (i = 2; i <= NF && $i ~ /^[0-9]+$/; i++) n += $i } END { print n+0 }' /proc/interrupts; }
taken() { ethtool -C "$IF" adaptive-rx off rx-usecs "$1" && ethtool -c "$IF" | grep -q "^rx-usecs:[[:space:]]*$1$" && n=$(rx | head -1) && i=$(interrupts) && host drip 400 1000 && until_true 50 dripped && took=$(($(interrupts)-i)); }
dripped() { [ $(($(rx | head -1)-n)) -ge 400 ]; }
moderation() { taken 0 && quick=$took && taken 1000 && some=$took && taken 20000 && slow=$took; rc=$?; echo "interrupts for 400 frames: $quick without delay, $some with 1 ms, $slow with 20 ms"; [ $rc = 0 ] && [ "$slow" -gt 0 ] && [ $((slow*4)) -lt "$quick" ] && [ "$some" -le "$quick" ]; }

load && set_up || { echo "FAIL offloads: no card"; exit 1; }
check checksum-on checksums on 6 10
check checksum-off checksums off 0 0
ethtool -K "$IF" tx on rx on
check tso-on segmentation on
check tso-off segmentation off
ethtool -K "$IF" tso on
check rss spread
check rss-set chosen
check channels channels
check rings rings
check moderation moderation
dmesg | grep -iE 'ena .*(error|fail|timeout|reset)' | tail -5
exit $fail
