# Training jobs of all experiments -> the history of each -> for each experiment one table of
# evaluations, one of runs, one of sweeps.


wildcard_constraints:
    experiment="|".join(experiments.EXPERIMENTS),


localrules:
    tables,
    best_scheme,
    networks,


rule train:
    input:
        # Of large files Snakemake compares time stamps only, which a copy changes; so new data are
        # known by their summary, a small file that holds their checksum.
        summary=lambda wildcards: prepared(JOBS[wildcards.job].dataset),
        data=lambda wildcards: ancient(prepared(JOBS[wildcards.job].dataset, "safetensors")),
        choice=lambda wildcards: (
            f"{OUT}/{JOBS[wildcards.job].choice}" if JOBS[wildcards.job].choice else []
        ),
    output:
        history=f"{OUT}/jobs/{{job}}/history.parquet",
        timings=f"{OUT}/jobs/{{job}}/timings.parquet",
        # Of another name if others are kept, so that jobs run again for more, and not for none.
        networks=[f"{OUT}/jobs/{{job}}/networks.{KEEP}.safetensors"] if KEEP != "none" else [],
    log:
        f"{OUT}/logs/jobs/{{job}}.log",
    benchmark:
        f"{OUT}/benchmarks/jobs/{{job}}.tsv"
    priority: 1
    conda:
        "../envs/kancore.yaml"
    threads: STUDY.settings["threads"]
    resources:
        mem_mb=training_memory,
        runtime=training_minutes,
        gpu=int(GPU),
        # How a job runs, not what it gives: unlike params, a change of these re-runs nothing.
        device=STUDY.settings["device"],
        checkpoint_seconds=STUDY.settings["checkpoint_seconds"],
        tf32=int(STUDY.settings["tf32"]),
        compile=int(STUDY.settings["compile"]),
        keep=KEEP,
        slurm_extra=WARNED,
    params:
        code=training_code,
        job=lambda wildcards: json.dumps(JOBS[wildcards.job].to_dict(), sort_keys=True),
        choice=lambda wildcards, input: (
            f"--choice {shlex.quote(input.choice)}" if input.get("choice") else ""
        ),
        study=STUDY.name,
    message:
        f"train {{wildcards.job}} ({ASKED_FOR}, {{resources.gpu}} GPUs)"
    shell:
        f"{KEPT_LOG}"
        'exec python -P "$KANCORE_RUN" workflow_scripts/train.py'
        " --study {params.study} --job {params.job:q} {params.choice}"
        " --data {input.data:q} --device {resources.device} --threads {threads}"
        " --parent $PPID --memory-mb {resources.mem_mb}"
        " --checkpoint-seconds {resources.checkpoint_seconds}"
        " --tf32 {resources.tf32} --compile {resources.compile}"
        " --history {output.history:q} --timings {output.timings:q}"
        " --keep {resources.keep}"
        " --code {params.code} 2>> {log:q}"


rule tables:
    input:
        lambda wildcards: [
            f"{OUT}/jobs/{path}/{table}.parquet"
            for path, job in JOBS.items()
            if job.experiment == wildcards.experiment
            for table in ("history", "timings")
        ],
    output:
        history=f"{OUT}/tables/{{experiment}}/history.parquet",
        runs=f"{OUT}/tables/{{experiment}}/runs.parquet",
        csv=f"{OUT}/tables/{{experiment}}/runs.csv",
        timings=f"{OUT}/tables/{{experiment}}/timings.parquet",
    log:
        f"{OUT}/logs/tables/{{experiment}}.log",
    benchmark:
        f"{OUT}/benchmarks/tables/{{experiment}}.tsv"
    conda:
        "../envs/kancore.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        code=planned_digest("workflow_scripts/tables.py"),
        jobs=job_list,
        folder=lambda wildcards, output: str(
            Path(output.history).parents[2] / "jobs" / wildcards.experiment
        ),
    message:
        f"put the tables of study {STUDY.name} together: {{wildcards.experiment}}"
    shell:
        'python -P "$KANCORE_RUN" workflow_scripts/tables.py --jobs {params.jobs:q}'
        " --folder {params.folder:q}"
        " --history {output.history:q} --runs {output.runs:q} --csv {output.csv:q}"
        " --timings {output.timings:q} --code {params.code} 2> {log:q}"


rule networks:
    input:
        [
            f"{OUT}/jobs/{path}/networks.{KEEP}.safetensors"
            for path, job in JOBS.items()
            if job.experiment == "grid" and KEPT
        ],
    output:
        KEPT,
    log:
        f"{OUT}/logs/networks.log",
    benchmark:
        f"{OUT}/benchmarks/networks.tsv"
    conda:
        "../envs/kancore.yaml"
    threads: 1
    resources:
        mem_mb=networks_memory,
        runtime=20,
    params:
        code=planned_digest("workflow_scripts/networks.py"),
        jobs=lambda wildcards: listed("grid"),
        folder=lambda wildcards, output: str(Path(output[0]).parents[3] / "jobs" / "grid"),
        keep=KEEP,
    message:
        f"put the networks of study {STUDY.name} into files of architectures"
    shell:
        'python -P "$KANCORE_RUN" workflow_scripts/networks.py --jobs {params.jobs:q}'
        " --folder {params.folder:q} --keep {params.keep} --out {output:q}"
        " --code {params.code} 2> {log:q}"


rule best_scheme:
    input:
        f"{OUT}/tables/grid/runs.parquet",
    output:
        f"{OUT}/{experiments.BEST_SCHEME}",
    log:
        f"{OUT}/logs/chosen/scheme/{{dataset}}.log",
    benchmark:
        f"{OUT}/benchmarks/chosen/scheme/{{dataset}}.tsv"
    conda:
        "../envs/kancore.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        code=planned_digest("workflow_scripts/best_scheme.py"),
    message:
        "choose the scheme of the follow-ups on {wildcards.dataset}"
    shell:
        'python -P "$KANCORE_RUN" workflow_scripts/best_scheme.py --runs {input:q} --dataset {wildcards.dataset}'
        " --out {output:q} --code {params.code} 2> {log:q}"
