"""Running workflows on ComfyUI servers from outside: client, private server, batches.

It uses a server's public API alone and does not import ComfyUI.
"""
