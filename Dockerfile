# A learner's JupyterLab, on the CPU. In the repository, with docker or podman:
#
#   docker build -t lora-lessons .
#   docker run --rm -it -p 127.0.0.1:8888:8888 -v "$PWD/my-lessons:/home/learner/my-lessons" lora-lessons
#
# The folder my-lessons is yours and stays when the container goes. Make it before the first run, and
# where your account's number is not 1000, add --user "$(id -u)" to the second line.
FROM docker.io/library/python:3.11-slim
RUN useradd --create-home --uid 1000 learner && chmod 0777 /home/learner
WORKDIR /build
COPY . .
RUN python tools/install_torch.py --build cpu \
 && python -m pip install --no-cache-dir -c constraints.txt ".[lab]" \
 && rm -rf /build/*
USER 1000
WORKDIR /home/learner
ENV HOME=/home/learner
EXPOSE 8888
CMD ["lora-lessons", "lab", "--no-browser", "--", "--ip=0.0.0.0", "--port=8888"]
