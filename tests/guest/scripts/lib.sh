# What every guest script may use; it stands before the script. A check is a command: `check NAME COMMAND WORDS...` prints its verdict.
dmesg -n 1      # the kernel's words stay in its log: they would break lines of ours
fail=0
check() { checked=$1; shift; if "$@" >/tmp/out 2>&1; then echo "ok $checked"; else echo "FAIL $checked: $(tail -3 /tmp/out | tr '\n' ' ')"; fail=1; fi; }
cannot() { echo "n/a $1: $2"; }
# host COMMAND WORDS...: have the lab do something, wait until it is done, print its answer
host() { echo "@@HOST $*" >/dev/console; read -r verdict answer </dev/console; echo "$answer"; [ "$verdict" = ok ]; }
until_true() { tries=$1; shift; while [ "$tries" -gt 0 ]; do "$@" && return 0; sleep 0.1; tries=$((tries-1)); done; return 1; }

# $IF is the interface under test, $N the last number of its address; a guest's first card gives the first interface
: "${N:=2}" "${PEER:=169.254.9.1}" "${PEER6:=fd09::1}"
probed() { until_true 100 interfaces "${1:-1}" >/dev/null; }
interfaces() { set -- "$1" $(for d in /sys/bus/pci/drivers/ena/*/net/*; do [ -e "$d" ] && echo "${d##*/}"; done); [ $(($# - 1)) -ge "$1" ] && shift && IF=$1 && echo "$@"; }
carrier() { [ "$(cat /sys/class/net/"$IF"/carrier 2>/dev/null)" = "${1:-1}" ]; }
ready() { until_true 150 carrier 1; }
load() { insmod /mods/ena.ko "$@" && probed; }
set_up() { interfaces 1 >/dev/null && addresses && ip link set "$IF" up && ready; }
addresses() { ip addr add "169.254.9.$N/24" dev "$IF" && ip -6 addr add "fd09::$N/64" dev "$IF" nodad; }
pinged() { /bin/ping -n -q -i 0.05 -c 10 -W 2 "$@" >/tmp/ping; grep -v '^$' /tmp/ping; grep -q ' 0% packet loss' /tmp/ping; }
iperf() { iperf3 -c "$PEER" -t 2 -J "$@" >/tmp/iperf && grep -q '"bytes":[[:space:]]*[1-9]' /tmp/iperf; }
counter() { ethtool -S "$IF" | sed -n "s/^ *$1: //p"; }
counters() { ethtool -S "$IF" | sed -n "s/^ *$1: //p" | { sum=0; while read -r n; do sum=$((sum+n)); done; echo $sum; }; }
# compared COMMAND: what was sent since `marked`, by the driver's count, against the port. A frame between the two counts is worth a second look.
sent() { counters "queue_[0-9]*_tx_$1"; }
marked() { until_true 50 mark; }
mark() { sent_frames=$(sent cnt) sent_bytes=$(sent bytes); host begin-quietly && [ "$(sent cnt)" = "$sent_frames" ]; }
compared() { until_true 5 compare "$1"; }
compare() { host "$1" $(($(sent cnt)-sent_frames)) $(($(sent bytes)-sent_bytes)); }
# every error counter of the driver is 0
healthy() { ! ethtool -S "$IF" | grep -E '(total_resets|reset_fail|tx_timeout|wd_expired|bad_|missing|malformed|invalid|admin_to|lost_interrupt|missed_tx|csum_bad|no_completion|_err)[^:]*: [1-9]'; }
