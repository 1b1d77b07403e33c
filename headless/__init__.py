"""Running workflows on ComfyUI servers from outside: client, private server, batches.

Speaks only to a server's public API: nothing here imports ComfyUI.
"""
