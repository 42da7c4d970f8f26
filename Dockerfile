# Everything for the CPU: package, native kernels, LAMMPS with its plugin and MPI.
#   docker build -t tnep .
#   docker run --rm -it -v "$PWD":/work tnep mpiexec -n 4 lmp -in in.md
#   apptainer build tnep.sif docker-daemon://tnep:latest
FROM python:3.11-slim

RUN apt-get update && apt-get install -y --no-install-recommends g++ make git && rm -rf /var/lib/apt/lists/*
COPY . /opt/tnep/source
WORKDIR /opt/tnep/source
RUN make env VENV=/opt/tnep/venv && rm -rf build /root/.cache
ENV PATH=/opt/tnep/venv/bin:$PATH OMP_NUM_THREADS=1
WORKDIR /work
CMD ["tnep", "info"]
