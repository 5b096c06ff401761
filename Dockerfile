# The image of the API: migrate, then serve on 8000, as uid 1000.
#
#   docker build -t plinth .
#   docker run --rm --env-file production.env -p 127.0.0.1:8000:8000 plinth
#
# Python comes from the official image because it is built with profile guidance and link-time
# optimisation (--enable-optimizations --with-lto); a plain build runs the same code noticeably slower.
# Debian's own python3 is built so too. Any Debian-like image with python3 (3.11+) and its venv module
# fits: --build-arg BASE_IMAGE=... names a mirror, a digest or another base.
ARG BASE_IMAGE=python:3.13-slim-trixie

# --- build: uv, the dependencies, the byte code. Nothing of this stage's tools reaches the image. ---
FROM ${BASE_IMAGE} AS build

# The byte code is marked as always valid, not by its source's time of change: layers are archives, and an
# archive may round that time, upon which Python would compile the module again at every start (seen).
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PYC_INVALIDATION_MODE=UNCHECKED_HASH \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_NO_CACHE=1 \
    UV_PYTHON_DOWNLOADS=never

WORKDIR /app

# The requirements alone, so that a change of the code does not install them again. The library
# itself is a folder and has no hash; it is installed below.
# Wheels only: a source distribution would run its author's code here, before any hash is of use.
COPY requirements.txt deploy/build-requirements.txt /opt/requirements/
RUN python3 -m venv /opt/build \
    && /opt/build/bin/pip install --require-hashes --only-binary :all: \
        --requirement /opt/requirements/build-requirements.txt \
    && /opt/build/bin/uv venv --python "$(command -v python3)" /opt/venv \
    && sed '/^-e /d' /opt/requirements/requirements.txt >/opt/requirements/locked.txt \
    && /opt/build/bin/uv pip install --python /opt/venv/bin/python --require-hashes --no-build \
        --requirement /opt/requirements/locked.txt

# Editable: the library lies once, in /app/packages/plinth, exactly as in a checkout.
# The mode of files follows the builder's umask and checkout; here it is made the same for all.
COPY pyproject.toml alembic.ini ./
COPY packages/plinth ./packages/plinth
COPY alembic ./alembic
COPY app ./app
COPY deploy/entrypoint.sh deploy/healthcheck.py ./deploy/
RUN /opt/build/bin/uv pip install --python /opt/venv/bin/python --no-deps \
        --build-constraints /opt/requirements/build-requirements.txt --editable packages/plinth \
    && rm -f /opt/venv/.lock \
    && /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash \
        app alembic packages \
    && chmod -R u=rwX,go=rX /app \
    && chmod 0755 deploy/entrypoint.sh

# --- the image ---
# No psql or pg_dump: pg_dump refuses a server newer than itself, and Debian's would be older than the
# PostgreSQL 18 of compose.yaml. Dumps are made with the server's own tools (docs/how-to/deploy.md), which
# always fit, and the image stays without some 50 MB that only a backup needs.
FROM ${BASE_IMAGE}

LABEL org.opencontainers.image.title="plinth" \
      org.opencontainers.image.licenses="MIT"

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ENVIRONMENT=production \
    DATA_DIR=/data

# The official image carries no byte code of the standard library, and uid 1000 may not write it, so
# each worker would compile it again at each start: 0.3 s (measured), saved for 10 MB.
# /data is for ENVIRONMENT=development only, which keeps a signing key of its own there.
RUN groupadd --gid 1000 plinth \
    && useradd --uid 1000 --gid plinth --no-create-home --home-dir /app --shell /usr/sbin/nologin plinth \
    && install --directory --owner=plinth --group=plinth --mode=0700 /data \
    && python3 -m compileall -q --invalidation-mode unchecked-hash \
        -x 'ensurepip|idlelib|lib2to3|pydoc_data|test|tkinter|turtle' \
        "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"

COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app

# Root owns the code, 1000 runs it: the process cannot change what it runs. Nothing outside /data and
# /tmp is written, so `docker run --read-only --tmpfs /tmp` works.
USER 1000:1000
WORKDIR /app
EXPOSE 8000
STOPSIGNAL SIGTERM

# Liveness only: with the database away the process is still worth keeping.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "/app/deploy/healthcheck.py"]

ENTRYPOINT ["/app/deploy/entrypoint.sh"]
CMD ["plinth", "serve", "--host", "0.0.0.0", "--port", "8000"]
