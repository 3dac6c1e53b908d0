# The service on a CPU, with its default models inside: no download at run time, no root, nothing written outside /data.
# PyTorch is its build for a CPU, as uv finds it; TORCH_BACKEND=cu130 or the like takes one for a GPU, gigabytes larger.
# Where PIP_EXTRA_INDEX_URL says where to find wheels, pip takes those.
FROM python:3.12-slim AS build
ARG PIP_EXTRA_INDEX_URL=""
ARG TORCH_BACKEND=cpu
ARG EXTRA=cpu,documents,mcp,postgres,telemetry,ui
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY clients/python clients/python
COPY api api
COPY indexer indexer
COPY rerank rerank
COPY retrieval retrieval
COPY winnow winnow
COPY data/instructions data/instructions
COPY data/models data/models
RUN python -m venv /opt/winnow \
 && if [ -n "${PIP_EXTRA_INDEX_URL}" ]; then \
      /opt/winnow/bin/pip install --constraint constraints.txt ./clients/python ".[${EXTRA}]"; \
    else \
      pip install "uv>=0.7" && uv pip install --no-cache --compile-bytecode --python /opt/winnow/bin/python \
        --torch-backend="${TORCH_BACKEND}" --constraint constraints.txt ./clients/python ".[${EXTRA}]"; \
    fi

FROM python:3.12-slim
RUN useradd --system --uid 10001 --no-create-home winnow && install -d -o winnow -g winnow /data
COPY --from=build /opt/winnow /opt/winnow
ENV PATH=/opt/winnow/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    WINNOW_DATA=/data WINNOW_HOST=0.0.0.0 WINNOW_PORT=8000
USER winnow
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=2)"]
ENTRYPOINT ["winnow"]
CMD ["serve"]
