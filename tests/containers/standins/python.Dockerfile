# As python:3.12-slim-bookworm, with Debian's own Python, which is 3.11.
ARG PREFIX
FROM ${PREFIX}/debian
COPY *.crt /usr/local/share/ca-certificates/
RUN find /usr/local/share/ca-certificates -type f -empty -delete && update-ca-certificates && apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-venv python3-pip python-is-python3 \
    && rm -rf /var/lib/apt/lists/* /etc/apt/sources.list /etc/apt/sources.list.d
COPY python.sources /etc/apt/sources.list.d/debian.sources
ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt PIP_DEFAULT_TIMEOUT=180
CMD ["python"]
