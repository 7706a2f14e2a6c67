# One image for the five services and the command line: the command says which, e.g. `python -m services.worker`.
ARG PYTHON=3.11.15-slim-bookworm

# Nothing is resolved. Both locks name every package with its hashes: the first what the build needs (with the development
# tools, which stay behind), the second what the image keeps. The last step proves that they fit together.
FROM python:${PYTHON} AS build
WORKDIR /build
COPY requirements.lock requirements-image.lock ./
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m pip install --require-hashes --no-deps --only-binary :all: --requirement requirements.lock \
    && python -m venv --without-pip /opt/batchyard \
    && python -m pip --python /opt/batchyard install --require-hashes --no-deps --only-binary :all: \
       --requirement requirements-image.lock
COPY pyproject.toml README.md LICENSE ./
COPY .ci .ci
COPY dashboard dashboard
COPY contracts contracts
COPY shared shared
COPY services services
RUN --mount=type=cache,target=/root/.cache/pip --mount=type=cache,target=/root/.npm PYTHON=python .ci/dashboard
RUN python -m pip wheel --no-index --no-deps --no-build-isolation --wheel-dir /wheels ./contracts . \
    && python -m pip --python /opt/batchyard install --no-index --no-deps /wheels/*.whl \
    && python -m pip --python /opt/batchyard check

FROM python:${PYTHON}
LABEL org.opencontainers.image.title="batchyard" \
      org.opencontainers.image.description="Runs batches of work over RabbitMQ: five services, one ledger" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/batchyard /opt/batchyard
# Bytecode is compiled in the image and never written again: the root file system may be read-only, only /tmp is written.
# PYTHONSAFEPATH keeps the folder a container is started in off the import path.
ENV PATH=/opt/batchyard/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1 \
    BATCHYARD_HEALTH_HOST=0.0.0.0 \
    BATCHYARD_HEALTH_PORT=8080
# Exports are kept here until somebody fetches them; mount a volume, which replicas of ingest share.
RUN install -d -o 10001 -g 10001 /exports
# No name is needed for the user, and the number is high enough to be nobody on the host.
USER 10001:10001
EXPOSE 8000 8080
STOPSIGNAL SIGTERM
CMD ["batchyard", "--help"]
