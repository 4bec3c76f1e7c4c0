# syntax=docker/dockerfile:1
# The operator's image: docker build --build-arg VERSION=$(git describe --always) -t tenantprofile-operator .
#
# The first stage builds the wheel from the files copied here and nothing else, and installs it with its
# dependencies into a virtual environment; the second holds that environment alone: no compiler, no pip,
# no sources. tests/cluster/test_image_steps.py runs these steps where there is no container engine.
ARG PYTHON_VERSION=3.13
ARG BASE=python:${PYTHON_VERSION}-slim

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY operator ./operator
COPY templates ./templates
COPY crds ./crds
RUN python -m pip wheel --no-deps --wheel-dir /dist .
# Without pip inside: the builder's own pip installs into it. Modules are compiled here, because the
# running container cannot write them.
RUN python -m venv --without-pip /opt/tenantprofile
RUN python -m pip --python /opt/tenantprofile/bin/python install --compile /dist/*.whl
RUN /opt/tenantprofile/bin/tenantprofile --version

FROM ${BASE}
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="tenantprofile-operator" \
      org.opencontainers.image.description="Gives every tenant namespace its network isolation, and keeps it." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# The path is the same as in the first stage: a virtual environment holds its own path and cannot move.
COPY --from=build /opt/tenantprofile /opt/tenantprofile
ENV PATH=/opt/tenantprofile/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# By number, so that the kubelet can tell that it is not root (runAsNonRoot).
USER 65532:65532
WORKDIR /tmp
EXPOSE 8080
ENTRYPOINT ["tenantprofile"]
CMD ["run"]
