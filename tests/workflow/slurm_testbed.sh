#!/usr/bin/env bash
# slurm_testbed.sh: a real Slurm of one node on this machine, for tests.
#
#   slurm_testbed.sh install       Debian's packages (root, apt); their services are not started
#   slurm_testbed.sh start FOLDER  write the configuration below FOLDER and start the daemons
#   slurm_testbed.sh stop FOLDER   cancel the jobs and end the daemons that start has started
#
# All files are below FOLDER, an absolute path without blanks; /etc and /run stay as they are.
# `. FOLDER/env.sh` puts sbatch and its like on PATH. Needs root; no systemd, cgroups or database.
set -euo pipefail

PACKAGES=(munge slurmctld slurmd slurm-client)
NODE=node0
CPUS=4   # may be more than there are
GPUS=4   # further names of /dev/null
PORT=${TESTBED_PORT:-17810}

export PATH=$PATH:/usr/sbin:/sbin
die() { echo "slurm_testbed: $*" >&2; exit 1; }

install_packages() {
  command -v munged slurmctld slurmd sbatch >/dev/null && return
  [ "$(id -u)" = 0 ] || die "installing ${PACKAGES[*]} needs root"
  # apt would start the services: forbid it for as long as it runs.
  local policy=/usr/sbin/policy-rc.d
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${PACKAGES[@]}" >/dev/null
}

configure() {
  local user host memory addresses= gpu
  user=$(id -un) host=$(hostname -s)
  memory=$(awk '/^MemTotal/{print int($2 / 1024)}' /proc/meminfo)
  # Listen on loopback only, which Slurm can do where this host's name is an address of it.
  if getent ahostsv4 "$host" | grep -q '^127\.'; then
    addresses=CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
  fi
  mkdir -p "$DIR"/{bin,dev,etc,log,run,state,spool}
  chmod 755 "$DIR" "$DIR/run"
  [ -s "$DIR/etc/munge.key" ] || (umask 077 && head -c 128 /dev/urandom >"$DIR/etc/munge.key")
  for ((gpu = 0; gpu < GPUS; gpu++)); do
    [ -c "$DIR/dev/gpu$gpu" ] || mknod "$DIR/dev/gpu$gpu" c 1 3
  done
  cat >"$DIR/etc/gres.conf" <<CONF
AutoDetect=off
Name=gpu File=$DIR/dev/gpu[0-$((GPUS - 1))] Flags=nvidia_gpu_env
CONF
  cat >"$SLURM_CONF" <<CONF
ClusterName=testbed
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$PORT
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
# A requeued job waits for cred_expire, 120 s by default, before it starts again.
AuthInfo=socket=$DIR/run/munge.socket,cred_expire=5
$addresses
SrunPortRange=$((PORT + 100))-$((PORT + 299))
StateSaveLocation=$DIR/state
SlurmdSpoolDir=$DIR/spool
SlurmctldPidFile=$DIR/run/slurmctld.own.pid
SlurmdPidFile=$DIR/run/slurmd.own.pid
SlurmctldLogFile=$DIR/log/slurmctld.log
SlurmdLogFile=$DIR/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
# Memory is enforced, without cgroups: what all processes of a step have is added up.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
MailProg=/bin/true
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
ReturnToService=2
InactiveLimit=0
KillWait=30
# Ended jobs must be in the queue for as long as Snakemake may take to ask for them.
MinJobAge=3600
JobRequeue=1
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
GresTypes=gpu
NodeName=$NODE NodeHostname=$host NodeAddr=127.0.0.1 Port=$((PORT + 10)) CPUs=$CPUS RealMemory=$memory Gres=gpu:$GPUS
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
  # The plugin takes SLURM_CONF out of the environment of its jobs: put it back for each command.
  printf '#!/bin/sh\nSLURM_CONF=%s exec /usr/bin/"${0##*/}" "$@"\n' "$SLURM_CONF" >"$DIR/bin/sbatch"
  chmod 755 "$DIR/bin/sbatch"
  for command in scancel scontrol sinfo squeue srun; do
    ln -sf sbatch "$DIR/bin/$command"
  done
  echo "export PATH=$DIR/bin:\$PATH" >"$DIR/env.sh"
}

launch() { # NAME COMMAND...: start a daemon, remembering its pid and when it started
  local name=$1
  shift
  (cd "$DIR" && exec setsid "$@" >>"$DIR/log/$name.out" 2>&1 </dev/null) &
  echo "$! $(ps -o lstart= -p $!)" >"$DIR/run/$name.pid"
}

alive() { # NAME: is the process that was launched under this name still there, and no other?
  local pid started
  read -r pid started <"$DIR/run/$1.pid" 2>/dev/null && [ "$(ps -o lstart= -p "$pid")" = "$started" ]
}

wait_for() { # COMMAND...: until it succeeds
  local end=$((SECONDS + 60))
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || die "no success of '$*'; see $DIR/log"
    sleep 0.1
  done
}

node_idle() { [ "$(timeout 5 sinfo -h -t idle -o %D)" = 1 ]; }

start() {
  configure
  launch munged munged --foreground --key-file="$DIR/etc/munge.key" \
    --socket="$DIR/run/munge.socket" --pid-file="$DIR/run/munged.own.pid" \
    --log-file="$DIR/log/munged.log" --seed-file="$DIR/state/munge.seed"
  wait_for munge -n -S "$DIR/run/munge.socket"
  launch slurmctld slurmctld -D -f "$SLURM_CONF"
  launch slurmd slurmd -D -N $NODE -f "$SLURM_CONF"
  wait_for node_idle
}

stop() {
  local name jobs pid
  jobs=$(timeout 10 squeue -h -o %A || true)
  if [ -n "$jobs" ]; then
    scancel --signal=KILL --full $jobs || true
    wait_for sh -c '[ -z "$(squeue -h -o %A)" ]'
  fi
  for name in slurmd slurmctld munged; do
    if alive $name; then
      read -r pid _ <"$DIR/run/$name.pid"
      kill "$pid"
      wait_for sh -c "! kill -0 $pid"
    fi
  done
}

case ${1:-} in
  install) install_packages ;;
  start | stop)
    DIR=${2:?which folder?}
    [[ $DIR = /* && $DIR != *[[:space:]]* ]] || die "not an absolute path without blanks: $DIR"
    export SLURM_CONF=$DIR/etc/slurm.conf
    "$1"
    ;;
  *) sed -n '2,/^set -euo/{/^set -euo/d;s/^# \{0,1\}//;p}' "$0" && exit 64 ;;
esac
