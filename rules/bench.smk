# The speed of training beside other layers and its own dense products; no study needs it.


localrules:
    bench,


rule bench:
    output:
        "results/bench/bench.md",
    log:
        "results/bench/bench.log",
    benchmark:
        "results/bench/bench.tsv"
    conda:
        "../envs/kancore.yaml"
    threads: 1
    resources:
        mem_mb=16000,
        runtime=60,
    params:
        # It measures how jobs run, so what they keep of freed memory counts here.
        code=planned_digest("kancore/bench/__main__.py", "kancore.machine.memory"),
        batches="128 2048",
    message:
        "measure the speed of training"
    shell:
        'python -P "$KANCORE_RUN" kancore/bench/__main__.py --batch {params.batches} --out {output:q} > {log:q} 2>&1'
