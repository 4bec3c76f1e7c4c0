# The operator's image: docker build --build-arg VERSION=$(git describe --always) -t tenantprofile-operator .
#
# BASE is any image with Python 3.11 or newer, pip and venv. Pin it by digest where you have a registry:
#   --build-arg BASE=python:3.13-slim@sha256:…
#
# The first stage installs what requirements/ pins, by hash, and the wheel built from the files copied here. The
# second starts from nothing and gets the interpreter, that environment, and the libraries that they load: no shell,
# no package manager, no pip, no sources. tests/cluster/test_image_steps.py runs these steps where there is no
# container engine.
ARG BASE=python:3.13-slim

# hadolint ignore=DL3006
FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
# otel.txt instead for `tenantprofile run --tracing`.
ARG REQUIREMENTS=operator.txt
WORKDIR /src
COPY requirements ./requirements
RUN python3 -m venv /build \
 && /build/bin/python -m pip install --require-hashes --only-binary :all: -r requirements/build.txt
RUN python3 -m venv --without-pip /opt/tenantprofile \
 && /build/bin/python -m pip --python /opt/tenantprofile/bin/python install --no-compile \
    --require-hashes --only-binary :all: -r "requirements/${REQUIREMENTS:-operator.txt}"
COPY pyproject.toml README.md LICENSE ./
COPY operator ./operator
COPY templates ./templates
COPY crds ./crds
COPY deploy/components/guard ./deploy/components/guard
COPY deploy/static ./deploy/static
COPY deploy/image ./deploy/image
RUN /build/bin/python -m pip wheel --no-deps --no-build-isolation --wheel-dir /dist . \
 && /build/bin/python -m pip --python /opt/tenantprofile/bin/python install --no-compile --no-deps --no-index /dist/*.whl
RUN python3 deploy/image/collect.py /opt/tenantprofile /runtime

FROM scratch
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="tenantprofile-operator" \
      org.opencontainers.image.description="Gives every tenant namespace its network isolation, and keeps it." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /runtime /
ENV PATH=/opt/tenantprofile/bin LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# By number, so that the kubelet can tell that it is not root (runAsNonRoot).
USER 65532:65532
WORKDIR /tmp
EXPOSE 8080
ENTRYPOINT ["tenantprofile"]
CMD ["run"]
