# Indexer and gateway, one image: the command says which (`immich-indexer run`, `immich-gateway`). Built by BuildKit, which
# Docker does by itself since version 23.
#
#   docker build -t immich-indexer .                                        for any processor
#   docker build -t immich-indexer:cuda --build-arg VARIANT=cuda .          for NVIDIA GPUs
#   docker build -t immich-indexer:intel --build-arg VARIANT=intel .        for Intel's graphics: with Debian's driver for OpenCL
#
# Where the big registries are slow, name mirrors. That of torch must be an index (.../torch/ lists its files), not a flat folder:
#   --build-arg PYTHON_IMAGE=docker.m.daocloud.io/library/python:3.12-slim-bookworm
#   --build-arg DEBIAN_MIRROR=mirrors.tuna.tsinghua.edu.cn
#   --build-arg PIP_INDEX_URL=https://pypi.tuna.tsinghua.edu.cn/simple
#   --build-arg TORCH_CPU_INDEX_URL=https://mirror.sjtu.edu.cn/pytorch-wheels/cpu
ARG PYTHON_IMAGE=docker.io/library/python:3.12-slim-bookworm

FROM ${PYTHON_IMAGE} AS python
ARG PIP_INDEX_URL=https://pypi.org/simple
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
WORKDIR /build


# The packages change seldom and are large, our own code is small and changes often: a layer for each.
FROM python AS packages
ARG VARIANT=cpu
ARG TORCH_CPU_INDEX_URL=https://download.pytorch.org/whl/cpu
# 1 builds an image for processors even where that index gives torch with CUDA, which takes 4 GB more for nothing.
ARG ALLOW_CUDA=0
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:${PATH}
COPY deploy/packages.lock deploy/packages-cuda.lock ./
# torch's own index says the digests of its files, and pip checks them. (${alone} is no package without a version.)
# hadolint ignore=DL3013
RUN set -eu; \
    case "${VARIANT} ${ALLOW_CUDA}" in \
        "cpu 1"|"intel 1") index=${TORCH_CPU_INDEX_URL} alone="" ;; \
        "cpu "*|"intel "*) index=${TORCH_CPU_INDEX_URL} alone=--no-deps ;; \
        "cuda "*) index=${PIP_INDEX_URL} alone="" ;; \
        *) echo "VARIANT is cpu, cuda or intel, not ${VARIANT}" >&2; exit 1 ;; \
    esac; \
    pip install --no-deps --require-hashes --index-url "${PIP_INDEX_URL}" --requirement packages.lock; \
    pip install ${alone:+"${alone}"} --index-url "${index}" torch==2.13.0 torchvision==0.28.0; \
    cuda=$(python -c 'import runpy, sysconfig; print(runpy.run_path(sysconfig.get_path("purelib") + "/torch/version.py")["cuda"])'); \
    if [ "${VARIANT}" = cuda ]; then \
        pip uninstall --yes onnxruntime; \
        pip install --no-deps --require-hashes --index-url "${PIP_INDEX_URL}" --requirement packages-cuda.lock; \
    elif [ "${cuda}" != None ] && [ "${ALLOW_CUDA}" != 1 ]; then \
        echo "${index} gave torch with CUDA: name another TORCH_CPU_INDEX_URL, or build with ALLOW_CUDA=1" >&2; \
        exit 1; \
    fi


FROM python AS wheel
RUN python -m venv /opt/build
COPY deploy/packages-build.lock ./
RUN /opt/build/bin/pip install --no-deps --require-hashes --index-url "${PIP_INDEX_URL}" --requirement packages-build.lock
COPY pyproject.toml README.md LICENSE ./
COPY sql sql
COPY indexer indexer
COPY gateway gateway
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --no-index --wheel-dir /wheel .


FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title=immich-indexer \
      org.opencontainers.image.description="Chinese search for Immich: indexer and gateway" \
      org.opencontainers.image.licenses=MIT
ARG DEBIAN_MIRROR=deb.debian.org
ARG VARIANT=cpu
# libgomp, of the distribution's one version: what onnxruntime and torch run their threads with.
# The folders of the weights are for whatever user the container runs as: INDEXER_UID may be another than 1000.
# hadolint ignore=DL3008
RUN sed --in-place "s|//deb.debian.org|//${DEBIAN_MIRROR}|" /etc/apt/sources.list.d/debian.sources \
    && apt-get update \
    && driver=$([ "${VARIANT}" != intel ] || echo intel-opencl-icd) \
    && apt-get install --yes --no-install-recommends libgomp1 ${driver:+"${driver}"} \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --create-home --home-dir /var/lib/immich-indexer indexer \
    && chmod 755 /var/lib/immich-indexer \
    && install --directory --owner=indexer --mode=777 /models /models/clip /models/insightface
COPY --from=packages /opt/venv /opt/venv
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel \
    /opt/venv/bin/pip install --no-cache-dir --no-deps --no-index /wheel/*.whl
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
