"""The data set of a sweep on its device: its splits, and the batches that networks see of them."""

from collections.abc import Iterator

import torch
from torch import Tensor

from kancore.data.dataset import Dataset, dense_rows, longest_row, rows, split
from kancore.data.preparation import missing_classes, scaled, take
from kancore.machine.devices import send
from kancore.schemes import Trained, derive_seed

# Greatest share of entries other than zero at which it pays to leave out the zeros.
SPARSE = 0.7


class Splits:
    """Training, validation and test split of a data set.

    Parameters
    ----------
    sweep
        What is trained on them.
    dataset
        The data set that the sweep names.
    device
        Where networks are trained.

    Attributes
    ----------
    sizes : dict of str to int
        Examples of ``train``, ``validation`` and ``test``.
    steps_per_epoch : int
        Whole batches of the training split; one, if there is none.
    background : Tensor or None
        Input that a zero of the data set becomes, ``[in]``, if most of its entries are zero.
    """

    def __init__(self, sweep: Trained, dataset: Dataset, device: torch.device):
        self._sweep, self._device = sweep, device
        if sweep.train_examples or sweep.test_examples:
            dataset = take(dataset, sweep.train_examples, sweep.test_examples, sweep.seed)
        self._dataset = scaled(dataset, sweep.scaling).to(device)
        self._stored = self._divide()
        self.sizes = {name: len(y) for name, (_, y) in self._stored.items()}
        self.steps_per_epoch = max(1, self.sizes["train"] // sweep.batch_size)
        if dataset.sparse:
            self._longest = {name: longest_row(x) for name, (x, _) in self._stored.items()}
        self.background = self._background()

    @property
    def features(self) -> int:
        """Features of an example."""
        return self._dataset.features

    @property
    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation, ``[in]`` each, by which stored features become inputs."""
        return self._dataset.mean, self._dataset.std

    @property
    def gpu_bytes(self) -> int | None:
        """Memory of the GPU that the data are on; ``None`` on a CPU."""
        if self._device.type != "cuda":
            return None
        return torch.cuda.get_device_properties(self._device).total_memory

    def _divide(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Features as stored and labels of each split."""
        data, sweep = self._dataset, self._sweep
        seed = derive_seed("split", data.name, sweep.seed)
        train, validation = split(data.y_train, sweep.validation_fraction, seed)
        if sweep.validation_fraction and not len(validation):
            raise ValueError(
                f"validation_fraction {sweep.validation_fraction} of {len(train)} training "
                "examples leaves none to choose the best epoch by; expected at least "
                f"{1 / len(train):.2g}, or 0 to choose it by the test part"
            )
        train, validation = train.to(self._device), validation.to(self._device)
        if missing := missing_classes(data.y_train[train], data.class_names):
            fraction = sweep.validation_fraction
            raise ValueError(
                f"validation fraction {fraction} leaves no training example of classes {missing}"
            )
        test = torch.arange(self._tested(), device=self._device)
        return {
            "train": (rows(data.x_train, train), data.y_train[train]),
            "validation": (rows(data.x_train, validation), data.y_train[validation]),
            "test": (rows(data.x_test, test), data.y_test[test]),
        }

    def _tested(self) -> int:
        """Count the test examples that count."""
        examples, size = len(self._dataset.y_test), self._sweep.batch_size
        if not self._sweep.whole_test_batches:
            return examples
        # Fewer than a batch are all tested: the published code would have no accuracy of them.
        return examples // size * size or examples

    def _background(self) -> Tensor | None:
        x, _ = self._stored["train"]
        values = x.values() if self._dataset.sparse else x
        if values.count_nonzero() > SPARSE * x.numel():
            return None
        zeros = torch.zeros(1, x.shape[1], dtype=x.dtype, device=self._device)
        return zeros[0] if self._dataset.sparse else self._dataset.standardize(zeros)[0]

    def batch(self, name: str, index: Tensor) -> tuple[Tensor, Tensor]:
        """Look up examples: inputs ``[len(index), in]``, standardized on the device, and labels."""
        x, y = self._stored[name]
        if self._dataset.sparse:
            return dense_rows(x, index, self._longest[name]), y[index]
        return self._dataset.standardize(rows(x, index)), y[index]

    def training_batches(self, epoch: int, begin: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Give the batches of an epoch from number `begin` on, without an incomplete last one."""
        order, size = self._order(epoch), self._sweep.batch_size
        for number in range(begin, self.steps_per_epoch):
            x, y = self.batch("train", order[number * size : (number + 1) * size])
            if self._sweep.flips:
                x = self._flipped(x, epoch * self.steps_per_epoch + number)
            yield x, y

    def in_order(self, name: str, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Give all examples of a split once, in batches of at most `size`."""
        for index in torch.arange(self.sizes[name], device=self._device).split(size):
            yield self.batch(name, index)

    def first(self, examples: int) -> tuple[Tensor, Tensor]:
        """Give the examples that networks are trained on first, as they are stored."""
        return self.batch("train", self._order(0)[:examples])

    def seed(self, purpose: str, number: int) -> int:
        """Seed that all schemes share: they see the same batches, and lose the same units."""
        return derive_seed(purpose, self._sweep.dataset, self._sweep.seed, number)

    def _order(self, epoch: int) -> Tensor:
        """Order of the training examples in an epoch; the same on every device."""
        generator = torch.Generator().manual_seed(self.seed("order", epoch))
        return send(torch.randperm(self.sizes["train"], generator=generator), self._device)

    def _flipped(self, x: Tensor, step: int) -> Tensor:
        """Flip images ``[batch, in]`` at random, each way one half of them; tables stay as are."""
        shape = self._dataset.image_shape
        if shape is None:
            return x
        generator = torch.Generator().manual_seed(self.seed("flips", step))
        chosen = torch.randint(2, (2, len(x), 1, 1, 1), generator=generator).bool()
        images = x.view(-1, *shape)
        for axis, flip in zip((-1, -2), send(chosen, self._device), strict=True):
            images = torch.where(flip, images.flip(axis), images)
        return images.flatten(1)
