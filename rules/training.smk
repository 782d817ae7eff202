# A data set -> the history of all runs of one sweep.

SWEEPS = {sweep.name: sweep for sweep in STUDY.sweeps()}
GPU = STUDY.settings["device"] != "cpu"


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
        sweeps=lambda wildcards: "--sweep "
        + shlex.quote(json.dumps(SWEEPS[wildcards.sweep].to_dict(), sort_keys=True)),
        study=STUDY.name,
        protocol=STUDY.protocol,
    message:
        "train {wildcards.sweep}"
    shell:
        "exec python -m workflow_scripts.train"
        " --study {params.study} --protocol {params.protocol} {params.sweeps}"
        " --data {input.data:q} --device {resources.device} --threads {threads}"
        " --checkpoint-seconds {resources.checkpoint_seconds}"
        " --tf32 {resources.tf32} --compile {resources.compile}"
        " --history {output.history:q} --timings {output.timings:q}"
        " --code {params.code} 2> {log:q}"
