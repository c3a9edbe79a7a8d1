# cpu: the built-in models on ONNX Runtime. gpu: any Hugging Face model on torch.
#
#   docker build --target cpu --tag affiliation-resolver:cpu .

# The oldest Python that the project takes, which constraints.txt is tested with. Every version that
# goes into an image is named, here or there: the same sources make the same image.
ARG PYTHON=3.11.14-slim-bookworm

# The project's own wheel: what is below is made of it alone, and has no sources.
FROM python:${PYTHON} AS wheel
WORKDIR /source
COPY constraints.txt pyproject.toml README.md ./
RUN pip install --no-cache-dir --constraint constraints.txt setuptools
COPY resolver resolver
COPY workers workers
COPY migrations migrations
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels .

# Dependencies come as wheels, in the versions of constraints.txt, or not at all: nothing is compiled.
FROM python:${PYTHON} AS cpu-packages
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ONLY_BINARY=:all:
RUN python -m venv /opt/resolver
COPY constraints.txt /wheels/
COPY --from=wheel /wheels /wheels
RUN /opt/resolver/bin/pip install --constraint /wheels/constraints.txt \
        "$(echo /wheels/affiliation_resolver-*.whl)[http,parquet]"

FROM cpu-packages AS gpu-packages
# PyPI's torch for Linux is the CUDA build.
RUN /opt/resolver/bin/pip install --constraint /wheels/constraints.txt torch \
        "$(echo /wheels/affiliation_resolver-*.whl)[models]"

FROM python:${PYTHON} AS runtime
LABEL org.opencontainers.image.title="affiliation-resolver" \
      org.opencontainers.image.description="Links raw affiliation strings to ROR organisations" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --no-create-home --uid 10001 resolver \
    && install --directory --owner resolver --group resolver /data
# The root file system may be read-only: all that is written is below /data or /tmp.
ENV PATH=/opt/resolver/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    RESOLVER_HOME=/data \
    RESOLVER_HEARTBEAT_FILE=/tmp/heartbeat
WORKDIR /data
VOLUME /data
USER 10001:10001
# A worker first opens its models and its index.
HEALTHCHECK --interval=30s --timeout=10s --start-period=5m --retries=3 CMD ["resolver", "healthy"]
ENTRYPOINT ["resolver"]

FROM runtime AS gpu
ENV HF_HOME=/data/huggingface
COPY --from=gpu-packages /opt/resolver /opt/resolver

# The last stage is the one that is built where none is named.
FROM runtime AS cpu
COPY --from=cpu-packages /opt/resolver /opt/resolver
