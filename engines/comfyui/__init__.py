"""The ComfyUI engine. All but `location` is importable only inside ComfyUI."""
