"""A training step by nHSIC against the naive form: two inverses and m x m products a layer."""

from statistics import median
from time import process_time

import pytest
import torch
from torch.nn.functional import cross_entropy, one_hot

from kancore.networks import build
from kancore.objectives.hsic_bottleneck import losses
from kancore.optimizers import StackedOptimizer
from kancore.schemes import Architecture, HsicBottleneck, Scheme, Sweep

BATCH, CLASSES, REPEATS = 1024, 10, 5
SCHEME = Scheme("sgd_momentum", 0.0005, "kaiming_normal")
SWEEP = Sweep(
    "made_up",
    "hsic",
    Architecture("mlp", (128, 64, 32)),
    optimizers=(SCHEME.optimizer,),
    learning_rates=(SCHEME.learning_rate,),
    initializations=(SCHEME.initialization,),
    seed=0,
    epochs=1,
    batch_size=BATCH,
    hsic=HsicBottleneck(),
)


def naive_losses(network, x, y, sweep):
    """The reference implementation's way: ``sum(R_z * R_y^T)`` by two inverses, for each layer."""
    m, sigma = len(y), sweep.hsic.sigma
    identity = torch.eye(m)
    centring = identity - 1 / m

    def normalized(z):
        norms = z.square().sum(1)
        distances = norms.unsqueeze(1) + norms.unsqueeze(0) - 2 * z @ z.T
        kernel = torch.exp(-distances / (2 * sigma**2 * z.shape[1])) @ centring
        return kernel @ torch.inverse(kernel + 1e-5 * m * identity)

    *hidden, (logits,) = network.layerwise(x)
    total = cross_entropy(logits, y)
    for (z,) in hidden:
        r_y = normalized(one_hot(y, CLASSES).float())
        total = total - sweep.hsic.weight * (normalized(z) * r_y.T).sum()
    return total.unsqueeze(0)


class Step:
    """Training steps of one network with one way to find the losses."""

    def __init__(self, objective):
        self.objective, self.seconds = objective, []
        self.network = build(SWEEP.architecture, 784, CLASSES, 1)
        self.network.initialize(0, SCHEME.initialization, torch.Generator().manual_seed(0))
        self.optimizer = StackedOptimizer(list(self.network.parameters()), [SCHEME])

    def __call__(self, x, y):
        started = process_time()
        found = self.objective(self.network, x, y, SWEEP)
        self.optimizer.step(torch.autograd.grad(found.sum(), self.optimizer.parameters))
        self.seconds.append(process_time() - started)
        return found.item()


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_a_step_is_five_times_faster_than_the_naive_form(one_thread):
    """Interleaved, in processor time; what is computed is the same."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(CLASSES, (BATCH,), generator=generator)
    centres = torch.randn(CLASSES, 784, generator=generator)
    x = 0.3 * centres[y] + torch.randn(BATCH, 784, generator=generator)
    ours, naive = Step(losses), Step(naive_losses)
    assert ours(x, y) == pytest.approx(naive(x, y), rel=1e-3)
    for _ in range(REPEATS):
        ours(x, y)
        naive(x, y)
    naive_seconds, our_seconds = (median(step.seconds[1:]) for step in (naive, ours))
    print(f"{1000 * our_seconds:.0f} ms against {1000 * naive_seconds:.0f} ms")
    assert naive_seconds > 5 * our_seconds
