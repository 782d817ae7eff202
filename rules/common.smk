# What all rules share: the study, where its files go, how scripts are called.

try:
    STUDY = resolve(
        config, yaml.safe_load(Path(workflow.basedir, "schemas", "config.schema.yaml").read_text())
    )
except ConfigError as error:
    raise WorkflowError(str(error))

OUT = f"results/{STUDY.name}"

run_beside_here()


def data_code(name):
    """Digest of what prepares a data set: the script and the data set's own module."""
    return planned_digest("workflow_scripts/prepare.py", f"kancore.data.{name}")


def training_code(wildcards):
    """Digest of what a sweep really runs: the loop, its model and its objective."""
    sweep = SWEEPS[wildcards.sweep]
    return planned_digest(
        "workflow_scripts/train.py",
        networks.MODULES[sweep.architecture.model],
        objectives.MODULES[sweep.objective],
    )


def figure_code(name):
    """Digest of what draws a figure: the script and the figure's own module."""
    return planned_digest("workflow_scripts/figure.py", f"kancore.figures.{name}")


def from_here(path):
    """Path of a file of the project from the working folder, the same in every copy."""
    return os.path.relpath(Path(workflow.basedir, path))
