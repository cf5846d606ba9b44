# The image has three roles: `serve` (the default), `worker`, and any other command of `waitcall` for an operator.
# Pin the base image with --build-arg BASE=python:3.14-slim-trixie@sha256:...
ARG BASE=python:3.14-slim-trixie

FROM ${BASE} AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 SOURCE_DATE_EPOCH=0
# The build backend looks for its program on the path.
ENV PATH=/opt/waitcall/bin:$PATH
RUN python3 -m venv /opt/waitcall
# --build-arg REQUIREMENTS=requirements-tracing.txt adds OpenTelemetry.
ARG REQUIREMENTS=requirements.txt
COPY requirements.txt requirements-tracing.txt requirements-build.txt ./
RUN /opt/waitcall/bin/pip install --quiet --no-compile --require-hashes -r ${REQUIREMENTS} -r requirements-build.txt
COPY pyproject.toml README.md LICENSE ./
COPY service ./service
COPY config/policy.toml ./config/
RUN /opt/waitcall/bin/pip install --quiet --no-compile --no-deps --no-build-isolation . \
 && /opt/waitcall/bin/pip uninstall --quiet --yes pip uv_build
# Processes cannot write compiled modules, and without them each start takes four times the CPU. The mode needs no times of files.
RUN python3 -m compileall -q --invalidation-mode unchecked-hash /opt/waitcall/lib

# The provider simulator, for `helm test` and compose.yaml. It is built only with --target simulator. Never use it in production.
FROM ${BASE} AS simulator
COPY --from=build /opt/waitcall /opt/waitcall
WORKDIR /app
COPY simulator ./simulator
ENV PATH=/opt/waitcall/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
EXPOSE 8082 8083
ENTRYPOINT ["python3", "-m", "simulator"]

# Both example apps, for compose.yaml. They are built only with --target examples.
FROM ${BASE} AS examples
WORKDIR /app
ENV PATH=/opt/examples/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONUNBUFFERED=1
COPY requirements-run.txt ./
RUN python3 -m venv /opt/examples && pip install --quiet --require-hashes -r requirements-run.txt
COPY clients/python /src/client
RUN pip install --quiet --no-deps --no-build-isolation /src/client
COPY examples ./examples
USER 10001:10001
EXPOSE 8085 8086
ENTRYPOINT ["python3", "-m", "examples"]

FROM ${BASE}
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="waitcall" \
      org.opencontainers.image.description="A person proves that a phone number is theirs by calling us." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/waitcall /opt/waitcall
WORKDIR /app
COPY config/gunicorn.conf.py config/policy.toml ./config/
ENV PATH=/opt/waitcall/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    WAITCALL_API_BIND=[::]:8080 WAITCALL_CALLBACK_BIND=[::]:8081 \
    WAITCALL_OPS_BIND=[::]:9090 WAITCALL_WORKER_OPS_BIND=[::]:9091
EXPOSE 8080 8081 9090 9091
# An unprivileged user. With a read-only root filesystem /tmp must still be writable, because metrics are kept there.
USER 10001:10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["waitcall"]
CMD ["serve"]
