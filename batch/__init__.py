"""A workflow for very many pictures, on one machine or a Ray cluster.

Where `queue` sends a job to running ComfyUI servers, this package starts its own workers, reads and
writes object stores, and survives the loss of any of its processes.
"""
