# Raw files -> one safetensors file a data set.


wildcard_constraints:
    dataset=r"[a-z0-9_]+",


rule prepare:
    output:
        data="results/data/{dataset}.safetensors",
        summary="results/data/{dataset}.json",
    log:
        "results/data/logs/{dataset}.log",
    benchmark:
        "results/data/benchmarks/{dataset}.tsv"
    conda:
        "../envs/kancore.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        code=lambda wildcards: data_code(wildcards.dataset),
    message:
        "prepare data set {wildcards.dataset}"
    shell:
        "python -m workflow_scripts.prepare --dataset {wildcards.dataset} --out {output.data:q}"
        " --summary {output.summary:q}"
        " --code {params.code} 2> {log:q}"
