# A data set -> the history of all runs of a series: of one sweep, or of all depths of a model.

SERIES = {series.name: series for series in STUDY.series()}
GPU = STUDY.settings["device"] != "cpu"
# Whether jobs will find one: with `auto` that is known of this machine only.
CUDA = GPU and (resources.GPU_HERE or not workflow.local_exec)


rule train:
    input:
        # Of large files Snakemake compares time stamps only, which a copy changes; so new data are
        # known by their summary, a small file that holds their checksum.
        summary=lambda wildcards: f"results/data/{SERIES[wildcards.series].sweeps[0].dataset}.json",
        data=lambda wildcards: ancient(
            f"results/data/{SERIES[wildcards.series].sweeps[0].dataset}.safetensors"
        ),
    output:
        history=f"{OUT}/sweeps/{{series}}/history.parquet",
        timings=f"{OUT}/sweeps/{{series}}/timings.parquet",
    log:
        f"{OUT}/logs/train/{{series}}.log",
    benchmark:
        f"{OUT}/benchmarks/train/{{series}}.tsv"
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
    params:
        code=training_code,
        sweeps=lambda wildcards: sweeps_argument(SERIES[wildcards.series]),
        study=STUDY.name,
        protocol=STUDY.protocol,
    message:
        "train {wildcards.series}"
    shell:
        'exec python -P "$KANCORE_RUN" workflow_scripts/train.py'
        " --study {params.study} --protocol {params.protocol} {params.sweeps}"
        " --data {input.data:q} --device {resources.device} --threads {threads}"
        " --parent $PPID --memory-mb {resources.mem_mb}"
        " --checkpoint-seconds {resources.checkpoint_seconds}"
        " --tf32 {resources.tf32} --compile {resources.compile}"
        " --history {output.history:q} --timings {output.timings:q}"
        " --code {params.code} 2> {log:q}"
