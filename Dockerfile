# syntax=docker/dockerfile:1
# Two stages: one that has pip and builds the wheel, one that only has what runs.

FROM python:3.11-slim AS build
# Where pip looks for torch. Empty means the index that pip is configured with, whose Linux builds may carry CUDA;
# https://download.pytorch.org/whl/cpu is PyTorch's own index of CPU builds.
ARG TORCH_INDEX=
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/maas
WORKDIR /src
COPY requirements/ requirements/
RUN /opt/maas/bin/pip install ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} -r requirements/torch.txt
RUN /opt/maas/bin/pip install -r requirements/core.txt
COPY pyproject.toml README.md LICENSE ./
COPY app/ app/
COPY migrations/ migrations/
COPY examples/ examples/
RUN /opt/maas/bin/pip install --no-deps . && /opt/maas/bin/pip check

FROM python:3.11-slim
RUN useradd --system --uid 10001 --create-home --home-dir /home/maas maas \
    && install --directory --mode 0700 --owner maas --group maas /data
COPY --from=build /opt/maas /opt/maas
ENV PATH=/opt/maas/bin:$PATH PYTHONUNBUFFERED=1 MAAS_DATA_DIR=/data MAAS_HOST=0.0.0.0
USER maas
WORKDIR /home/maas
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["maas"]
CMD ["serve"]
