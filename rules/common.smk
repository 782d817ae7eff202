# What all rules share: the study, where its files go, how scripts are called.

try:
    STUDY = resolve(
        config, yaml.safe_load(Path(workflow.basedir, "schemas", "config.schema.yaml").read_text())
    )
except ConfigError as error:
    raise WorkflowError(str(error))

OUT = f"results/{STUDY.name}"
SCRIPTS = Path(workflow.basedir, "workflow_scripts")

# Jobs run under this Python and import the kancore beside this file, wherever snakemake came from.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, [str(workflow.basedir), os.environ.get("PYTHONPATH")])
)
