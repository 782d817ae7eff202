rule report:
    output:
        "x.html",
