"""Training of plain modules, one by one, by PyTorch's own optimizers."""

from kancore.bench.peers import optimizer_of

RATES = {"sgd": 0.05, "sgd_momentum": 0.05, "adam": 0.002}


def trained(modules, predict, target, optimizer):
    """Take fifty steps of each module, whose outputs are `predict` of it."""
    for module in modules:
        update = optimizer_of([*module.parameters()], optimizer, RATES[optimizer])
        for _ in range(50):
            update.zero_grad()
            (predict(module) - target).square().mean().backward()
            update.step()
    return modules
