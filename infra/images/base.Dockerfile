# The base of all images, for Dependabot, which does not read the ARG of a Dockerfile. Nothing is built from this file:
# whoever takes a new digest here writes it into infra/images/Dockerfile and bentos/images/Dockerfile, too.
FROM python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b
