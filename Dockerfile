# cpu: the built-in models on ONNX Runtime. gpu: any Hugging Face model on torch.
FROM python:3.12-slim AS base
RUN apt-get update \
    && apt-get install --yes --no-install-recommends procps \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 resolver \
    && install --directory --owner resolver /data
WORKDIR /app
COPY constraints.txt pyproject.toml README.md ./
COPY resolver resolver
COPY workers workers
COPY migrations migrations

FROM base AS cpu
RUN pip install --no-cache-dir --constraint constraints.txt '.[parquet]'
USER resolver
VOLUME /data
ENTRYPOINT ["resolver"]

FROM base AS gpu
# PyPI's torch for Linux is the CUDA build.
RUN pip install --no-cache-dir --constraint constraints.txt torch '.[models,parquet]'
USER resolver
VOLUME /data
ENTRYPOINT ["resolver"]
