"""The contract between techniques and engines: denoiser, taps, noise schedule, DDIM steps.

Plain torch; knows no engine and no technique.
"""
