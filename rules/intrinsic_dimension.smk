# A data set -> the dimension of its manifold, and of loss landscapes on it -> tables of estimates.

LANDSCAPES = {landscape.name: landscape for landscape in STUDY.landscapes()}
PUBLISHED_DIMENSIONS = from_here("published/intrinsic_dimension.csv")


localrules:
    intrinsic_dimension,


# Shared by all studies, as the data are.
rule manifold:
    input:
        summary="results/data/{prepared}.json",
        data=ancient("results/data/{prepared}.safetensors"),
    output:
        "results/manifolds/{prepared}.parquet",
    log:
        "results/manifolds/logs/{prepared}.log",
    benchmark:
        "results/manifolds/benchmarks/{prepared}.tsv"
    priority: 1
    conda:
        "../envs/kancore.yaml"
    threads: STUDY.settings["threads"]
    resources:
        mem_mb=growing(whole_job(4000)),
        runtime=growing(60),
        gpu=int(GPU),
        device=STUDY.settings["device"],
        slurm_extra=WARNED,
    params:
        code=planned_digest("workflow_scripts/manifold.py", device=STUDY.settings["device"]),
    message:
        f"estimate the dimension of data set {{wildcards.prepared}} ({ASKED_FOR}, {{resources.gpu}} GPUs)"
    shell:
        f"{KEPT_LOG}"
        'exec python -P "$KANCORE_RUN" workflow_scripts/manifold.py --data {input.data:q} --device {resources.device}'
        " --threads {threads} --out {output:q} --code {params.code} 2>> {log:q}"


rule landscape:
    input:
        summary=lambda wildcards: prepared(LANDSCAPES[wildcards.landscape].dataset),
        data=lambda wildcards: ancient(
            prepared(LANDSCAPES[wildcards.landscape].dataset, "safetensors")
        ),
    output:
        f"{OUT}/jobs/landscapes/{{landscape}}/landscape.parquet",
    log:
        f"{OUT}/logs/jobs/landscapes/{{landscape}}.log",
    benchmark:
        f"{OUT}/benchmarks/jobs/landscapes/{{landscape}}.tsv"
    priority: 1
    conda:
        "../envs/kancore.yaml"
    threads: STUDY.settings["threads"]
    resources:
        mem_mb=growing(whole_job(4000)),
        runtime=growing(240, resources.MAX_MINUTES),
        gpu=int(GPU),
        # How a job runs, not what it gives: unlike params, a change of these re-runs nothing.
        device=STUDY.settings["device"],
        checkpoint_seconds=STUDY.settings["checkpoint_seconds"],
        slurm_extra=WARNED,
    params:
        code=landscape_code,
        landscape=lambda wildcards: json.dumps(
            LANDSCAPES[wildcards.landscape].to_dict(), sort_keys=True
        ),
        study=STUDY.name,
    message:
        f"train {{wildcards.landscape}} in random subspaces ({ASKED_FOR}, {{resources.gpu}} GPUs)"
    shell:
        f"{KEPT_LOG}"
        'exec python -P "$KANCORE_RUN" workflow_scripts/landscape.py'
        " --study {params.study} --landscape {params.landscape:q}"
        " --data {input.data:q} --device {resources.device} --threads {threads}"
        " --parent $PPID --checkpoint-seconds {resources.checkpoint_seconds} --out {output:q}"
        " --code {params.code} 2>> {log:q}"


rule intrinsic_dimension:
    input:
        manifolds=[*map(manifold, STUDY.settings["datasets"])],
        landscapes=expand(
            f"{OUT}/jobs/landscapes/{{landscape}}/landscape.parquet", landscape=LANDSCAPES
        ),
        published=PUBLISHED_DIMENSIONS,
    output:
        landscapes=f"{OUT}/tables/landscapes.parquet",
        estimates=f"{OUT}/tables/intrinsic_dimension.parquet",
        csv=f"{OUT}/tables/intrinsic_dimension.csv",
    log:
        f"{OUT}/logs/intrinsic_dimension.log",
    benchmark:
        f"{OUT}/benchmarks/intrinsic_dimension.tsv"
    conda:
        "../envs/kancore.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        code=planned_digest("workflow_scripts/intrinsic_dimension.py"),
        study=json.dumps({"name": STUDY.name, "settings": STUDY.landscape_settings}, sort_keys=True),
        folder=lambda wildcards, output: str(
            Path(output.estimates).parents[1] / "jobs" / "landscapes"
        ),
    message:
        f"put the intrinsic dimensions of study {STUDY.name} together"
    shell:
        'python -P "$KANCORE_RUN" workflow_scripts/intrinsic_dimension.py --study {params.study:q}'
        " --manifolds {input.manifolds:q} --folder {params.folder:q}"
        " --published {input.published:q} --landscapes {output.landscapes:q}"
        " --estimates {output.estimates:q} --csv {output.csv:q} --code {params.code} 2> {log:q}"
