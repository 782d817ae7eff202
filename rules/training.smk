# A data set -> the history of all runs of one sweep.

SWEEPS = {sweep.name: sweep for sweep in STUDY.sweeps()}


rule train:
    input:
        # Of large files Snakemake compares time stamps only, which a copy changes; so new data are
        # known by their summary, a small file that holds their checksum.
        summary=lambda wildcards: f"results/data/{SWEEPS[wildcards.sweep].dataset}.json",
        data=lambda wildcards: ancient(
            f"results/data/{SWEEPS[wildcards.sweep].dataset}.safetensors"
        ),
    output:
        history=f"{OUT}/sweeps/{{sweep}}/history.parquet",
        timings=f"{OUT}/sweeps/{{sweep}}/timings.parquet",
    log:
        f"{OUT}/logs/train/{{sweep}}.log",
    benchmark:
        f"{OUT}/benchmarks/train/{{sweep}}.tsv"
    conda:
        "../envs/kancore.yaml"
    threads: STUDY.settings["threads"]
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
        gpu=0 if STUDY.settings["device"] == "cpu" else 1,
        # How a job runs, not what it gives: unlike params, a change of these re-runs nothing.
        device=STUDY.settings["device"],
        checkpoint_seconds=STUDY.settings["checkpoint_seconds"],
    params:
        code=training_code,
        sweeps=lambda wildcards: "--sweep "
        + shlex.quote(json.dumps(SWEEPS[wildcards.sweep].to_dict(), sort_keys=True)),
        study=STUDY.name,
    message:
        "train {wildcards.sweep}"
    shell:
        "THP_MEM_ALLOC_ENABLE=1 exec python -m workflow_scripts.train"
        " --study {params.study} {params.sweeps}"
        " --data {input.data:q} --device {resources.device} --threads {threads}"
        " --checkpoint-seconds {resources.checkpoint_seconds}"
        " --history {output.history:q} --timings {output.timings:q}"
        " --code {params.code} 2> {log:q}"
