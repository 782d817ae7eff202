# A study in config.yaml becomes one table of runs, and from it every figure and one report.
import gc
import json
import logging
import os
import re
import shlex
import signal
import sys
from functools import cache, partial
from hashlib import sha256
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version, update_config

min_version("9.27")

# Modules and jobs stay to the end: to look for garbage among them takes a fifth of planning.
gc.freeze()
gc.set_threshold(100_000)

# What Snakemake keeps may be of another user, whose folder this is.
for folder in (Path.cwd(), Path.cwd() / ".snakemake"):
    if workflow.is_main_process and folder.exists() and not os.access(folder, os.W_OK):
        raise WorkflowError(
            f"{folder}: cannot be written to; expected a folder for results (--directory FOLDER)"
        )

# The project's folder, also where another Snakefile has this one as a module.
source = workflow.current_basedir
HERE = Path(str(source))
if hasattr(source, "hosted_repo"):
    # Of `github(...)` Snakemake gets single files, as it reads them; programs run from a clone.
    repository = source.hosted_repo.repo
    commit = str(repository.commit(source.ref))
    clone = Path(".snakemake", "kancore", commit).absolute()
    if not clone.exists():
        part = f"{clone}.{os.getpid()}"
        repository.clone(part).git.checkout(commit)
        os.rename(part, clone)
    HERE = clone / source.path

# Not `configfile:`, which is skipped in a module that is given a config of its own.
defaults = yaml.load(
    (HERE / "config.yaml").read_text(encoding="utf-8"),
    getattr(yaml, "CSafeLoader", yaml.SafeLoader),  # in C, where libyaml is there
)
update_config(defaults, config)
config = defaults

# The kancore beside this file is the one whose code is digested, and that jobs import. It alone is
# looked for here, where files may be named as modules of Python.
sys.path.insert(0, str(HERE))
import kancore

sys.path.remove(str(HERE))

from kancore import networks, objectives, status
from kancore.data.known import BUNDLED, PUBLISHED, prepared_name, shareable
from kancore.data.raw_files import rows_name
from kancore.data.own_files import data_files
from kancore.figures.declared import FIGURES
from kancore.machine import memory, slurm
from kancore.machine.checksums import content_digest
from kancore.machine.files import HOPELESS, write_atomically, write_json
from kancore.machine.locks import lock
from kancore.machine.messages import shown
from kancore.machine.provenance import keep_what_was_read, planned_digest, set_environment
from kancore.studies import changes, experiments, plans, trials
from kancore.studies.config import ConfigError, resolve
from kancore.studies.settings import SHARED
from kancore.training import resources


include: "rules/common.smk"
include: "rules/data.smk"
include: "rules/training.smk"
include: "rules/intrinsic_dimension.smk"
include: "rules/efficiency.smk"
include: "rules/claims.smk"
include: "rules/audit.smk"
include: "rules/stability.smk"
include: "rules/inspection.smk"
include: "rules/figures.smk"
include: "rules/report.smk"
include: "rules/bench.smk"


keep_what_was_read()


# In place of Snakemake's own lock, which a run that is killed leaves behind.
onstart:
    global running
    running = lock(Path(".snakemake", "running.lock"))
    if running is None:
        raise WorkflowError(f"another snakemake is at work in {Path.cwd()}")
    # Snakemake's own limit of 100 new jobs a second looks for jobs every second, and as often again
    # for each job that has ended, which takes a core after some hundred. Other limits stay.
    limit = workflow.scheduler.job_rate_limiter
    if limit is not None and (limit.max_jobs, limit.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None
    # Only executors know a job's number in Slurm: in Snakemake's records the job replaces it by none.
    for executor in {workflow.scheduler._executor, workflow.scheduler._local_executor} - {None}:
        executor.report_job_error = partial(after_failure, executor.report_job_error)
    signal.signal(signal.SIGINT, interrupted)
    keep_what_was_read()  # also what jobs reach by their parameters
    plan, planned = Path(OUT, "plan.json"), plans.by_path(JOBS, LANDSCAPES)
    now = {path: plans.digest(each, STUDY.settings["data"]) for path, each in planned.items()}
    made = {os.path.dirname(file) for job in workflow.dag.needrun_jobs() for file in job.output}
    again = [path for path in now if f"{OUT}/jobs/{path}" in made and trained(path)]
    called = {*workflow.config_settings.config} - {"study", "name", "replace"}
    before, left_before = plans.read_plan(plan)
    known = {**left_before, **before}
    left_out = {path: known[path] for path in known if path not in now and trained(path)}
    try:
        if not STUDY.settings["replace"]:
            newly = [path for path in left_out if path in before]
            plans.check_replaced(STUDY, known, now, again, newly, called)
        work = {
            path: sum(resources.work(*each) for each in sized(getattr(job, "sweeps", [job])))
            for path, job in planned.items()
        }
        write_json(plan, {"jobs": now, "work": work, "left_out": left_out})
    except (ConfigError, OSError) as error:
        raise WorkflowError(str(error))


onsuccess:
    if Path(OUT, "report.html").exists():
        print(f"study {STUDY.name}: the report is {Path(OUT, 'report.html').absolute()}")


onerror:
    again = "call snakemake again to go on, from the last checkpoints."
    if logging.root.manager.disable:  # by Ctrl-C
        ended = sum(map(trained, JOBS))
        print(f"study {STUDY.name}: {ended} of {len(JOBS)} training jobs are finished; {again}")
    else:
        print(
            f"study {STUDY.name}: not finished. The last line of each log above says why a job "
            f"failed; {again}"
        )


localrules:
    all,


rule all:
    # All files that docs/study.md lists but data and jobs, so that one that is deleted comes back.
    # Those two are made again where something needs them, and to make them is to train again.
    input:
        expand(
            rules.tables.output,
            experiment=[*dict.fromkeys(job.experiment for job in JOBS.values())],
        ),
        sorted({f"{OUT}/{job.choice}" for job in JOBS.values() if job.choice}),
        KEPT,
        rules.inspection.output if KEPT else [],
        rules.intrinsic_dimension.output,
        rules.efficiency.output,
        rules.claims.output,
        rules.audit.output if tables_of("audit", "runs") else [],
        rules.stability.output if tables_of("stability", "runs") else [],
        expand(f"{OUT}/figures/{{figure}}.{{kind}}", figure=REPORTED, kind=["png", "svg", "pdf"]),
        rules.report.output,
