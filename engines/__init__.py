"""How a UNet is run and tapped: ComfyUI and diffusers behind one small interface."""
