# The card's PTP clock: the driver is told to use it, and a program reads it. Needs /phctime, and the host commands `before` and `told`.
enabled() { devlink dev param set "$DEVICE" name enable_phc value true cmode driverinit && devlink dev reload "$DEVICE" && until_true 50 named; }
named() { grep -q ena-ptp /sys/class/ptp/ptp0/clock_name; }
read_once() { host before && time=$(/phctime /dev/ptp0) && host told "$time"; }
read_often() { for _ in 1 2 3 4 5; do read_once || return 1; done; }
counted() { mount -t debugfs none /sys/kernel/debug; cat /sys/kernel/debug/0000:*/phc_stats; grep -q 'phc_err_dv: 0' /sys/kernel/debug/0000:*/phc_stats; }

check probe load
DEVICE=$(devlink dev | head -1)
if devlink dev param show "$DEVICE" name enable_phc >/dev/null 2>&1; then
    check clock-enabled enabled
    check clock-tells-the-hosts-time read_often
    check clock-counted counted
else
    cannot clock-enabled "this driver does not know the PHC"
fi
check link set_up
check ping pinged "$PEER"
exit $fail
