# An image in which the workflow and the package run; the kernels are compiled for any x86-64 or ARM.
#   docker build -t kancore .
#   docker run --rm -v "$PWD/results:/study/results" kancore --cores 2 --config study=quick
# On a machine with a GPU add `--gpus all`: the wheel of PyTorch in requirements.lock brings CUDA. An image
# without it is a quarter as large; it takes a pip.conf that says where PyTorch's wheels for CPUs are:
#   docker build --build-arg DEVICE=cpu --secret id=pip,src=pip.conf -t kancore .
# With a digest, python:3.11-slim@sha256:..., an image is the same ever after.
ARG BASE=python:3.11-slim
FROM $BASE

RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ git make \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /study
# The lock file alone first, so that an edit of the code leaves this layer as it is.
COPY requirements.lock ./
ARG DEVICE=gpu
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    if [ "$DEVICE" = cpu ]; then \
      sed -Ei '/^ +--hash=/d; s/ \\$//; /^(nvidia-|cuda-|triton)/d' requirements.lock; fi \
    && pip install --no-cache-dir --requirement requirements.lock
COPY . .
RUN pip install --no-cache-dir --no-build-isolation --no-deps --editable . \
    && useradd --create-home study && chown study /study
# Not root: what it writes below a mounted folder is of user 1000, or of `--user`.
USER study

ENTRYPOINT ["snakemake"]
CMD ["--help"]
