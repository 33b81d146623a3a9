#!/usr/bin/env bash
# A real Slurm cluster of several virtual nodes (n1, n2, ...) on one Debian machine, for tests and for trying things out.
#
#   cluster.sh up [NODES=4] [CPUS=16]   install what is missing, start what is not running, wait until all nodes are idle
#   cluster.sh down                     end all jobs, stop everything, remove every file
#   cluster.sh cut NODE...              the power of these nodes fails: everything on them dies at once
#   cluster.sh boot NODE...             and comes back
#   cluster.sh env                      print what a shell needs: eval "$(cluster.sh env)"
#
# It needs root and apt, and neither systemd nor cgroups nor a network: everything listens on loopback (README.md). What it
# writes lies in $PAPYMPI_CLUSTER (/var/tmp/papympi-cluster), but for a line in /etc/hosts that `down` takes away again.
# Exit codes: 0 done, 1 failed, 2 wrong use, 3 this machine cannot have one.
set -euo pipefail

root=${PAPYMPI_CLUSTER:-/var/tmp/papympi-cluster}
port=${PAPYMPI_CLUSTER_PORT:-17800}
mark='# papympi-cluster'
packages=(slurmctld slurmd slurm-client munge)
export SLURM_CONF=$root/slurm.conf

fail() {
    echo "cluster.sh: $2" >&2
    exit "$1"
}

# patiently COMMAND...: repeat it until it succeeds, for at most a minute
patiently() {
    local deadline=$((SECONDS + 60))
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < deadline)) || return 1
        sleep 0.1
    done
}

# runs PIDFILE: is this daemon of ours alive? (A number alone may be a zombie's or a stranger's.)
runs() {
    [[ -s $1 && $(readlink "/proc/$(<"$1")/exe") == */@(slurm|munge)* ]]
}

# ---- install ---------------------------------------------------------------------------------------------------------

install_packages() {
    dpkg -s "${packages[@]}" >/dev/null 2>&1 && return
    export DEBIAN_FRONTEND=noninteractive
    local options=(-qq --no-install-recommends -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120)
    if ! { apt-get update -qq && apt-get install "${options[@]}" "${packages[@]}"; } >"$root/apt.log" 2>&1; then
        tail -n 20 "$root/apt.log" >&2
        fail 1 "apt could not install ${packages[*]}"
    fi
}

# ---- configure -------------------------------------------------------------------------------------------------------

# Daemons and srun listen on the address of their host's name, and MPI looks peers up: all names lead to loopback.
write_hosts() {
    local names others
    printf -v names ' n%d' $(seq "$nodes")
    names="127.0.0.1 localhost $(hostname)$names $mark"
    grep -qxF "$names" /etc/hosts && return
    others=$(grep -v "$mark\$" /etc/hosts || true)
    printf '%s\n%s\n' "$names" "$others" >/etc/hosts # not by a new file: it may be mounted
}

# What tasks find in their environment: MPI between two nodes of one machine would listen on its network card.
write_prolog() {
    cat >"$root/prolog.sh" <<'END'
#!/bin/sh
for variable in FI_TCP_IFACE UCX_NET_DEVICES OMPI_MCA_btl_tcp_if_include HYDRA_IFACE; do
    echo "export $variable=lo"
done
echo export MPIR_CVAR_CH4_NETMOD=ofi
END
    chmod +x "$root/prolog.sh"
}

# The reasons for what is not obvious are in README.md.
write_config() {
    local memory
    memory=$(awk '/^MemTotal/ {print int($2 / 1024)}' /proc/meminfo)
    cat <<END
ClusterName=papympi
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort=$port
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=cred_expire=5
StateSaveLocation=$root/state
SlurmctldPidFile=$root/slurmctld.pid
SlurmctldLogFile=$root/slurmctld.log
SlurmdPidFile=$root/%n/slurmd.pid
SlurmdLogFile=$root/%n/slurmd.log
SlurmdSpoolDir=$root/%n/spool
TmpFS=$root/%n/tmp
TaskProlog=$root/prolog.sh
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
MpiDefault=none
ReturnToService=2
SlurmdTimeout=${SLURMD_TIMEOUT:-30}
MessageTimeout=30
KillWait=5
MinJobAge=86400
NodeName=n[1-$nodes] NodeAddr=127.0.0.1 Port=[$((port + 1))-$((port + nodes))] CPUs=$cpus RealMemory=$memory
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
}

configure() {
    local new
    new=$(write_config)
    if [[ -e $SLURM_CONF && $new != "$(<"$SLURM_CONF")" ]] && runs "$root/slurmctld.pid"; then
        fail 1 "a cluster with other settings is running: cluster.sh down first"
    fi
    printf '%s\n' "$new" >"$SLURM_CONF"
    for ((i = 1; i <= nodes; i++)); do
        mkdir -p "$root/n$i/spool" "$root/n$i/tmp"
    done
    write_prolog
    write_hosts
}

# ---- start and wait --------------------------------------------------------------------------------------------------

start_munge() {
    munge -n >/dev/null 2>&1 && return
    [[ -s /etc/munge/munge.key ]] || mungekey --create
    chown munge:munge /etc/munge/munge.key
    chmod 600 /etc/munge/munge.key
    install -d -o munge -g munge -m 755 /run/munge
    runuser -u munge -- munged --force </dev/null >"$root/munged.out" 2>&1
    patiently munge -n || fail 1 "munged does not answer: $(<"$root/munged.out")"
    cp /run/munge/munged.pid "$root/munged.pid" # ours to stop
}

start_controller() {
    runs "$root/slurmctld.pid" || slurmctld -i </dev/null >"$root/slurmctld.out" 2>&1
}

# Each node has a UTS namespace: that gives it its host name, and says which processes are on it.
start_node() {
    runs "$root/$1/slurmd.pid" && return
    # shellcheck disable=SC2016 # the inner shell expands it
    unshare --uts sh -c 'hostname "$1"; readlink /proc/self/ns/uts >>"$2"; exec slurmd -N "$1"' \
        sh "$1" "$root/$1/uts" </dev/null >"$root/$1/slurmd.out" 2>&1
}

# shellcheck disable=SC2317 # called by name
all_ready() {
    local ready
    ready=$(sinfo -h -N -t idle,mixed,allocated -o %T)
    [[ $(grep -vc '\*' <<<"$ready") == "$nodes" ]]
}

wait_until_ready() {
    patiently all_ready && return
    sinfo >&2 || true
    tail -n 20 "$root/slurmctld.log" "$root"/n*/slurmd.log >&2
    fail 1 "not all of the $nodes nodes came up"
}

up() {
    ((EUID == 0)) || fail 3 "a cluster needs root"
    type apt-get >/dev/null 2>&1 || fail 3 "a cluster needs apt, to install Slurm"
    mkdir -p "$root/state"
    install_packages
    configure
    start_munge
    start_controller
    for ((i = 1; i <= nodes; i++)); do
        start_node "n$i"
    done
    wait_until_ready
}

# ---- stop ------------------------------------------------------------------------------------------------------------

# kill_spaces FILE...: SIGKILL to all processes in the UTS namespaces that these files name, until none is left
kill_spaces() {
    local process space found=1 own doomed
    own=$(readlink /proc/self/ns/uts)
    doomed=" $(cat "$@" | tr '\n' ' ') "
    while [[ -n $found ]]; do # what is killed may just have had a child
        found=
        for process in /proc/[0-9]*; do
            space=$(readlink "$process/ns/uts") || continue # a zombie has none
            if [[ $space != "$own" && $doomed == *" $space "* ]]; then
                kill -9 "${process#/proc/}" 2>/dev/null && found=1
            fi
        done
    done
    rm "$@"
}

stop_daemon() {
    local pid
    runs "$1" || return 0
    pid=$(<"$1")
    kill "$pid"
    for ((i = 0; i < 100; i++)); do
        [[ -e /proc/$pid/exe ]] || return 0 # gone, or a zombie
        sleep 0.1
    done
    kill -9 "$pid" 2>/dev/null || true
}

down() {
    shopt -s nullglob
    local spaces=("$root"/n*/uts) others
    ((${#spaces[@]} == 0)) || kill_spaces "${spaces[@]}"
    stop_daemon "$root/slurmctld.pid"
    stop_daemon "$root/munged.pid"
    if grep -q "$mark\$" /etc/hosts; then
        others=$(grep -v "$mark\$" /etc/hosts)
        printf '%s\n' "$others" >/etc/hosts
    fi
    rm -rf "$root"
}

cut_power() {
    for node; do
        [[ -e $root/$node/uts ]] || fail 2 "there is no running node $node"
        kill_spaces "$root/$node/uts"
    done
}

boot() {
    for node; do
        [[ -d $root/$node ]] || fail 2 "there is no node $node"
        start_node "$node"
    done
    nodes=$(sinfo -h -N -o %N | sort -u | wc -l)
    patiently all_ready || fail 1 "not all nodes are up"
}

shopt -s extglob
command=${1:-}
shift || true
case $command in
    up)
        nodes=${1:-4} cpus=${2:-16}
        up
        ;;
    down) down ;;
    cut) cut_power "$@" ;;
    boot) boot "$@" ;;
    env) printf 'export SLURM_CONF=%q\n' "$SLURM_CONF" ;;
    *) fail 2 "up [NODES] [CPUS], down, cut NODE..., boot NODE... or env" ;;
esac
