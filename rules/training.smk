# A data set -> the history of all runs of one sweep.

SWEEPS = {sweep.name: sweep for sweep in STUDY.sweeps()}


def training_code(wildcards):
    sweep = SWEEPS[wildcards.sweep]
    return planned_digest(
        "workflow_scripts/train.py",
        networks.MODULES[sweep.architecture.model],
        objectives.MODULES[sweep.objective],
    )


rule train:
    input:
        lambda wildcards: f"results/data/{SWEEPS[wildcards.sweep].dataset}.safetensors",
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
    params:
        code=training_code,
        sweep=lambda wildcards: json.dumps(SWEEPS[wildcards.sweep].to_dict(), sort_keys=True),
        study=STUDY.name,
    message:
        "train {wildcards.sweep}"
    shell:
        "exec python {SCRIPTS:q}/train.py --study {params.study} --sweep {params.sweep:q}"
        " --data {input:q} --device {STUDY.settings[device]} --threads {threads}"
        " --checkpoint-seconds {STUDY.settings[checkpoint_seconds]}"
        " --history {output.history:q} --timings {output.timings:q}"
        " --code {params.code} 2> {log:q}"
