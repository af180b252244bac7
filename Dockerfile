# The appliance as it ships: built in one stage, run in another without a compiler.
#   docker build -t softena .
#   docker run --cap-drop ALL --cap-add NET_ADMIN --cap-add SETUID --cap-add SETGID --device /dev/net/tun \
#       -v ./fw.yaml:/config/fw.yaml:ro softena
FROM debian:bookworm-slim AS build
RUN apt-get -qq update && apt-get -qq install -y --no-install-recommends gcc libc6-dev python3-dev python3-venv >/dev/null
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY ena_dev ena_dev
COPY appliance appliance
RUN python3 -m venv /opt/softena && /opt/softena/bin/pip install --no-cache-dir -q .
# What only a build needs: the installers, and the sources that packages bring along.
RUN cd /opt/softena && bin/pip uninstall -q -y setuptools pip && rm -f bin/pip* bin/activate* bin/Activate* \
    && find . \( -name '*.pyx' -o -name '*.c' -o -name tests -type d \) -prune -exec rm -r {} +

FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="softena" \
      org.opencontainers.image.description="Firewall and load balancer on a software ENA card" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN apt-get -qq update && apt-get -qq install -y --no-install-recommends ca-certificates python3 >/dev/null && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
COPY --from=build /opt/softena /opt/softena
ENV PATH=/opt/softena/bin:$PATH PYTHONDONTWRITEBYTECODE=1 \
    SOFTENA_CONFIG=/config/fw.yaml SOFTENA_SOCKET=/run/softena/control.sock SOFTENA_LOG_FORMAT=json
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["softena", "status", "--json"]
ENTRYPOINT ["softena"]
CMD ["run"]
