# What all rules share: the study, where its files go, how scripts are called.

try:
    STUDY = resolve(
        config,
        yaml.safe_load((HERE / "schemas" / "config.schema.yaml").read_text(encoding="utf-8")),
    )
except ConfigError as error:
    raise WorkflowError(str(error))

OUT = f"results/{STUDY.name}"

run_beside_here()


def raw_files(wildcards):
    """What a data set is prepared from: downloads, a file of the user's, or nothing."""
    if wildcards.dataset in PUBLISHED:
        return f"results/raw/{wildcards.dataset}.txt"
    return STUDY.settings["data"]["own"].get(wildcards.dataset, [])


def raw_argument(name, files):
    """Argument that says where the raw files are: a folder, a file, or nothing."""
    if name in PUBLISHED:
        return f"--raw results/raw/{name}"
    return f"--raw {shlex.quote(str(files))}" if files else ""


def data_module(name):
    """Module of kancore.data that prepares a data set."""
    return "custom" if name in STUDY.settings["data"]["own"] else name


def data_options(name):
    """What the module of a data set is told."""
    if data_module(name) == "custom":
        return {"name": name}
    return STUDY.settings["data"].get(name, {})


def data_code(name):
    """Digest of what prepares a data set: the script and the data set's own module."""
    return planned_digest("workflow_scripts/prepare.py", f"kancore.data.{data_module(name)}")


def training_code(wildcards):
    """Digest of what a series really runs: the loop, its model and its objective."""
    sweep = trained_sweeps(wildcards)[0][0]
    return planned_digest(
        "workflow_scripts/train.py",
        networks.MODULES[sweep.architecture.model],
        objectives.MODULES[sweep.objective],
    )


def trained_sweeps(wildcards):
    """Sweeps of a training job, and the size of their data set.

    Of a follow-up by any scheme: which one it will be changes neither memory nor time.
    """
    if "follow_up" in wildcards.keys():
        any_scheme = STUDY.sweeps()[0].schemes[0]
        sweeps = FOLLOW_UPS[wildcards.follow_up].sweeps(any_scheme)
    elif "audited" in wildcards.keys():
        sweeps = AUDIT[wildcards.audited].series.sweeps
    else:
        sweeps = SERIES[wildcards.series].sweeps
    return sweeps, resources.shape(sweeps[0].dataset, STUDY.settings["data"])


def sweeps_argument(series):
    """Argument that says what to train."""
    sweeps = [sweep.to_dict() for sweep in series.sweeps]
    return f"--sweeps {shlex.quote(json.dumps(sweeps, sort_keys=True))}"


def training_memory(wildcards, attempt):
    """MB of a training job, whose sweeps are trained in turn; doubled at each retry."""
    sweeps, size = trained_sweeps(wildcards)
    return max(resources.memory_mb(sweep, size) for sweep in sweeps) * 2 ** (attempt - 1)


def training_minutes(wildcards, attempt):
    """Minutes of a training job, doubled at each retry."""
    sweeps, size = trained_sweeps(wildcards)
    minutes = sum(
        resources.runtime_minutes(sweep, size, STUDY.settings["threads"], GPU) for sweep in sweeps
    )
    return min(minutes * 2 ** (attempt - 1), resources.MAX_MINUTES)


def landscape_code(wildcards):
    """Digest of what a landscape really runs: the search, and its model."""
    model = LANDSCAPES[wildcards.landscape].architecture.model
    return planned_digest("workflow_scripts/landscape.py", networks.MODULES[model])


def figure_code(name):
    """Digest of what draws a figure: the script and the figure's own module."""
    return planned_digest("workflow_scripts/figure.py", f"kancore.figures.{name}")


def from_here(path):
    """Path of a file of the project from the working folder, the same in every copy."""
    return os.path.relpath(HERE / path)
