# As ours, but that the weights published as ViT-B-16 are those of a small model. They are not in their place: /published is what
# a host of weights has.
ARG IMAGE
FROM ${IMAGE}
USER root
COPY sitecustomize.py /small/
RUN python -c "from pathlib import Path; from indexer.models.clip.cn_clip.small import write_small_checkpoint; write_small_checkpoint(Path('/small/small.pt'))" \
    && folder=/published/OFA-Sys/chinese-clip-small/resolve/main \
    && mkdir -p "$folder" && ln -s /small/small.pt "$folder/small.pt"
ENV PYTHONPATH=/small SMALL_WEIGHTS=/small/small.pt
USER 1000
