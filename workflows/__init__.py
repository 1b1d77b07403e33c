"""The shipped workflows: what each is made of (`source/`), and the script that builds them
(`builder/`) in ComfyUI's canvas form, with an API twin in `api/`.
"""
