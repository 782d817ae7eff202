# What all rules share: the study, where its files go, how scripts are called.

try:
    STUDY = resolve(config)
    # Training jobs of all experiments, by path: experiment/name.
    JOBS = experiments.jobs(STUDY)
except ConfigError as error:
    raise WorkflowError(str(error))

OUT = f"results/{STUDY.name}"

# What is asked for of another study, no rule would make. Snakemake knows it later than this.
for option, target in zip(sys.argv, sys.argv[1:]) if workflow.is_main_process else ():
    folder, *inner = target.split("/")
    if folder == "results" and inner[1:] and not option.startswith("--"):
        if inner[0] not in {STUDY.name, *SHARED}:
            raise WorkflowError(
                f"{target}: this call is of the study {STUDY.name}; expected it with what "
                f"{inner[0]} was run with, such as --config study={inner[0]}"
            )

for name in STUDY.settings["datasets"] if workflow.is_main_process else ():
    file = STUDY.settings["data"]["own"].get(name)
    if file and not Path(file).exists():
        raise WorkflowError(
            f"config: data.own.{name} is {shown(file)!r}, and there is no such file"
        )

set_environment(Path(".snakemake", "code.json"), alone=workflow.modifier.is_main_snakefile())

# What networks of the user's own need: tried before anything is planned, with all parts of one's own,
# so that one that cannot train is one error.
try:
    OWN = trials.own_networks(
        STUDY, JOBS.values(), Path("results", "data"), Path(".snakemake", "own_models.json")
    )
except ConfigError as error:
    raise WorkflowError(str(error))

# To Slurm: a warning two minutes before a job's time limit, at which a job with checkpoints saves its
# state and puts itself back into the queue, and another says that it needs more time; and what a job
# writes goes to the end of Slurm's log. It stands in the rules of all jobs that are sent to a cluster.
WARNED = "--signal=URG@120 --open-mode=append"

# Whether jobs are sent to a cluster, or this is the snakemake of one there. Of executors nothing is
# known while rules are read; so it is told as Snakemake's scheduler tells it, by the number of jobs
# that may be in a queue, which is left out for this machine.
REMOTE = workflow.nodes is not None or workflow.remote_exec

# Jobs of this machine wait for one another's memory, and one that needs more gets all there is.
GIVEN = {"mem", "mem_mb"} & {*workflow.global_resources}
if workflow.is_main_process and not REMOTE and not GIVEN:
    workflow.register_resource("mem_mb", int(0.9 * memory.capacity_mb()))

GPU = STUDY.settings["device"] != "cpu"
# Whether jobs will find one: with `auto` that depends on where they run, and on a cluster each asks
# for one.
CUDA = GPU and (REMOTE or resources.GPU_HERE or STUDY.settings["device"] == "cuda")


# Before a job's log is written to. Snakemake removes it first, also where an earlier snakemake's job
# of that name still runs: so it is a link to a file that has all tries.
KEPT_LOG = 'ln -sf "$(basename {log:q}).all" {log:q} && '

# What a plan says that jobs ask for; rules with a message show no resources in one.
ASKED_FOR = "{threads} threads, {resources.mem_mb} MB, {resources.runtime} min"


def may_mend(job, number):
    """Whether a job that has failed, with its number in Slurm, may succeed if it is tried again."""
    for log in job.log:
        if Path(log).exists() and Path(log).read_text(errors="replace").endswith(f"{HOPELESS}\n"):
            return False
    return slurm.properties(number).get("JobState") != "CANCELLED"


def after_failure(tell, failed, **told):
    """Let Snakemake try a job again only if that may help; else its last try has been this one."""
    job = failed.job
    if not may_mend(job, failed.external_jobid):
        # Not by the property, which would have its resources computed again, for a later try.
        job._attempt = max(job.attempt, job.restart_times + 1)
    tell(failed, **told)


def interrupted(number, frame):
    """End at Ctrl-C in a few lines: jobs get it too, and their errors would be many."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    logging.disable()
    print(f"study {STUDY.name}: stopping; jobs save their state", flush=True)
    raise KeyboardInterrupt


def growing(amount, most=float("inf")):
    """A resource that is doubled at each retry."""
    return lambda wildcards, attempt: min(amount * 2 ** (attempt - 1), most)


def whole_job(process_mb):
    """MB of a job, of which a process takes some."""
    return process_mb + (memory.BESIDE_MB if REMOTE else 0)


DATA = STUDY.settings["data"]
# Data sets by the names of their prepared files, of this study's data sets and all others.
PREPARED = {prepared_name(name, DATA): name for name in (*PUBLISHED, *BUNDLED, *DATA["own"])}
# Rows that are enough of a table.
ROWS = {"higgs": sum(DATA["higgs"].values())}


def downloaded(name):
    """Paths of the raw files of a data set."""
    rows = ROWS.get(name)
    names = [rows_name(file, rows) if rows else file for file in PUBLISHED[name]]
    return [f"results/raw/{name}/{file}" for file in names]


def raw_files(wildcards):
    """What a data set is prepared from: downloads, a file of the user's, or nothing."""
    name = PREPARED[wildcards.prepared]
    if name in PUBLISHED:
        return downloaded(name)
    file = own_file(name)
    # Its content counts, as a parameter: a file may be replaced by an older one. Of a name with
    # braces, which are wildcards to Snakemake, the parameter is all there is.
    return ancient(file) if file and "{" not in file else []


def own_file(name):
    """Path of a data set of the user's own; nothing for others."""
    return STUDY.settings["data"]["own"].get(name, "").rstrip("/")


def own_content(name):
    """Digest of the file of a data set of the user's own; nothing for others."""
    file = own_file(name)
    return (
        content_digest(Path(file), Path(".snakemake", "own_files.json"), data_files) if file else ""
    )


def raw_argument(name):
    """Argument that says where the raw files are: a folder, a file, or nothing."""
    if name in PUBLISHED:
        return f"--raw results/raw/{name}"
    return f"--raw={shlex.quote(own_file(name))}" if own_file(name) else ""


def data_module(name):
    """Module of kancore.data that prepares a data set."""
    return "own" if name in STUDY.settings["data"]["own"] else name


def data_options(name):
    """What the module of a data set is told."""
    if data_module(name) == "own":
        return {"name": name}
    return STUDY.settings["data"].get(name, {})


def prepared(name, kind="json"):
    """Path of a prepared data set, or of its summary."""
    return f"results/data/{prepared_name(name, DATA)}.{kind}"


def manifold(name):
    """Path of the estimates of a data set's own dimension."""
    return f"results/manifolds/{prepared_name(name, DATA)}.parquet"


def data_code(name):
    """Digest of what prepares a data set: the script and the data set's own module."""
    return planned_digest("workflow_scripts/prepare.py", f"kancore.data.{data_module(name)}")


def training_code(wildcards):
    """Digest of what a job really runs: the loop, its model and its objective."""
    sweep = JOBS[wildcards.job].sweeps[0]
    return planned_digest(
        "workflow_scripts/train.py",
        *networks.modules(sweep.architecture.model),
        *sweep.own,
        objectives.MODULES[sweep.objective],
        device=STUDY.settings["device"],
    )


KEEP = STUDY.settings["keep"]
# Sweeps of the networks that are kept, one for each file, which is one an architecture.
KEPT_SWEEPS = {
    f"{OUT}/networks/{sweep.dataset}/{sweep.objective}/{sweep.architecture.name}.safetensors": sweep
    for job in JOBS.values()
    if job.experiment == "grid" and KEEP != "none"
    for sweep in job.sweeps
}
KEPT = [*KEPT_SWEEPS]


def networks_memory(wildcards, input, attempt):
    """MB to read the networks of an architecture and write their file."""
    largest = max((Path(file).stat().st_size for file in input if Path(file).exists()), default=0)
    return int(2000 + 3e-6 * largest * len(STUDY.settings["seeds"])) * 2 ** (attempt - 1)


def trained_sweeps(wildcards):
    """Sweeps of a training job, each with the size of what it trains."""
    return sized(JOBS[wildcards.job].sweeps)


@cache
def size_of(name):
    """Size of a data set; of one of the user's own files are read for it, so once for all jobs."""
    return trials.size_of(STUDY, name, Path("results", "data"))[0]


def sized(sweeps):
    """Sweeps or landscapes of a data set, each with the size of what it trains."""
    size = size_of(sweeps[0].dataset)
    return [(sweep, OWN.get((sweep.dataset, sweep.architecture), size)) for sweep in sweeps]


def trained(path):
    """Whether a job, by its path, has ended."""
    return status.ended(Path(OUT, "jobs", path))


def tables_of(name, table):
    """Path of a table of an experiment, in a list; an empty one if the study has no such jobs."""
    conducted = any(job.experiment == name for job in JOBS.values())
    return [f"{OUT}/tables/{name}/{table}.parquet"] if conducted else []


def job_list(wildcards):
    """File with the names of the jobs of an experiment."""
    return listed(wildcards.experiment)


def listed(experiment):
    """File with the names of an experiment's jobs."""
    return filed([job.name for job in JOBS.values() if job.experiment == experiment])


def filed(values):
    """File with plain values; a command line has no room for ten thousand.

    It is named by its content: as a parameter of a rule it makes tables again if that changes.
    """
    text = json.dumps(values)
    path = Path(".snakemake", "jobs", f"{sha256(text.encode()).hexdigest()[:16]}.json")
    if not path.exists():
        write_atomically(path, lambda part: part.write_text(text))
    return str(path)


def training_memory(wildcards, attempt):
    """MB of a training job, whose sweeps are trained in turn; doubled at each retry."""
    sweeps = trained_sweeps(wildcards)
    needed = max(resources.memory_mb(sweep, size, cuda=CUDA) for sweep, size in sweeps)
    return whole_job(needed) * 2 ** (attempt - 1)


def training_minutes(wildcards, attempt):
    """Minutes of a training job, doubled at each retry."""
    threads = STUDY.settings["threads"]
    minutes = sum(
        resources.runtime_minutes(sweep, size, threads, GPU)
        for sweep, size in trained_sweeps(wildcards)
    )
    return min(minutes * 2 ** (attempt - 1), resources.MAX_MINUTES)


def landscape_code(wildcards):
    """Digest of what a landscape really runs: the search, and its model."""
    model = LANDSCAPES[wildcards.landscape].architecture.model
    return planned_digest(
        "workflow_scripts/landscape.py",
        *networks.modules(model),
        device=STUDY.settings["device"],
    )


def figure_code(name):
    """Digest of what draws a figure: the script and the figure's own module."""
    return planned_digest("workflow_scripts/figure.py", f"kancore.figures.{name}")


def from_here(path):
    """Path of a file of the project from the working folder, the same in every copy."""
    return os.path.relpath(HERE / path)
