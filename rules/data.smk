# Raw files -> one safetensors file a data set, and a summary of it.

# Where the files come from changes nothing in them, and may hold a password: so it is no parameter of
# a rule, which logs show.
os.environ.update({"KANCORE_MIRROR": DATA["mirror"]} if DATA["mirror"] else {})


wildcard_constraints:
    dataset=r"[a-z0-9_]+",
    prepared="|".join(PREPARED),
    file="|".join(
        map(re.escape, {Path(file).name for name in PUBLISHED for file in downloaded(name)})
    ),


localrules:
    download,
    fetch,


# The raw files of all data sets of the study, and nothing else.
rule download:
    input:
        [
            file
            for name in STUDY.settings["datasets"]
            if name in PUBLISHED
            for file in downloaded(name)
        ],


# How a file is got changes nothing in it: as parameters, these would download all again.
rule fetch:
    output:
        "results/raw/{dataset}/{file}",
    log:
        "results/raw/logs/{dataset}/{file}.log",
    benchmark:
        "results/raw/benchmarks/{dataset}/{file}.tsv"
    priority: 2
    conda:
        "../envs/kancore.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=240,
        verify="" if DATA["verify"] else "--no-verify",
        rows=lambda wildcards: (
            f"--rows {ROWS[wildcards.dataset]}" if wildcards.dataset in ROWS else ""
        ),
        code=lambda wildcards: planned_digest(
            "workflow_scripts/fetch.py", f"kancore.data.{wildcards.dataset}"
        ),
    message:
        "download {wildcards.file} of data set {wildcards.dataset}"
    shell:
        'python -P "$KANCORE_RUN" workflow_scripts/fetch.py --dataset {wildcards.dataset}'
        " --out {output:q} {resources.verify} {resources.rows}"
        " --code {resources.code} 2>&1 | tee {log:q}"


rule prepare:
    input:
        raw_files,
    output:
        data="results/data/{prepared}.safetensors",
        summary="results/data/{prepared}.json",
    log:
        "results/data/logs/{prepared}.log",
    benchmark:
        "results/data/benchmarks/{prepared}.tsv"
    # Of equal priority, jobs with larger input run first: so all data come first, then the long
    # jobs on the larger sets, and short jobs (and figures, without priority) fill the end.
    priority: 2
    conda:
        "../envs/kancore.yaml"
    threads: 1
    resources:
        mem_mb=growing(whole_job(2000)),
        runtime=growing(30),
        slurm_extra=WARNED,
    params:
        code=lambda wildcards: data_code(PREPARED[wildcards.prepared]),
        module=lambda wildcards: data_module(PREPARED[wildcards.prepared]),
        raw=lambda wildcards: raw_argument(PREPARED[wildcards.prepared]),
        content=lambda wildcards: own_content(PREPARED[wildcards.prepared]),
        options=lambda wildcards: json.dumps(
            data_options(PREPARED[wildcards.prepared]), sort_keys=True
        ),
        verify="" if DATA["verify"] else "--no-verify",
    message:
        f"prepare data set {{wildcards.prepared}} ({ASKED_FOR})"
    shell:
        f"{KEPT_LOG}"
        'exec python -P "$KANCORE_RUN" workflow_scripts/prepare.py --dataset {params.module} {params.raw}'
        " {params.verify} --options {params.options:q} --out {output.data:q} --summary {output.summary:q}"
        # A signal of Slurm reaches all processes of a job, and its last line is to be read.
        " --code {params.code} 2> >(trap '' TERM; exec tee -a {log:q} >&2)"
