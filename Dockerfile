# The runtime image: locked dependencies, the service, nothing to build with. Same base for both stages.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python3 -m venv /opt/waitcall
COPY requirements.txt requirements-build.txt ./
RUN /opt/waitcall/bin/pip install --quiet --require-hashes -r requirements.txt -r requirements-build.txt
COPY pyproject.toml README.md LICENSE ./
COPY service ./service
RUN /opt/waitcall/bin/pip install --quiet --no-deps --no-build-isolation . && /opt/waitcall/bin/pip uninstall --quiet --yes pip setuptools

FROM ${BASE}
LABEL org.opencontainers.image.title="waitcall" \
      org.opencontainers.image.description="A person proves that a phone number is theirs by calling us." \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/waitcall /opt/waitcall
WORKDIR /app
COPY config/gunicorn.conf.py config/policy.toml ./config/
ENV PATH=/opt/waitcall/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    WAITCALL_API_BIND=0.0.0.0:8080 WAITCALL_CALLBACK_BIND=0.0.0.0:8081 WAITCALL_OPS_BIND=0.0.0.0:9090
EXPOSE 8080 8081 9090
# Nobody in particular. A read-only root needs /tmp writable: metrics live there.
USER 10001:10001
STOPSIGNAL SIGTERM
CMD ["gunicorn", "-c", "config/gunicorn.conf.py", "service.wsgi:app"]
