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
RUN python3 -m venv /opt/softena && /opt/softena/bin/pip install --no-cache-dir -q . && /opt/softena/bin/pip uninstall -q -y pip setuptools

FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="softena" \
      org.opencontainers.image.description="Firewall and load balancer on a software ENA card" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN apt-get -qq update && apt-get -qq install -y --no-install-recommends python3 >/dev/null && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/softena /opt/softena
ENV PATH=/opt/softena/bin:$PATH PYTHONDONTWRITEBYTECODE=1 SOFTENA_LOG_FORMAT=json
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["softena", "status", "--config", "/config/fw.yaml", "--json"]
ENTRYPOINT ["softena"]
CMD ["run", "/config/fw.yaml"]
