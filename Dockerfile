# One image for all five processes: `docker run IMAGE services.search`, `docker run IMAGE gateway`.
# Tag and patch version are named; pin the digest as well where builds must be the same to the byte.
FROM python:3.11.14-slim-bookworm AS build
WORKDIR /src
# The virtual environment has no pip of its own: the one outside installs into it, and the last stage gets none.
RUN python -m venv --without-pip /opt/venv
COPY . .
# Every dependency is a wheel, but for one that is plain Python: nothing is compiled, and a missing wheel ends the build instead of calling
# for a compiler.
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . \
 && wheel="$(ls /wheels/*.whl)" \
 && pip --python /opt/venv/bin/python install --no-cache-dir --only-binary :all: --no-binary drain3 --constraint constraints.txt "${wheel}[loganalyzer]"

FROM python:3.11.14-slim-bookworm
LABEL org.opencontainers.image.title="loganalyzer" \
      org.opencontainers.image.licenses="Apache-2.0"
# 7z and rar archives are read by the system's library.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends libarchive13 \
 && rm -rf /var/lib/apt/lists/*
# A number, not a name: Kubernetes can then see that it is not root. /data and /import are where volumes go; a new named volume takes
# the owner from here.
RUN groupadd --gid 10001 kit \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin kit \
 && install -d -o 10001 -g 10001 /data /import
COPY --from=build /opt/venv /opt/venv
# The root file system may be read-only: the bytecode is compiled above, and only /data and /tmp are written to.
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    KIT_DATA_DIR=/data
USER 10001:10001
WORKDIR /data
EXPOSE 50051 8080
# -P: a folder named `services` in the working folder must not stand in for the installed package.
ENTRYPOINT ["python", "-P", "-m"]
CMD ["gateway"]
