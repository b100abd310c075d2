# First process of the guest once its root stands: runs the command, tells its status on the second serial line, switches off.
# shellcheck shell=bash
stty -onlcr </dev/console
stty raw -echo </dev/ttyS1
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb LANG=C.UTF-8
read -r up _ </proc/uptime
echo "test-vm: Linux $(uname -r) is up after $up s"
echo started >/dev/ttyS1
# Through a pipe: programs that see a terminal would paint on it. In a session of its own: what the command stops is not this process.
exec 3> >(exec cat)
printer=$!
setsid --wait bash /.vm/command >&3 2>&1
status=$?
exec 3>&-
# What the command left running may hold the pipe open.
for _ in $(seq 20); do
  kill -0 "$printer" 2>/dev/null || break
  sleep 0.1
done
read -r up _ </proc/uptime
echo "test-vm: exit status $status after $up s"
echo "exit $status" >/dev/ttyS1
sync
# What the file system still asks for now comes too late, and is of no interest.
/.vm/busybox dmesg -n 1
/.vm/busybox poweroff -f
