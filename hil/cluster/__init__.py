"""Workers on a Kubernetes cluster, K3s on Raspberry Pi above all: their manifests, their deployment, their orders.

Objects of Kubernetes are plain data here, as in its YAML files; `client` is the only module that knows its library.
"""
