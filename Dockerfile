# syntax=docker/dockerfile:1
# Indexer and gateway, one image: the command says which (`immich-indexer run`, `immich-gateway`).
#
#   docker build -t immich-indexer .                                        for any processor
#   docker build -t immich-indexer:cuda --build-arg VARIANT=cuda .          for NVIDIA GPUs
#
# Where the big registries are slow, name mirrors:
#   --build-arg PYTHON_IMAGE=docker.m.daocloud.io/library/python:3.12-slim-bookworm
#   --build-arg DEBIAN_MIRROR=mirrors.tuna.tsinghua.edu.cn
#   --build-arg PIP_INDEX_URL=https://pypi.tuna.tsinghua.edu.cn/simple
#   --build-arg TORCH_CPU_INDEX_URL=https://mirrors.aliyun.com/pytorch-wheels/cpu
ARG PYTHON_IMAGE=docker.io/library/python:3.12-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ARG VARIANT=cpu
ARG PIP_INDEX_URL=https://pypi.org/simple
ARG TORCH_CPU_INDEX_URL=https://download.pytorch.org/whl/cpu
ENV PIP_INDEX_URL=${PIP_INDEX_URL} PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
WORKDIR /build
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:${PATH}

# The packages change seldom and are large, our own code is small and changes often: two layers.
COPY requirements.lock ./
RUN set -eu; \
    case "${VARIANT}" in \
        cpu) export PIP_EXTRA_INDEX_URL="${TORCH_CPU_INDEX_URL}" ;; \
        cuda) ;; \
        *) echo "VARIANT is cpu or cuda, not ${VARIANT}" >&2; exit 1 ;; \
    esac; \
    pip install --constraint requirements.lock torch==2.13.0 torchvision==0.28.0; \
    pip install --no-deps --requirement requirements.lock; \
    if [ "${VARIANT}" = cuda ]; then \
        pip uninstall --yes onnxruntime; \
        pip install --no-deps onnxruntime-gpu==1.27.0; \
    fi

COPY pyproject.toml README.md LICENSE ./
COPY sql sql
COPY indexer indexer
COPY gateway gateway
RUN pip wheel --no-deps --wheel-dir /wheel .


FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title=immich-indexer \
      org.opencontainers.image.description="Chinese search for Immich: indexer and gateway" \
      org.opencontainers.image.licenses=MIT
ARG DEBIAN_MIRROR=deb.debian.org
# libgomp, of the distribution's one version: what onnxruntime and torch run their threads with.
# hadolint ignore=DL3008
RUN sed --in-place "s|//deb.debian.org|//${DEBIAN_MIRROR}|" /etc/apt/sources.list.d/debian.sources \
    && apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --create-home --home-dir /var/lib/immich-indexer indexer \
    && install --directory --owner=indexer /models
COPY --from=build /opt/venv /opt/venv
RUN --mount=type=bind,from=build,source=/wheel,target=/wheel \
    /opt/venv/bin/pip install --no-cache-dir --no-deps /wheel/*.whl
# The root file system may be read-only: what is written goes to /models (the weights, a volume) and /tmp.
ENV PATH=/opt/venv/bin:${PATH} \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    CLIP_DOWNLOAD_ROOT=/models/clip \
    FACE_DOWNLOAD_ROOT=/models/insightface \
    HF_HOME=/tmp/huggingface \
    MPLCONFIGDIR=/tmp/matplotlib
USER 1000
WORKDIR /var/lib/immich-indexer
VOLUME /models
EXPOSE 8080
# Of the indexer; a container that runs the gateway asks `python -m gateway.ping` (deploy/services.yaml).
HEALTHCHECK --interval=60s --timeout=20s --start-period=5m CMD ["python", "-m", "indexer.work.ping"]
CMD ["immich-indexer", "run"]
