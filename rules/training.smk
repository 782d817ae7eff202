# A data set -> the history of all runs of one sweep.

SWEEPS = {sweep.name: sweep for sweep in STUDY.sweeps()}


rule train:
    input:
        # Ancient: a copy's new time stamp is no new data. New data come from new code, in params.
        lambda wildcards: ancient(f"results/data/{SWEEPS[wildcards.sweep].dataset}.safetensors"),
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
        data_code=lambda wildcards: data_code(SWEEPS[wildcards.sweep].dataset),
        sweep=lambda wildcards: json.dumps(SWEEPS[wildcards.sweep].to_dict(), sort_keys=True),
        study=STUDY.name,
    message:
        "train {wildcards.sweep}"
    shell:
        "exec python -m workflow_scripts.train --study {params.study} --sweep {params.sweep:q}"
        " --data {input:q} --device {resources.device} --threads {threads}"
        " --checkpoint-seconds {resources.checkpoint_seconds}"
        " --history {output.history:q} --timings {output.timings:q}"
        " --code {params.code} 2> {log:q}"
