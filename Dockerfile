# psp in a container, for the CPU. For CUDA: docker build -t psp
#   --build-arg TORCH=https://download.pytorch.org/whl/cu128 .
# docs/production.md says how it is run, and what it needs writable.
FROM python:3.12-slim

# Where torch comes from, and which extras of psp are installed.
ARG TORCH=https://download.pytorch.org/whl/cpu
ARG EXTRAS=onnx,openvino,heif

COPY pyproject.toml setup.py README.md LICENSE /src/
COPY psp /src/psp
COPY datasets /src/datasets
RUN pip install --no-cache-dir --index-url "$TORCH" torch \
    && pip install --no-cache-dir "/src[$EXTRAS]" \
    && rm -rf /src \
    && useradd --uid 1000 --no-create-home psp \
    && install -d -o psp -g psp /srv

# Not root. All that psp writes by itself goes below /srv, which is to be mounted; the rest of the
# file system may be read-only.
USER psp
WORKDIR /srv
ENV HOME=/srv/.home \
    PSP_CACHE=/srv/.home/psp \
    TORCH_HOME=/srv/.home/torch \
    MPLCONFIGDIR=/srv/.home/matplotlib \
    PYTHONDONTWRITEBYTECODE=1

ENTRYPOINT ["psp"]
CMD ["--help"]
